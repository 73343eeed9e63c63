//! The records of all models but the attachments: kept in memory, filled and changed by tests.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::domain::{Cell, Domain, Row};
use super::fields::{Field, Fields, Kind};
use super::order::Order;
use super::spelling::{datetime, now_us, parse_datetime};

/// Of two models searches leave out too late what the user may not see.
const MESSAGES: &str = "mail.message";
const ACTIVITIES: &str = "mail.activity";

/// What a message changed, and the field that says of which.
const CHANGES: &str = "mail.tracking.value";
const OF_MESSAGE: &str = "mail_message_id";

/// A model without dates (`_log_access`), whose records are called like what they point to.
const FOLLOWERS: &str = "mail.followers";

/// So many records at most are looked up one by one that an index by date has found.
const FEW: usize = 1_000;

/// All models of a running server. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<RwLock<BTreeMap<String, Table>>>);

/// The records of one model.
#[derive(Debug)]
pub(crate) struct Table {
    model: String,
    pub fields: Fields,
    rows: BTreeMap<i64, Record>,
    /// The index by date of writing, the newest first, and then by id.
    by_date: BTreeSet<(Reverse<i64>, i64)>,
    /// The index of field changes by their message: the message, then the change.
    by_message: BTreeSet<(i64, i64)>,
    last_id: i64,
    /// Fields that make every reading fail, and what is said then.
    failing_fields: BTreeMap<String, String>,
    /// Whether nobody may read it.
    pub closed: bool,
}

impl Table {
    fn new(model: String, fields: Fields) -> Self {
        Self {
            model,
            fields,
            rows: BTreeMap::new(),
            by_date: BTreeSet::new(),
            by_message: BTreeSet::new(),
            last_id: 0,
            failing_fields: BTreeMap::new(),
            closed: false,
        }
    }
}

/// One record. Fields that were never set have the default of their type.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    id: i64,
    // Few and short: a list is smaller than a map, and there may be 200,000 of them.
    values: Vec<(Arc<str>, Value)>,
    create_us: i64,
    write_us: i64,
    hidden_from_salesmen: bool,
    /// Whether every reading of it fails.
    failing: bool,
}

/// The records of one model, for tests to fill and to change. Clones share them.
///
/// Dates are text as RPC shows it, with or without microseconds. A many2one is the id, or `[id, name]`.
/// A field that this version of Odoo does not have is dropped, so that one fixture serves all versions.
/// `{"$raw": "NaN"}` is a value that goes out as it stands, though it is no JSON.
#[derive(Debug, Clone)]
pub struct Records {
    store: Store,
    model: String,
}

impl Store {
    pub(crate) fn new(schema: BTreeMap<String, Fields>) -> Self {
        let store = Self(Arc::default());
        store.install(schema);
        store
    }

    /// Adds models, without records.
    pub(crate) fn install(&self, schema: BTreeMap<String, Fields>) {
        let tables = schema.into_iter();
        let tables = tables.map(|(model, fields)| (model.clone(), Table::new(model, fields)));
        self.tables_mut().extend(tables);
    }

    /// Takes models away, with their records.
    pub(crate) fn uninstall(&self, is_gone: impl Fn(&str) -> bool) {
        self.tables_mut().retain(|model, _| !is_gone(model));
    }

    pub(crate) fn records(&self, model: &str) -> Records {
        Records {
            store: self.clone(),
            model: model.to_owned(),
        }
    }

    pub(crate) fn tables(&self) -> RwLockReadGuard<'_, BTreeMap<String, Table>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Table>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn change<T: Default>(&self, change: impl FnOnce(&mut BTreeMap<String, Table>) -> T) -> T {
        change(&mut self.store.tables_mut())
    }

    fn with<T: Default>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        self.change(|tables| tables.get_mut(&self.model).map(change).unwrap_or_default())
    }

    /// Adds a record and returns its id: the one in `values`, or the next one.
    ///
    /// `create_date` and `write_date` are the present unless they are given; an older `write_date` is a
    /// transaction that was slow to commit.
    pub fn insert(&self, values: Value) -> i64 {
        self.insert_many([values])
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// Adds many records at once and returns their ids.
    pub fn insert_many(&self, all: impl IntoIterator<Item = Value>) -> Vec<i64> {
        let all = all.into_iter();
        self.change(|tables| {
            let mut ids = Vec::with_capacity(all.size_hint().0);
            let mut messages = Vec::new();
            if let Some(table) = tables.get_mut(&self.model) {
                for values in all {
                    let id = table.insert(&values);
                    ids.push(id);
                    messages.extend(
                        values
                            .get("mail_message_id")
                            .map(|message| (id, link_id(message))),
                    );
                }
            }
            // A message lists its field changes.
            if self.model == "mail.tracking.value"
                && let Some(table) = tables.get_mut("mail.message")
            {
                for (id, message) in messages {
                    table.append(message, "tracking_value_ids", id);
                }
            }
            ids
        })
    }

    /// Changes a record; its write date is the present unless `values` says otherwise.
    pub fn update(&self, id: i64, values: &Value) {
        self.with(|table| table.update(id, values, Some(now_us())));
    }

    /// Changes a record without touching its write date, as much of Odoo does: a renamed tag, a posted
    /// message, the scoring cron.
    pub fn update_quietly(&self, id: i64, values: &Value) {
        self.with(|table| table.update(id, values, None));
    }

    /// Deletes records without a trace. What belongs to a message goes with it, and its answers forget it, without a
    /// new date: so say the foreign keys of Odoo's tables (14 to 19).
    pub fn delete(&self, ids: impl IntoIterator<Item = i64>) {
        let ids: BTreeSet<i64> = ids.into_iter().collect();
        self.change(|tables| {
            if let Some(table) = tables.get_mut(&self.model) {
                table.forget(|record| ids.contains(&record.id));
            }
            if self.model != MESSAGES {
                return;
            }
            for (model, field) in [
                ("mail.tracking.value", "mail_message_id"),
                ("mail.notification", "mail_message_id"),
                ("mail.message.reaction", "message_id"),
            ] {
                if let Some(table) = tables.get_mut(model) {
                    table.forget(|record| record.points_to(field, &ids));
                }
            }
            let messages = tables.get_mut(MESSAGES).into_iter();
            for record in messages.flat_map(|table| table.rows.values_mut()) {
                if record.points_to("parent_id", &ids) {
                    record.set("parent_id", json!(false));
                }
            }
        });
    }

    /// Hides records from everybody but the administrator.
    pub fn hide_from_salesmen(&self, ids: impl IntoIterator<Item = i64>) {
        self.with(|table| {
            for id in ids {
                if let Some(record) = table.rows.get_mut(&id) {
                    record.hidden_from_salesmen = true;
                }
            }
        });
    }

    /// A record as an administrator reads it.
    pub fn get(&self, id: i64) -> Option<Value> {
        let tables = self.store.tables();
        let table = tables.get(&self.model)?;
        let record = table.rows.get(&id)?;
        let values = table
            .fields
            .keys()
            .map(|field| (field.clone(), table.show(record, field, &tables, true)));
        Some(Value::Object(values.collect()))
    }

    /// All ids, ascending.
    pub fn ids(&self) -> Vec<i64> {
        let tables = self.store.tables();
        tables
            .get(&self.model)
            .map(|table| table.rows.keys().copied().collect())
            .unwrap_or_default()
    }

    /// How many records there are, archived ones included.
    pub fn count(&self) -> usize {
        self.store
            .tables()
            .get(&self.model)
            .map_or(0, |table| table.rows.len())
    }

    /// Adds a field, such as a custom one: `add_field("x_priority", "integer", None)`.
    pub fn add_field(&self, name: &str, type_name: &str, relation: Option<&str>) {
        let field = Field::of_type(type_name, relation).kept();
        self.with(|table| drop(table.fields.insert(name.to_owned(), field)));
    }

    /// Calls a field something, and says what it may be.
    pub fn describe_field(&self, name: &str, label: &str, selection: &Value) {
        self.with(|table| {
            if let Some(field) = table.fields.get_mut(name) {
                field.label = Some(label.to_owned());
                field.selection = selection.clone();
            }
        });
    }

    /// The fields that Odoo keeps in its database: name, type, and the model that their ids are of.
    pub fn stored_fields(&self) -> Vec<(String, String, Option<String>)> {
        self.with(|table| {
            let stored = table.fields.iter().filter(|(_, field)| field.stored);
            stored
                .map(|(name, field)| {
                    (
                        name.clone(),
                        field.type_name.clone(),
                        field.relation.clone(),
                    )
                })
                .collect()
        })
    }

    /// Shows a field to nobody but the administrator, as one for the group *Administration / Settings*.
    pub fn hide_field_from_salesmen(&self, name: &str) {
        self.with(|table| {
            if let Some(field) = table.fields.get_mut(name) {
                field.settings = true;
            }
        });
    }

    /// Makes every reading of this field fail, as a many2many to a model without rights does on 19: an
    /// `AccessError` with these words.
    pub fn fail_field(&self, name: &str, said: &str) {
        self.with(|table| {
            table
                .failing_fields
                .insert(name.to_owned(), said.to_owned())
        });
    }

    /// Takes the right to read this model from everybody, or gives it back.
    pub fn close(&self, closed: bool) {
        self.with(|table| table.closed = closed);
    }

    /// Lets a field be read again.
    pub fn mend_field(&self, name: &str) {
        self.with(|table| table.failing_fields.remove(name));
    }

    /// Makes every reading of these records fail with a `KeyError`, or not any more, as a message on a model
    /// that is gone does (17 to 19). A search finds them all the same.
    pub fn fail(&self, ids: impl IntoIterator<Item = i64>, failing: bool) {
        self.with(|table| {
            for id in ids {
                if let Some(record) = table.rows.get_mut(&id) {
                    record.failing = failing;
                }
            }
        });
    }

    /// Removes a field; asking for it is an error from now on.
    pub fn remove_field(&self, name: &str) {
        self.with(|table| drop(table.fields.remove(name)));
    }
}

/// The id of a many2one as it was given.
fn link_id(value: &Value) -> i64 {
    match value {
        Value::Array(pair) => pair.first().and_then(Value::as_i64),
        other => other.as_i64(),
    }
    .unwrap_or_default()
}

impl Record {
    fn value(&self, field: &str) -> Option<&Value> {
        self.values
            .iter()
            .find(|(name, _)| &**name == field)
            .map(|(_, value)| value)
    }

    /// The message that it is a change of, if it is one.
    fn message(&self) -> i64 {
        self.value(OF_MESSAGE).map(link_id).unwrap_or_default()
    }

    fn points_to(&self, field: &str, ids: &BTreeSet<i64>) -> bool {
        self.value(field)
            .is_some_and(|value| ids.contains(&link_id(value)))
    }

    fn set(&mut self, field: &str, value: Value) {
        match self.values.iter_mut().find(|(name, _)| &**name == field) {
            Some((_, old)) => *old = value,
            None => self.values.push((intern(field), value)),
        }
    }
}

/// One copy of each field's name for all records.
fn intern(name: &str) -> Arc<str> {
    static NAMES: RwLock<BTreeMap<String, Arc<str>>> = RwLock::new(BTreeMap::new());
    if let Some(known) = NAMES
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(name)
    {
        return known.clone();
    }
    NAMES
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name.to_owned())
        .or_insert_with(|| name.into())
        .clone()
}

impl Table {
    fn insert(&mut self, values: &Value) -> i64 {
        let now = now_us();
        let id = values
            .get("id")
            .and_then(Value::as_i64)
            .unwrap_or(self.last_id + 1);
        self.last_id = self.last_id.max(id);
        let mut record = Record {
            id,
            values: Vec::new(),
            create_us: now,
            write_us: now,
            hidden_from_salesmen: false,
            failing: false,
        };
        if self.fields.contains_key("active") {
            record.set("active", json!(true));
        }
        self.forget_one(id);
        self.rows.insert(id, record);
        self.by_date.insert((Reverse(now), id));
        self.update(id, values, None);
        // Without a date of its own, a record was written when it was created.
        if values.get("write_date").is_none()
            && let Some(record) = self.rows.get_mut(&id)
        {
            let before = std::mem::replace(&mut record.write_us, record.create_us);
            let now = record.write_us;
            self.dated(id, before, now);
        }
        id
    }

    /// Keeps the index by date.
    fn dated(&mut self, id: i64, before: i64, now: i64) {
        if before != now {
            self.by_date.remove(&(Reverse(before), id));
            self.by_date.insert((Reverse(now), id));
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&Record) -> bool) {
        let gone = self.rows.values().filter(|record| is_gone(record));
        let gone: Vec<i64> = gone.map(|record| record.id).collect();
        for id in gone {
            self.forget_one(id);
        }
    }

    fn forget_one(&mut self, id: i64) {
        if let Some(record) = self.rows.remove(&id) {
            self.by_date.remove(&(Reverse(record.write_us), id));
            self.by_message.remove(&(record.message(), id));
        }
    }

    fn update(&mut self, id: i64, values: &Value, now: Option<i64>) {
        let Some(record) = self.rows.get_mut(&id) else {
            return;
        };
        let (before, said) = (record.write_us, record.message());
        if let Some(now) = now {
            record.write_us = now;
        }
        for (name, value) in values.as_object().into_iter().flatten() {
            let date = || value.as_str().and_then(parse_datetime);
            match name.as_str() {
                "id" => {}
                "create_date" => record.create_us = date().unwrap_or(record.create_us),
                "write_date" => record.write_us = date().unwrap_or(record.write_us),
                name if self.fields.contains_key(name) => record.set(name, value.clone()),
                _ => {}
            }
        }
        let (now, says) = (record.write_us, record.message());
        self.dated(id, before, now);
        if self.model == CHANGES {
            self.by_message.remove(&(said, id));
            self.by_message.insert((says, id));
        }
    }

    fn append(&mut self, id: i64, field: &str, value: i64) {
        let Some(record) = self.rows.get_mut(&id) else {
            return;
        };
        let mut values = record
            .value(field)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if !values.contains(&json!(value)) {
            values.push(json!(value));
            record.set(field, Value::Array(values));
        }
    }

    pub(crate) fn has(&self, id: i64) -> bool {
        self.rows.contains_key(&id)
    }

    /// Whether every reading of this record fails.
    pub(crate) fn failing(&self, id: i64) -> bool {
        self.rows.get(&id).is_some_and(|record| record.failing)
    }

    /// What is said where one of these fields makes every reading fail.
    pub(crate) fn failing_field(&self, fields: &[String]) -> Option<&str> {
        let mut said = fields.iter().map(|field| self.failing_fields.get(field));
        said.find_map(|said| said.map(String::as_str))
    }

    /// These records and all below them, or above them, by their `parent_id`.
    pub(crate) fn family(&self, ids: Vec<i64>, below: bool) -> BTreeSet<i64> {
        let parent = |id: i64| self.rows.get(&id)?.value("parent_id").map(link_id);
        let mut family: BTreeSet<i64> = ids.into_iter().collect();
        loop {
            let next: Vec<i64> = if below {
                let child = |id: &i64| parent(*id).is_some_and(|parent| family.contains(&parent));
                self.rows.keys().copied().filter(child).collect()
            } else {
                family.iter().copied().filter_map(parent).collect()
            };
            let known = family.len();
            family.extend(next);
            if family.len() == known {
                return family;
            }
        }
    }

    /// Of the table `ir.model.data`: the external ids of the records of a model.
    pub(crate) fn external_ids(&self, model: &str) -> BTreeMap<i64, String> {
        let entries = self.rows.values().filter_map(|entry| {
            let text = |field| entry.value(field).and_then(Value::as_str);
            let id = entry.value("res_id")?.as_i64()?;
            let name = format!("{}.{}", text("module")?, text("name")?);
            (text("model") == Some(model)).then_some((id, name))
        });
        entries.collect()
    }

    /// What others call a record, where it has a name.
    fn label(&self, id: i64) -> Option<Cow<'_, str>> {
        let record = self.rows.get(&id)?;
        let text = |field| record.value(field).and_then(Value::as_str);
        let name = match self.model.as_str() {
            "mail.message" => text("record_name"),
            ACTIVITIES => text("summary"),
            "res.partner" => match record
                .value("parent_id")
                .map(link_id)
                .and_then(|parent| self.rows.get(&parent))
            {
                Some(parent) => {
                    let parent = parent
                        .value("name")
                        .and_then(Value::as_str)
                        .unwrap_or_default();
                    return Some(Cow::Owned(format!(
                        "{parent}, {}",
                        text("name").unwrap_or_default()
                    )));
                }
                None => text("name"),
            },
            _ => text("name"),
        };
        name.map(Cow::Borrowed)
    }

    /// A field as RPC shows it.
    fn show(
        &self,
        record: &Record,
        name: &str,
        tables: &BTreeMap<String, Self>,
        pairs: bool,
    ) -> Value {
        let Some(field) = self.fields.get(name) else {
            return Value::Bool(false);
        };
        match name {
            "id" => return json!(record.id),
            "create_date" => return json!(datetime(record.create_us)),
            "write_date" => return json!(datetime(record.write_us)),
            "display_name" if self.model == FOLLOWERS => {
                let partner = self.show(record, "partner_id", tables, true);
                return partner.get(1).cloned().unwrap_or_default();
            }
            "display_name" => {
                let label = self.label(record.id);
                return label.map_or_else(|| field.unnamed.clone(), |label| json!(label));
            }
            "create_uid" | "write_uid" if record.value(name).is_none() => {
                return link(2, field, None, tables, pairs);
            }
            _ => {}
        }
        let Some(value) = record.value(name) else {
            return field.default();
        };
        match (field.kind, value) {
            (_, Value::Null) => field.default(),
            (Kind::Many2one, Value::Number(_) | Value::Array(_)) => {
                let given = value.get(1).and_then(Value::as_str);
                link(link_id(value), field, given, tables, pairs)
            }
            (Kind::Datetime, Value::String(text)) => {
                json!(parse_datetime(text).map(datetime).unwrap_or_default())
            }
            _ => value.clone(),
        }
    }

    /// The records that this account may see and the domain finds, in order.
    pub(crate) fn search(
        &self,
        domain: &Domain,
        order: &Order,
        offset: usize,
        limit: usize,
        administrator: bool,
    ) -> Vec<i64> {
        let (low, high) = domain.range("id");
        if low > high {
            return Vec::new();
        }
        let found = self
            .candidates(domain, order, low, high)
            .map(|record| Seen {
                record,
                table: self,
            })
            .filter(|seen| domain.matches(seen));
        let shown = |seen: &Seen<'_>| self.shows(seen.record, administrator);
        if matches!(self.model.as_str(), MESSAGES | ACTIVITIES) {
            // The limit first, and then what the user may not see is left out of what came (14 to 18).
            let page = ordered(found, order, offset, limit);
            return page.filter(shown).map(|seen| seen.record.id).collect();
        }
        ordered(found.filter(shown), order, offset, limit)
            .map(|seen| seen.record.id)
            .collect()
    }

    /// The records that the domain may find, by id, or from the newest down where that is the order. They come by the ids
    /// or messages that are listed, by date where few lie between the bounds, else by id: what a search costs is then not
    /// what there is.
    fn candidates<'a>(
        &'a self,
        domain: &Domain,
        order: &Order,
        low: i64,
        high: i64,
    ) -> Box<dyn DoubleEndedIterator<Item = &'a Record> + 'a> {
        let (since, until) = domain.range("write_date");
        if since > until {
            return Box::new(std::iter::empty());
        }
        let of = move |id: i64| self.rows.get(&id);
        let dated = (Reverse(until), i64::MIN)..=(Reverse(since), i64::MAX);
        let dated = self.by_date.range(dated).map(|(_, id)| *id);
        if order.newest_first() {
            return Box::new(dated.filter_map(of));
        }
        if let Some(listed) = domain.listed("id") {
            let listed: BTreeSet<i64> = listed.into_iter().collect();
            return Box::new(listed.into_iter().filter_map(of));
        }
        if self.model == CHANGES
            && let Some(messages) = domain.listed(OF_MESSAGE)
        {
            let of_message = |id: i64| self.by_message.range((id, i64::MIN)..=(id, i64::MAX));
            let ids: BTreeSet<i64> = messages
                .into_iter()
                .flat_map(of_message)
                .map(|(_, id)| *id)
                .collect();
            return Box::new(ids.into_iter().filter_map(of));
        }
        if dated.clone().nth(FEW).is_none() {
            let ids: BTreeSet<i64> = dated.collect();
            return Box::new(ids.into_iter().filter_map(of));
        }
        let dated = move |record: &&Record| (since..=until).contains(&record.write_us);
        let rows = self.rows.range(low..=high);
        Box::new(rows.map(|(_, record)| record).filter(dated))
    }

    /// Whether a record is shown to this account. A notification of one user is shown to nobody else, the
    /// administrator included.
    fn shows(&self, record: &Record, administrator: bool) -> bool {
        let of_one_user = self.model == MESSAGES
            && record.value("message_type").and_then(Value::as_str) == Some("user_notification");
        !of_one_user && (administrator || !record.hidden_from_salesmen)
    }

    /// One record with these fields, in this order; `None` if it is not there. `archived`: with archived records among
    /// those that it lists.
    pub(crate) fn read(
        &self,
        id: i64,
        fields: &[String],
        tables: &BTreeMap<String, Self>,
        pairs: bool,
        archived: bool,
    ) -> Option<Vec<(String, Value)>> {
        let record = self.rows.get(&id)?;
        let shown = fields.iter().map(|field| {
            let mut value = self.show(record, field, tables, pairs);
            let relation = self
                .fields
                .get(field)
                .and_then(|field| field.relation.as_deref());
            if let Value::Array(listed) = &mut value
                && !archived
                && self
                    .fields
                    .get(field)
                    .is_some_and(|field| field.kind == Kind::Many)
                && let Some(table) = relation.and_then(|relation| tables.get(relation))
            {
                listed.retain(|id| !id.as_i64().is_some_and(|id| table.is_archived(id)));
            }
            (field.clone(), value)
        });
        Some(shown.collect())
    }

    fn is_archived(&self, id: i64) -> bool {
        let active = self.rows.get(&id).and_then(|record| record.value("active"));
        active.and_then(Value::as_bool) == Some(false)
    }

    /// Whether the record is there but not for this account.
    pub(crate) fn forbidden(&self, id: i64, administrator: bool) -> bool {
        self.rows
            .get(&id)
            .is_some_and(|record| !self.shows(record, administrator))
    }
}

/// A page of what was found.
fn ordered<'a>(
    found: impl DoubleEndedIterator<Item = Seen<'a>> + 'a,
    order: &Order,
    offset: usize,
    limit: usize,
) -> Box<dyn Iterator<Item = Seen<'a>> + 'a> {
    match order.by_id() {
        Some(false) => Box::new(found.skip(offset).take(limit)),
        Some(true) => Box::new(found.rev().skip(offset).take(limit)),
        None if order.newest_first() => Box::new(found.skip(offset).take(limit)),
        // The first of a million is told without putting them in order.
        None if (offset, limit) == (0, 1) => {
            Box::new(found.min_by(|a, b| order.compare(a, b)).into_iter())
        }
        None => {
            let mut found: Vec<_> = found.collect();
            found.sort_by(|a, b| order.compare(a, b));
            Box::new(found.into_iter().skip(offset).take(limit))
        }
    }
}

/// A many2one as RPC shows it: `[id, name]`, or the bare id where pairs are not wanted.
fn link(
    id: i64,
    field: &Field,
    given: Option<&str>,
    tables: &BTreeMap<String, Table>,
    pairs: bool,
) -> Value {
    if id == 0 {
        return Value::Bool(false);
    }
    if !pairs {
        return json!(id);
    }
    let relation = field.relation.as_deref().unwrap_or_default();
    if field.nameless {
        return json!([id, false]);
    }
    // Labels come from the record as it is now; what was given serves where there is none.
    let table = tables.get(relation).filter(|table| table.has(id));
    match (table.map(|table| table.label(id)), given) {
        (Some(Some(label)), _) => json!([id, label]),
        (Some(None), _) => json!([id, field.unnamed]),
        (None, Some(given)) => json!([id, given]),
        (None, None) => json!([id, format!("{relation},{id}")]),
    }
}

/// A record seen as its table's fields say.
struct Seen<'a> {
    record: &'a Record,
    table: &'a Table,
}

impl Row for Seen<'_> {
    fn cell(&self, name: &str) -> Cell<'_> {
        match name {
            "id" => return Cell::Int(self.record.id),
            "write_date" => return Cell::Time(self.record.write_us),
            "create_date" => return Cell::Time(self.record.create_us),
            "display_name" => {
                return self
                    .table
                    .label(self.record.id)
                    .map_or(Cell::Null, Cell::Text);
            }
            _ => {}
        }
        let Some(value) = self.record.value(name) else {
            return match self.table.fields.get(name).map(|field| field.kind) {
                Some(Kind::Integer) => Cell::Int(0),
                Some(Kind::Float) => Cell::Real(0.0),
                _ => Cell::Null,
            };
        };
        // Looked up only where it matters: this runs for every row of a search.
        let is = |kind| {
            self.table
                .fields
                .get(name)
                .is_some_and(|field| field.kind == kind)
        };
        match value {
            Value::Bool(value) if is(Kind::Boolean) => Cell::Bool(*value),
            Value::String(text) if is(Kind::Datetime) => {
                parse_datetime(text).map_or(Cell::Null, Cell::Time)
            }
            Value::String(text) => Cell::Text(Cow::Borrowed(text)),
            Value::Array(_) if is(Kind::Many2one) => Cell::Link(
                link_id(value),
                Cow::Borrowed(value.get(1).and_then(Value::as_str).unwrap_or_default()),
            ),
            Value::Array(ids) => {
                Cell::Many(Cow::Owned(ids.iter().filter_map(Value::as_i64).collect()))
            }
            Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Cell::Real(number.as_f64().unwrap_or(0.0)), Cell::Int),
            _ => Cell::Null,
        }
    }
}
