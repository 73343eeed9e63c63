//! Every object and every row, compared with Odoo.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use stage::Caller;
use tokio_postgres::Client;
use world::odoo::{Attachment, Odoo};
use world::storage::Storage;

use crate::changes::UNSELECTED;
use crate::plan::Job;

/// What was compared, and what differs.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Attachments of Odoo that have content.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Attachments without content, skipped with a reason.
    pub skipped: u64,
    /// Attachments that are not selected, and are known of all the same.
    pub unselected: u64,
    /// Attachments that are gone from Odoo.
    pub deleted: u64,
    /// Those of them that had been moved.
    pub deleted_moved: u64,
    /// Files whose objects were read, and have Odoo's bytes.
    pub read: u64,
    /// Objects in Storage.
    pub objects: u64,
    /// Objects of contents that Odoo has no more.
    pub former: u64,
    /// Times that a file became moved, as a trigger saw it.
    pub moves: u64,
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, u64>,
    /// Values of columns that were compared.
    pub values: u64,
    /// What differs, in words.
    pub differences: Vec<String>,
}

/// Who writes a table, its name, the model it is a copy of, and whether it has all of its records.
const TABLES: [(Job, &str, &str, bool); 9] = [
    (Job::Crm, "odoo_stages", "crm.stage", true),
    (Job::Crm, "odoo_teams", "crm.team", true),
    (Job::Crm, "odoo_tags", "crm.tag", true),
    (Job::Crm, "odoo_lost_reasons", "crm.lost.reason", true),
    (Job::Crm, "odoo_users", "res.users", true),
    (Job::Crm, "odoo_leads", "crm.lead", true),
    // Those that somebody refers to.
    (Job::Crm, "odoo_partners", "res.partner", false),
    (Job::Chatter, "odoo_messages", "mail.message", true),
    (
        Job::Chatter,
        "odoo_field_changes",
        "mail.tracking.value",
        true,
    ),
];

const BUCKET: &str = "odoo-archive";

/// What nobody has to read twice.
const MOST_DIFFERENCES: usize = 40;

/// Who is compared.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// Postgres, as the project's owner.
    pub owner: &'a Client,
    /// The source.
    pub odoo: &'a Odoo,
    /// The destination of bytes.
    pub storage: &'a Storage,
    /// Whose work is looked at.
    pub jobs: &'a [Job],
}

impl Sides<'_> {
    /// Compares every object and every row. `contents` are those that Odoo ever had, where they are
    /// known.
    pub async fn compare(self, contents: Option<&HashSet<String>>) -> Result<Comparison> {
        let mut comparison = Comparison::default();
        if self.jobs.contains(&Job::Archive) {
            self.files(contents, &mut comparison).await?;
        }
        for (job, table, model, all) in TABLES {
            if self.jobs.contains(&job) {
                self.rows((table, model, all), &mut comparison).await?;
            }
        }
        self.bookkeeping(&mut comparison).await?;
        Ok(comparison)
    }
}

impl Comparison {
    /// Takes down what differs.
    pub fn differs(&mut self, words: impl Into<String>) {
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(words.into());
        }
    }

    fn expect(&mut self, what: &str, found: i64, expected: i64) {
        if found != expected {
            self.differs(format!("{what}: {found}, not {expected}"));
        }
    }
}

async fn table(owner: &Client, query: &str) -> Result<BTreeMap<i64, Map<String, Value>>> {
    let rows = owner
        .query(query, &[])
        .await
        .with_context(|| query.to_owned())?;
    let mut found = BTreeMap::new();
    for row in rows {
        if let Value::Object(columns) = row.try_get::<_, Value>(0)? {
            let id = columns.get("id").and_then(Value::as_i64);
            found.insert(id.context("a row without an id")?, columns);
        }
    }
    Ok(found)
}

async fn count(owner: &Client, query: &str) -> Result<i64> {
    let row = owner.query_one(query, &[]).await;
    Ok(row.with_context(|| query.to_owned())?.try_get(0)?)
}

impl Sides<'_> {
    async fn files(
        self,
        contents: Option<&HashSet<String>>,
        comparison: &mut Comparison,
    ) -> Result<()> {
        let stored: HashMap<String, (u64, String)> = self
            .storage
            .objects()
            .into_iter()
            .map(|object| (object.name, (object.size, object.sha1)))
            .collect();
        let mut rows = table(
            self.owner,
            "select to_jsonb(a) from public.odoo_attachments a where a.deleted_at is null",
        )
        .await?;
        let mut needed = HashSet::new();
        for id in self.odoo.attachments().ids() {
            let Some(attachment) = self.odoo.attachments().get(id) else {
                continue;
            };
            let row = rows.remove(&id);
            if attachment.mimetype == UNSELECTED {
                unselected(id, row.as_ref(), comparison);
                continue;
            }
            let Some(row) = row else {
                comparison.differs(format!("attachment {id} is not in the catalogue"));
                continue;
            };
            file(&attachment, &row, &stored, &mut needed, comparison);
            self.bytes(id, &row, comparison);
        }
        for id in rows.keys() {
            comparison.differs(format!(
                "attachment {id} is gone from Odoo, and not marked as deleted"
            ));
        }
        let deleted = "select count(*) from public.odoo_attachments where deleted_at is not null";
        comparison.deleted = u64::try_from(count(self.owner, deleted).await?)?;
        let moved = "select count(*) from public.odoo_attachments where deleted_at is not null and state = 'moved'";
        comparison.deleted_moved = u64::try_from(count(self.owner, moved).await?)?;
        comparison.objects = stored.len() as u64;
        for (name, (_, sha1)) in &stored {
            if *name != path_of(sha1) {
                comparison.differs(format!("the object {name} has the SHA-1 {sha1}"));
            }
            if contents.is_some_and(|contents| !contents.contains(sha1)) {
                comparison.differs(format!(
                    "the object {name} is of no content that Odoo ever had"
                ));
            }
            comparison.former += u64::from(!needed.contains(sha1));
        }
        Ok(())
    }
}

/// A file that is not selected is known of where something refers to it, and is moved nowhere: among the objects its
/// content is one that nobody knows.
fn unselected(id: i64, row: Option<&Map<String, Value>>, comparison: &mut Comparison) {
    let Some(row) = row else { return };
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    comparison.unselected += 1;
    if (text("state"), text("reason")) != ("skipped", "not_selected") {
        let (state, reason) = (text("state"), text("reason"));
        comparison.differs(format!(
            "attachment {id} is not selected, and is {state}: {reason}"
        ));
    }
}

fn path_of(sha1: &str) -> String {
    format!("{}/{sha1}", sha1.get(..2).unwrap_or_default())
}

fn file(
    attachment: &Attachment,
    row: &Map<String, Value>,
    stored: &HashMap<String, (u64, String)>,
    needed: &mut HashSet<String>,
    comparison: &mut Comparison,
) {
    let id = attachment.id;
    let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
    for (column, here, there) in [
        ("name", text("name"), attachment.name.as_str()),
        ("mimetype", text("mimetype"), attachment.mimetype.as_str()),
        (
            "checksum",
            text("checksum"),
            attachment.checksum.as_deref().unwrap_or_default(),
        ),
    ] {
        comparison.values += 1;
        if here != there {
            comparison.differs(format!("attachment {id}: {column} {here:?}, not {there:?}"));
        }
    }
    let Some(sha1) = attachment
        .checksum
        .as_ref()
        .filter(|_| attachment.r#type == "binary" && attachment.file_size > 0)
    else {
        comparison.skipped += 1;
        if text("state") != "skipped" || text("reason").is_empty() {
            comparison.differs(format!(
                "attachment {id} has no content, and is {}",
                text("state")
            ));
        }
        return;
    };
    comparison.files += 1;
    comparison.bytes += attachment.file_size;
    needed.insert(sha1.clone());
    if text("state") != "moved" {
        comparison.differs(format!(
            "attachment {id} is {}: {} {}",
            text("state"),
            text("reason"),
            text("message")
        ));
        return;
    }
    // Storage hashed what it received.
    let object = stored.get(text("object_path"));
    if object != Some(&(attachment.file_size, sha1.clone())) {
        comparison.differs(format!(
            "attachment {id}: {} bytes of {sha1} are not at {:?}, but {object:?}",
            attachment.file_size,
            text("object_path")
        ));
    }
}

impl Sides<'_> {
    /// Compares the bytes of a moved file's object with Odoo's, where Storage keeps them.
    fn bytes(self, id: i64, row: &Map<String, Value>, comparison: &mut Comparison) {
        let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
        if text("state") != "moved" {
            return;
        }
        let Some(bytes) = self.storage.bytes(BUCKET, text("object_path")) else {
            return;
        };
        if self.odoo.attachments().content(id).as_ref() == Some(&bytes) {
            comparison.read += 1;
        } else {
            comparison.differs(format!(
                "attachment {id}: the {} bytes at {:?} are not Odoo's",
                bytes.len(),
                text("object_path")
            ));
        }
    }

    async fn rows(
        self,
        (name, model, all): (&'static str, &str, bool),
        comparison: &mut Comparison,
    ) -> Result<()> {
        let query = format!(
            "select to_jsonb(t) from public.{name} t where t.deleted_at is null and t.row_hash is not null"
        );
        let mut here = table(self.owner, &query).await?;
        comparison.rows.insert(name, here.len() as u64);
        let records = self.odoo.records(model);
        for id in records.ids() {
            let Some(mut record) = records.get(id) else {
                continue;
            };
            if model == "mail.message" {
                self.tell_what_is_internal(&mut record);
            }
            match here.remove(&id) {
                None if all => comparison.differs(format!("{name}: {id} is missing")),
                None => {}
                Some(row) => columns(name, id, &row, &record, comparison),
            }
        }
        for id in here.keys() {
            comparison.differs(format!(
                "{name}: {id} is gone from Odoo, and not marked as deleted"
            ));
        }
        if !all {
            let query = format!(
            "select count(*) from public.odoo_leads l where l.deleted_at is null and l.partner_id is not null
               and not exists (select from public.{name} p where p.id = l.partner_id and p.row_hash is not null)"
        );
            let unread = count(self.owner, &query).await?;
            comparison.expect("leads whose customer was not read", unread, 0);
        }
        Ok(())
    }
}

impl Sides<'_> {
    /// The columns of a message say whether it is internal as Odoo's own rule has it (`mail_message.py`): by its
    /// flag, without a subtype, or by an internal one.
    fn tell_what_is_internal(self, message: &mut Value) {
        let flag = message.get("is_internal") == Some(&Value::Bool(true));
        let subtype = message.get("subtype_id").and_then(|subtype| {
            let first = subtype.as_array().and_then(|pair| pair.first());
            first.unwrap_or(subtype).as_i64()
        });
        let subtypes = self.odoo.records("mail.message.subtype");
        let by_subtype = subtype.is_none_or(|id| {
            let subtype = subtypes.get(id);
            subtype.is_none_or(|subtype| subtype.get("internal") != Some(&Value::Bool(false)))
        });
        if let Some(fields) = message.as_object_mut() {
            fields.insert("is_internal".to_owned(), Value::Bool(flag || by_subtype));
            fields.insert("is_internal_flag".to_owned(), Value::Bool(flag));
        }
    }
}

/// Every column that has the name of a field in Odoo.
fn columns(
    name: &str,
    id: i64,
    row: &Map<String, Value>,
    record: &Value,
    comparison: &mut Comparison,
) {
    for (column, here) in row {
        let Some(there) = record.get(column) else {
            continue;
        };
        comparison.values += 1;
        if !agrees(here, there) {
            comparison.differs(format!("{name}: {column} of {id} is {here}, not {there}"));
        }
    }
}

/// Whether a value of Postgres is what Odoo says, where nothing is `false`, a reference `[id, name]`,
/// and a date without its zone.
fn agrees(here: &Value, there: &Value) -> bool {
    let reference = there
        .as_array()
        .filter(|pair| pair.get(1).is_some_and(Value::is_string))
        .and_then(|pair| pair.first());
    match here {
        Value::Null => matches!(there, Value::Null | Value::Bool(false)) || there == "",
        Value::Bool(_) => here == there,
        Value::Number(number) => {
            let there = reference.unwrap_or(there);
            let said = there
                .as_f64()
                .or_else(|| there.as_str().and_then(|text| text.parse().ok()));
            number.as_f64() == said
        }
        Value::String(text) => {
            there == text.as_str()
                || there.as_str().is_some_and(|there| is_moment(text, there))
                || there
                    .as_i64()
                    .is_some_and(|there| there.to_string() == *text)
                || (text.is_empty() && there == false)
        }
        Value::Array(ids) => match reference {
            Some(id) => ids.as_slice() == [id.clone()],
            None => here == there || (ids.is_empty() && there == false),
        },
        // Custom fields and the like have no counterpart of the same name.
        Value::Object(_) => true,
    }
}

/// `2026-11-21T20:21:22+00:00` is `2026-11-21 20:21:22`.
fn is_moment(here: &str, there: &str) -> bool {
    there.len() == 19
        && here
            .get(..19)
            .map(|moment| moment.replace('T', " "))
            .as_deref()
            == Some(there)
}

impl Sides<'_> {
    /// Counters, leases, the log.
    async fn bookkeeping(self, comparison: &mut Comparison) -> Result<()> {
        let off = table(
        self.owner,
        "select jsonb_build_object('id', row_number() over (), 'bucket', to_jsonb(r)) from odoo_sync.recount() r",
    )
    .await?;
        if !off.is_empty() {
            comparison.differs(format!("the counters were off: {off:?}"));
        }
        let moves = count(self.owner, "select count(*) from public.chaos_moves").await?;
        comparison.moves = u64::try_from(moves)?;
        for (what, query, expected) in [
            (
                "files that the log says were moved",
                "select coalesce(sum(migrated), 0) from public.migration_logs where job = 'archive-batch'",
                moves,
            ),
            (
                "files that the runs say were moved",
                "select coalesce(sum((counts->>'moved')::bigint), 0)::bigint from odoo_sync.runs where job = 'archive-batch'",
                moves,
            ),
            (
                "files that somebody holds",
                "select count(*) from public.odoo_attachments where lease_id is not null",
                0,
            ),
            (
                "runs that did not end",
                "select count(*) from odoo_sync.runs where outcome = 'running'",
                0,
            ),
            (
                "runs that are in the log twice",
                "select count(*) from (select from public.migration_logs where run_id is not null group by run_id having count(*) > 1) twice",
                0,
            ),
            (
                "crashed runs that are not in the log",
                "select count(*) from odoo_sync.runs r where r.outcome = 'crashed' and not exists (select from public.migration_logs l where l.run_id = r.id)",
                0,
            ),
            (
                "files that are still to be moved, or dead",
                if self.jobs.contains(&Job::Archive) {
                    "select count(*) from public.odoo_attachments where state in ('pending', 'dead')"
                } else {
                    "select 0::bigint"
                },
                0,
            ),
            (
                "comparisons of both sides that differed at last",
                "select count(*) from (select distinct on (entity) verdict from public.sync_validation_log order by entity, created_at desc) v where v.verdict <> 'same'",
                0,
            ),
        ] {
            let found = count(self.owner, query).await?;
            comparison.expect(what, found, expected);
        }
        Ok(())
    }
}

/// What counts the moves by itself, beside the program: each time that a file becomes moved. The
/// bookkeeping is compared with it.
pub const WITNESS: &str = "
    create table public.chaos_moves (id bigint not null, at timestamptz not null default clock_timestamp());
    create function public.chaos_witness() returns trigger language plpgsql security definer set search_path = '' as $$
    begin
      insert into public.chaos_moves (id) values (new.id);
      return null;
    end $$;
    create trigger chaos_witness after update on public.odoo_attachments for each row
      when (old.state <> 'moved' and new.state = 'moved') execute function public.chaos_witness();";

/// What the status says when all is done.
pub async fn what_people_see(caller: &Caller, comparison: &mut Comparison) -> Result<()> {
    let status = caller
        .get("/status", Some(stage::SERVICE_KEY))
        .await?
        .json();
    let at = |pointer: &str| status.pointer(pointer).cloned().unwrap_or_default();
    for (pointer, expected) in [
        ("/state", Value::from("done")),
        ("/archive/phase", "done".into()),
        ("/archive/remaining", 0.into()),
        ("/archive/dead", 0.into()),
        (
            "/archive/migrated",
            (comparison.files + comparison.deleted_moved).into(),
        ),
        ("/syncs/crm/validation/verdict", "same".into()),
        ("/syncs/chatter/validation/verdict", "same".into()),
    ] {
        if at(pointer) != expected {
            comparison.differs(format!(
                "/status says {} at {pointer}, not {expected}; jobs: {}",
                at(pointer),
                at("/jobs")
            ));
        }
    }
    Ok(())
}

/// What no line of the app may hold: a secret; a panic, which fails every request of its instance.
pub fn panics_and_secrets(lines: &[String], comparison: &mut Comparison) {
    let words = [
        "panicked",
        "Traceback",
        stage::SERVICE_KEY,
        "service-role-key",
        "admin-api-key",
        "throw-away",
    ];
    for line in lines {
        if let Some(word) = words.iter().find(|word| line.contains(*word)) {
            comparison.differs(format!("{word:?} is in a line of the app: {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_agrees_with_what_odoo_says_and_with_nothing_else() {
        for (here, there) in [
            (json!(null), json!(false)),
            (json!(3), json!([3, "Sales"])),
            (json!(2), json!("2")),
            (json!(42.5), json!(42.5)),
            (
                json!("2026-11-21T20:21:22+00:00"),
                json!("2026-11-21 20:21:22"),
            ),
            (json!([1, 2]), json!([1, 2])),
            (json!([7]), json!([7, "Team"])),
            (json!([]), json!(false)),
            (json!(false), json!(false)),
        ] {
            assert!(agrees(&here, &there), "{here} {there}");
        }
        for (here, there) in [
            (json!(null), json!("text")),
            (json!(3), json!([4, "Sales"])),
            (json!("a"), json!("b")),
            (
                json!("2026-11-21T20:21:22+00:00"),
                json!("2026-11-21 20:21:23"),
            ),
            (json!([1]), json!([1, 2])),
            (json!(true), json!(false)),
        ] {
            assert!(!agrees(&here, &there), "{here} {there}");
        }
    }
}
