//! The methods that can be called from outside, the same under both protocols.

use serde_json::{Map, Value, json};

use super::attachments::Row as Attachment;
use super::domain::{Cell, Domain, Row as _};
use super::failure::Failure;
use super::fields::{Field, Fields};
use super::order::Order;
use super::records::Table;
use super::spelling::{Json, datetime};
use super::{Company, User};
use crate::serve::Source as _;

pub(super) const ATTACHMENTS: &str = "ir.attachment";
pub(super) const COMPANIES: &str = "res.company";

/// The languages that are installed.
const LANGUAGES: [&str; 4] = ["en_US", "de_DE", "fr_FR", "nl_NL"];

/// The arguments of a call by name.
pub(crate) struct Arguments(Map<String, Value>);

/// What a method takes, in order, in this version. `ids` first means that it is called on records. A name
/// that begins with `*` is taken by position only.
fn signature(version: u8, model: &str, method: &str) -> Option<&'static [&'static str]> {
    Some(match method {
        "search_read" if version <= 14 => &["domain", "fields", "offset", "limit", "order"],
        "search_read" => &["domain", "fields", "offset", "limit", "order", "load"],
        "search" if version <= 15 => &["args", "offset", "limit", "order", "count"],
        // It overrides `search(args, …)`, and hands it on to one that has `domain`: neither name works (seen).
        "search" if version == 16 && model == "crm.lead" => {
            &["*domain", "offset", "limit", "order", "count"]
        }
        "search" if version == 16 => &["domain", "offset", "limit", "order", "count"],
        "search" => &["domain", "offset", "limit", "order"],
        "search_count" if version <= 15 => &["args"],
        "search_count" => &["domain", "limit"],
        "read" => &["ids", "fields", "load"],
        "fields_get" => &["allfields", "attributes"],
        "get_external_id" | "exists" => &["ids"],
        "context_get" if model == "res.users" => &[],
        // Of a user only from 18 on; before of whoever asks.
        "has_group" if model == "res.users" && version <= 17 => &["group_ext_id"],
        "has_group" if model == "res.users" => &["ids", "group_ext_id"],
        "generate_access_token" if model == ATTACHMENTS => &["ids"],
        "write" if model == ATTACHMENTS => &["ids", "vals"],
        _ => return None,
    })
}

impl Arguments {
    /// Joins positional and named arguments.
    fn bind(
        method: &str,
        names: &[&str],
        positional: Vec<Value>,
        keywords: Map<String, Value>,
    ) -> Result<Self, Failure> {
        let unfit = |what: String| Failure::new("builtins.TypeError", what);
        if positional.len() > names.len() {
            return Err(unfit(format!(
                "{method}() takes {} positional arguments but {} were given",
                names.len(),
                positional.len()
            )));
        }
        let plain = |name: &str| match name.trim_start_matches('*') {
            "args" => "domain".to_owned(),
            name => name.to_owned(),
        };
        let mut all: Map<String, Value> = names
            .iter()
            .map(|name| plain(name))
            .zip(positional)
            .collect();
        for (name, value) in keywords {
            if name != "context" && !names.contains(&name.as_str()) {
                return Err(unfit(format!(
                    "BaseModel.{method}() got an unexpected keyword argument '{name}'"
                )));
            }
            let name = plain(&name);
            if all.contains_key(&name) {
                return Err(unfit(format!(
                    "{method}() got multiple values for argument '{name}'"
                )));
            }
            all.insert(name, value);
        }
        // `search_read` takes no domain for one that is empty.
        if method == "search_read"
            && matches!(all.get("domain"), Some(Value::Null | Value::Bool(false)))
        {
            all.remove("domain");
        }
        if matches!(method, "search" | "search_count") && !all.contains_key("domain") {
            let name = names.first().unwrap_or(&"domain").trim_start_matches('*');
            return Err(unfit(format!(
                "BaseModel.{method}() missing 1 required positional argument: '{name}'"
            )));
        }
        Ok(Self(all))
    }

    /// Refuses values that a version does not take: to read in a language that is not installed from 18 on, ids as
    /// texts before 17.
    fn check(&self, method: &str, version: u8) -> Result<(), Failure> {
        let reads = version >= 18 && matches!(method, "read" | "search_read");
        let language = self.get("context").get("lang").and_then(Value::as_str);
        if let Some(code) = language.filter(|code| reads && !LANGUAGES.contains(code)) {
            let message = format!("Invalid language code: {code}");
            return Err(Failure::new("odoo.exceptions.UserError", message));
        }
        let text = self
            .get("ids")
            .as_array()
            .and_then(|ids| ids.iter().find_map(Value::as_str));
        match text {
            Some(id) if version < 17 => Err(Failure::access_error(format!(
                "Database fetch misses ids (('{id}',)) and has extra ids (({id},)), may be caused by a type \
                 incoherence in a previous request"
            ))),
            _ => Ok(()),
        }
    }

    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    fn context(&self, key: &str) -> Option<bool> {
        self.get("context")
            .get(key)
            .map(|value| !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0))
    }

    fn offset(&self) -> usize {
        self.get("offset")
            .as_u64()
            .and_then(|offset| usize::try_from(offset).ok())
            .unwrap_or(0)
    }

    /// No limit is no limit, and so is 0.
    fn limit(&self) -> usize {
        match self.get("limit").as_u64() {
            None | Some(0) => usize::MAX,
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    fn ids(&self) -> Vec<i64> {
        ids_of(self.get("ids"))
    }

    fn names(&self, argument: &str) -> Option<Vec<String>> {
        let names = self.get(argument).as_array()?;
        Some(
            names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    }

    fn order(&self) -> Option<&str> {
        self.get("order").as_str()
    }
}

/// Whether the method's first argument is the ids of records.
pub(crate) fn is_called_on_records(method: &str) -> bool {
    matches!(
        method,
        "read" | "write" | "generate_access_token" | "get_external_id" | "exists" | "has_group"
    )
}

/// The ids in an argument: a list, or one bare id.
pub(crate) fn ids_of(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(ids) => ids.iter().filter_map(Value::as_i64).collect(),
        other => other.as_i64().into_iter().collect(),
    }
}

/// What is not for callers from outside: what begins with `_`, and from 19 on what is marked so.
fn is_private(version: u8, method: &str) -> bool {
    const MARKED: [&str; 6] = [
        "browse",
        "exists",
        "init",
        "search_fetch",
        "sudo",
        "with_context",
    ];
    method.starts_with('_') || method == "init" || (version >= 19 && MARKED.contains(&method))
}

/// Calls a method by JSON-2: all arguments have names, and what is wrong with them is told otherwise.
pub(crate) fn call_by_name(
    company: &Company,
    user: &User,
    model: &str,
    method: &str,
    ids: Value,
    mut named: Map<String, Value>,
) -> Result<Json, Failure> {
    if is_called_on_records(method) {
        named.insert("ids".to_owned(), ids);
    } else if !ids_of(&ids).is_empty() && signature(company.version, model, method).is_some() {
        let message = format!("cannot call {model}.{method} with ids");
        return Err(Failure::new(
            "werkzeug.exceptions.UnprocessableEntity",
            message,
        ));
    }
    call(company, user, model, method, Vec::new(), named).map_err(Failure::of_call)
}

/// Calls a method on behalf of an account; the result is JSON.
pub(crate) fn call(
    company: &Company,
    user: &User,
    model: &str,
    method: &str,
    positional: Vec<Value>,
    keywords: Map<String, Value>,
) -> Result<Json, Failure> {
    let tables = company.store.tables();
    let Some(table) = tables.get(model) else {
        return Err(Failure::new(
            "odoo.exceptions.UserError",
            format!("Object {model} doesn't exist"),
        ));
    };
    if is_private(company.version, method) {
        return Err(Failure::private_method(company.version, model, method));
    }
    let Some(names) = signature(company.version, model, method) else {
        let message = match company.version {
            19.. => format!("The method '{model}.{method}' does not exist"),
            16.. => format!("The method '{method}' does not exist on the model '{model}'"),
            _ => format!("type object '{model}' has no attribute '{method}'"),
        };
        return Err(Failure::new("builtins.AttributeError", message));
    };
    let arguments = Arguments::bind(method, names, positional, keywords)?;
    arguments.check(method, company.version)?;
    let call = Call {
        company,
        user,
        model,
        table,
        tables: &tables,
        arguments,
    };
    let mut json = Json::default();
    match method {
        "fields_get" => call.fields_get(&mut json),
        "context_get" => {
            let mut context = json!({"lang": "en_US", "tz": "Europe/Brussels", "uid": user.uid});
            if company.version < 16
                && let Value::Object(context) = &mut context
            {
                context.remove("uid");
            }
            json.value(&context);
        }
        "get_external_id" => json.value(&call.external_ids()),
        "has_group" => json.value(&call.has_group()?),
        "exists" => {
            let ids = call.arguments.ids();
            let ids: Vec<_> = ids.iter().filter(|id| table.has(**id)).collect();
            json.value(&ids);
        }
        "generate_access_token" => {
            let ids = call.arguments.ids();
            for id in &ids {
                let table = company.attachments.table();
                let row = table.row(*id);
                row.ok_or_else(|| Failure::missing(model, *id, user.uid))?;
                let readable = table.readable_row(*id, user);
                readable.ok_or_else(|| call.forbidden_record(*id))?;
            }
            let tokens = company.attachments.access_tokens(&ids);
            json.value(&tokens.map_err(|_| call.no_writing(&call.arguments.ids()))?);
        }
        "write" => {
            let token = call.arguments.get("vals").get("access_token");
            let token = token.and_then(Value::as_str);
            let ids = call.arguments.ids();
            // Up to 18 it is nothing to write to what is not there.
            let gone = |id: &&i64| {
                company.version >= 19 && company.attachments.table().row(**id).is_none()
            };
            if let Some(id) = ids.iter().find(gone) {
                return Err(Failure::missing(model, *id, user.uid));
            }
            let written = company.attachments.write_token(&ids, token);
            written.map_err(|_| call.no_writing(&ids))?;
            json.value(&json!(true));
        }
        _ => {
            call.may_read()?;
            match method {
                // Up to 16 a number can be asked for instead of ids.
                "search" if call.arguments.get("count").as_bool() == Some(true) => {
                    json.value(&call.count()?);
                }
                "search" => json.value(&call.search()?),
                "search_count" => json.value(&call.count()?),
                "search_read" => {
                    let fields = call.fields()?;
                    let ids = call.search()?;
                    // It asks for archived records, and then forgets that they were asked for.
                    call.read(&ids, &fields, false, &mut json)?;
                }
                _ => {
                    let fields = call.fields()?;
                    let archived = call.arguments.context("active_test") == Some(false);
                    call.read(&call.arguments.ids(), &fields, archived, &mut json)?;
                }
            }
        }
    }
    Ok(json)
}

/// A call in progress.
pub(super) struct Call<'a> {
    pub(super) company: &'a Company,
    pub(super) user: &'a User,
    pub(super) model: &'a str,
    pub(super) table: &'a Table,
    pub(super) tables: &'a std::collections::BTreeMap<String, Table>,
    arguments: Arguments,
}

impl Call<'_> {
    /// The external ids of these records, by id; an empty text where there is none. Anybody may ask.
    fn external_ids(&self) -> Map<String, Value> {
        let data = self.tables.get("ir.model.data");
        let named = data.map(|data| data.external_ids(self.model));
        let named = named.unwrap_or_default();
        let of = |id: &i64| named.get(id).cloned().unwrap_or_default();
        let ids = self.arguments.ids();
        ids.iter()
            .map(|id| (id.to_string(), json!(of(id))))
            .collect()
    }

    /// Whether a user is in a group; one that is not there has no members.
    fn has_group(&self) -> Result<bool, Failure> {
        let Some(group) = self.arguments.get("group_ext_id").as_str() else {
            return Err(Failure::new(
                "builtins.TypeError",
                "has_group() missing 1 required positional argument: 'group_ext_id'",
            ));
        };
        let uid = if self.company.version >= 18 {
            let ids = self.arguments.ids();
            let [uid] = ids.as_slice() else {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                let message = format!("Expected singleton: res.users({})", ids.join(", "));
                return Err(Failure::new("builtins.ValueError", message));
            };
            *uid
        } else {
            self.user.uid
        };
        let user = self.company.users.iter().find(|user| user.uid == uid);
        Ok(user.is_some_and(|user| user.has_group(group)))
    }

    /// The companies that this account may read, where it may not read all of them: those that are allowed to it.
    fn companies(&self) -> Option<Vec<i64>> {
        if self.model != COMPANIES || self.user.has_group("base.group_erp_manager") {
            return None;
        }
        let allowed = self.tables.get("res.users").and_then(|users| {
            let fields = ["company_ids".to_owned()];
            users.read(self.user.uid, &fields, self.tables, false, false)
        });
        let allowed = allowed.into_iter().flatten();
        Some(allowed.flat_map(|(_, ids)| ids_of(&ids)).collect())
    }

    /// The fields as this account sees them.
    fn fields_get(&self, json: &mut Json) {
        let wanted = self
            .arguments
            .names("allfields")
            .filter(|wanted| !wanted.is_empty());
        let attributes = self.arguments.names("attributes");
        let described = self.table.fields.iter().filter(|(name, field)| {
            (self.user.is_administrator() || !field.settings)
                && wanted.as_ref().is_none_or(|wanted| wanted.contains(name))
        });
        let described: Map<String, Value> = described
            .map(|(name, field)| (name.clone(), field.describe(name, attributes.as_deref())))
            .collect();
        json.value(&described);
    }

    /// The fields that are asked for, `id` first; all of them where none is named.
    fn fields(&self) -> Result<Vec<String>, Failure> {
        let known: &Fields = &self.table.fields;
        let administrator = self.user.is_administrator();
        let asked = match self.arguments.names("fields") {
            Some(asked) if !asked.is_empty() => asked,
            _ => known
                .iter()
                .filter(|(_, field)| administrator || !field.settings)
                .map(|(name, _)| name.clone())
                .collect(),
        };
        let mut fields = vec!["id".to_owned()];
        for name in asked {
            let Some(field) = known.get(&name) else {
                return Err(Failure::unknown_field(
                    self.company.version,
                    self.model,
                    &name,
                ));
            };
            if field.settings && !administrator {
                return Err(self.forbidden_field(&name));
            }
            if !fields.contains(&name) {
                fields.push(name);
            }
        }
        Ok(fields)
    }

    fn domain(&self) -> Result<Domain, Failure> {
        let every = json!([]);
        let domain = self.by_family(self.arguments.0.get("domain").unwrap_or(&every));
        let mut domain = self.by_ids(&domain)?;
        if let Some(companies) = self.companies()
            && let Value::Array(terms) = domain.to_mut()
        {
            terms.push(json!(["id", "in", companies]));
        }
        let domain = Domain::parse(
            self.company.version,
            &domain,
            self.model,
            &self.table.fields,
        )?;
        if self.model == ATTACHMENTS {
            // Odoo hides the files of fields unless the domain names `res_field` or `id`: so paging by id
            // switches the filter off.
            let named = domain.mentions("res_field") || domain.mentions("id");
            return Ok(if named {
                domain
            } else {
                domain.and("res_field", Cell::Null)
            });
        }
        let archived_too = self.arguments.context("active_test") == Some(false);
        if self.table.fields.contains_key("active") && !archived_too && !domain.mentions("active") {
            return Ok(domain.and("active", Cell::Bool(true)));
        }
        Ok(domain)
    }

    fn search(&self) -> Result<Vec<i64>, Failure> {
        let domain = self.domain()?;
        let default = match self.model {
            ATTACHMENTS | "mail.message" => "id desc",
            "crm.lead" => "priority desc, id desc",
            "crm.stage" => "sequence, name, id",
            _ => "id",
        };
        let order = Order::parse(
            self.arguments.order(),
            default,
            self.model,
            &self.table.fields,
        )?;
        let (offset, limit) = (self.arguments.offset(), self.arguments.limit());
        Ok(if self.model == ATTACHMENTS {
            self.company
                .attachments
                .table()
                .search(&domain, &order, offset, limit, self.user)
        } else {
            self.table
                .search(&domain, &order, offset, limit, self.user.sees_all_leads())
        })
    }

    fn count(&self) -> Result<usize, Failure> {
        let domain = self.domain()?;
        let count = if self.model == ATTACHMENTS {
            self.company.attachments.table().count(&domain, self.user)
        } else {
            let order = Order::parse(None, "id", self.model, &self.table.fields)?;
            self.table
                .search(&domain, &order, 0, usize::MAX, self.user.sees_all_leads())
                .len()
        };
        Ok(count.min(self.arguments.limit()))
    }

    /// `archived`: lists of ids have archived records in them.
    fn read(
        &self,
        ids: &[i64],
        fields: &[String],
        archived: bool,
        json: &mut Json,
    ) -> Result<(), Failure> {
        let pairs = !matches!(self.arguments.0.get("load"), Some(load) if load != "_classic_read");
        // Who asks for nothing but the id is not told that the record is gone.
        let echoes = self.company.version >= 16 && fields.len() == 1;
        let missing = |id| Failure::missing(self.model, id, self.user.uid);
        let echo = |id: i64, rows: &mut Json| rows.value(&json!({"id": id}));
        let mut rows = Json::default();
        let mut first = true;
        let mut separate = |rows: &mut Json| {
            if !std::mem::take(&mut first) {
                rows.raw(", ");
            }
        };
        if self.model == ATTACHMENTS {
            let bin_size = self.arguments.context("bin_size") == Some(true);
            let table = self.company.attachments.table();
            for id in ids {
                if table.row(*id).is_none() {
                    if echoes {
                        separate(&mut rows);
                        echo(*id, &mut rows);
                    } else if fields.len() == 1 {
                        return Err(missing(*id));
                    }
                    continue;
                }
                let Some(row) = table.readable_row(*id, self.user) else {
                    return Err(self.forbidden_record(*id));
                };
                if fields.iter().any(|field| field == "raw") && !self.is_speakable(&row) {
                    return Err(Failure::unspeakable());
                }
                separate(&mut rows);
                rows.raw("{");
                for (index, field) in fields.iter().enumerate() {
                    rows.raw(if index == 0 { "\"" } else { ", \"" });
                    rows.raw(field);
                    rows.raw("\": ");
                    self.show_attachment(&row, field, bin_size, pairs, &mut rows);
                }
                rows.raw("}");
                rows.shows(fields.len());
            }
        } else {
            if let Some(said) = self.table.failing_field(fields)
                && !ids.is_empty()
            {
                return Err(Failure::access_error(said));
            }
            let companies = self.companies();
            let closed = |id| {
                let companies = companies.as_ref();
                self.table.has(id) && companies.is_some_and(|companies| !companies.contains(&id))
            };
            for id in ids {
                if self.table.failing(*id) {
                    return Err(Failure::new("builtins.KeyError", "'gone.model'"));
                }
                if closed(*id) || self.table.forbidden(*id, self.user.sees_all_leads()) {
                    return Err(self.forbidden_record(*id));
                }
                let Some(row) = self.table.read(*id, fields, self.tables, pairs, archived) else {
                    if echoes {
                        separate(&mut rows);
                        echo(*id, &mut rows);
                    } else if fields.len() == 1 {
                        return Err(missing(*id));
                    }
                    continue;
                };
                separate(&mut rows);
                for (index, (field, value)) in row.iter().enumerate() {
                    rows.raw(if index == 0 { "{\"" } else { ", \"" });
                    rows.raw(field);
                    rows.raw("\": ");
                    match value.get("$raw").and_then(Value::as_str) {
                        Some(raw) => rows.raw(raw),
                        None => rows.value(value),
                    }
                }
                rows.raw("}");
                rows.shows(row.len());
            }
        }
        json.raw("[");
        json.append(rows);
        json.raw("]");
        Ok(())
    }

    /// Whether `raw` can be put into JSON: a text can, and before 18 so can any byte, each as a letter.
    fn is_speakable(&self, row: &Attachment) -> bool {
        self.company.version < 18 || row.raw().is_none_or(|raw| String::from_utf8(raw).is_ok())
    }

    fn show_attachment(
        &self,
        row: &Attachment,
        field: &str,
        bin_size: bool,
        pairs: bool,
        json: &mut Json,
    ) {
        if field == "datas" {
            return match row.stored().filter(|content| content.len() > 0) {
                Some(content) if bin_size => json.value(&human_size(content.len())),
                Some(content) => json.base64(std::sync::Arc::new(content)),
                None if bin_size => json.value(&false),
                // Empty, lost and linked alike: `datas: ""` and no error.
                None => json.value(""),
            };
        }
        if field == "raw" {
            return match row.raw() {
                None => json.value(&false),
                Some(raw) => json.value(&String::from_utf8(raw).unwrap_or_else(|error| {
                    error
                        .into_bytes()
                        .iter()
                        .map(|byte| char::from(*byte))
                        .collect()
                })),
            };
        }
        match row.cell(field) {
            Cell::Null => json.value(&self.table.fields.get(field).map(Field::default)),
            Cell::Bool(value) => json.value(&value),
            Cell::Int(value) => json.value(&value),
            Cell::Text(text) => json.value(&text),
            Cell::Time(us) => json.value(&datetime(us)),
            Cell::Link(id, name) if pairs => json.value(&json!([id, name])),
            Cell::Link(id, _) => json.value(&id),
            // An attachment has no floats, and no lists that are known here.
            Cell::Real(_) | Cell::Many(_) => json.raw("false"),
        }
    }
}

/// Units, each 1024 times the one before, which is `bytes` at first.
const LARGER: [&str; 4] = ["Kb", "Mb", "Gb", "Tb"];

/// How `bin_size` shows a size: `15.00 bytes`.
fn human_size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two decimals")]
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for larger in LARGER {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.2} {unit}")
}
