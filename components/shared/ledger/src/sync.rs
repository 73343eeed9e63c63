//! Copies of Odoo's models: one table each, written page by page. A null `row_hash` marks a row that something refers
//! to and that is still to be read.

pub use crate::table::Table;

use crate::runs::RunId;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Mentioned;
use crate::unreadable::Unreadable;
use crate::validation::Validation;
use crate::{Postgres, call, call_one, call_with, document};

/// The lease of a run, which each statement extends.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The run; once it was given up, statements change nothing.
    pub run_id: RunId,
    /// Length in seconds.
    pub lease_s: u32,
}

/// A row's columns by name, with `id`, `custom`, `row_hash` and the dates.
pub type Row = serde_json::Map<String, Value>;

/// A page to write.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    /// Its rows.
    pub rows: &'a [Row],
    /// Ids that Odoo was asked for and does not have.
    pub gone: &'a [i64],
    /// The model, and which of its records and fields cannot be read.
    pub unreadable: (&'a str, &'a [Unreadable]),
    /// Custom fields that keep their old value where a row lacks them.
    pub frozen: &'a [String],
    /// Whether to drop rows that nothing refers to. Only the table of partners looks at it.
    pub referred: bool,
    /// For a table of parts: the owners whose parts this page holds completely.
    pub answered: &'a [i64],
    /// The records that these rows refer to.
    pub mentioned: &'a [Mentioned],
    /// The cursor's name and its position after this page.
    pub cursor: Option<(&'a str, &'a Value)>,
    /// Dry run: only count what would change.
    pub dry: bool,
}

/// What a page changed, or would change in a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// New rows.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows without a change; they were not written.
    pub unchanged: u64,
    /// Rows marked as deleted.
    pub deleted: u64,
    /// Records and fields that cannot be read in Odoo and were not on the list of these before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unreadable: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.deleted += other.deleted;
        self.unreadable += other.unreadable;
    }
}

/// A serialized page with its statement: the rows that it was made of can be dropped.
#[derive(Debug)]
pub struct PreparedPage {
    statement: &'static str,
    document: Vec<u8>,
}

/// Serializes a page.
pub fn prepare(table: &'static Table, lease: Lease, page: Page<'_>) -> Result<PreparedPage, Fault> {
    // Serialize from borrowed rows: a page is a few megabytes, and a copy would double that.
    #[derive(Serialize)]
    struct Argument<'a> {
        run_id: RunId,
        lease_s: u32,
        table: &'static str,
        rows: &'a [Row],
        gone: &'a [i64],
        model: &'a str,
        unreadable: &'a [Unreadable],
        frozen: &'a [String],
        referred: bool,
        answered: &'a [i64],
        mentioned: &'a [Mentioned],
        cursor: Option<&'a str>,
        position: Option<&'a Value>,
        dry: bool,
    }
    let argument = Argument {
        run_id: lease.run_id,
        lease_s: lease.lease_s,
        table: table.name,
        rows: page.rows,
        gone: page.gone,
        model: page.unreadable.0,
        unreadable: page.unreadable.1,
        frozen: page.frozen,
        referred: page.referred,
        answered: page.answered,
        mentioned: page.mentioned,
        cursor: page.cursor.map(|(name, _)| name),
        position: page.cursor.map(|(_, position)| position),
        dry: page.dry,
    };
    Ok(PreparedPage {
        statement: &table.statements().write,
        document: document(&argument)?,
    })
}

/// Writes a page and its cursor in one statement: either the page is in, or it is read again. A row with an
/// unchanged hash is not written. `None`: the run was given up.
pub async fn write(postgres: &impl Postgres, page: PreparedPage) -> Result<Option<Written>, Fault> {
    let written = call_with(postgres, page.statement, page.document);
    Ok(written.await?.pop())
}

/// A row of Odoo's list, for validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: i64,
    /// When it was last written, in the precision of RPC.
    pub write_date: Option<chrono::DateTime<chrono::Utc>>,
}

/// A range of Odoo's list: the ids above `after_id` up to `up_to_id` (`None`: to the end).
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The model.
    pub model: &'a str,
    /// Odoo's rows in this range.
    pub listed: &'a [Listed],
    /// Ids above this one.
    pub after_id: i64,
    /// Ids up to this one.
    pub up_to_id: Option<i64>,
    /// Rows that were written in Odoo after this moment are not expected in the table yet.
    pub written: Option<chrono::DateTime<chrono::Utc>>,
}

/// Difference between a range of Odoo's list and the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Difference {
    /// Number of rows in the table.
    pub here: u64,
    /// Number of rows that are missing or stale only because they are newer than the last reading.
    pub later: u64,
    /// Ids in Odoo only.
    pub missing: Vec<i64>,
    /// Ids on both sides, with different dates.
    pub stale: Vec<i64>,
    /// Ids in the table only.
    pub extra: Vec<i64>,
}

/// Compares a range of Odoo's list with the table. `None`: the run was given up.
pub async fn compare(
    postgres: &impl Postgres,
    table: &'static Table,
    lease: Lease,
    part: Part<'_>,
) -> Result<Option<Difference>, Fault> {
    #[derive(Serialize)]
    struct Argument<'a> {
        run_id: RunId,
        lease_s: u32,
        model: &'a str,
        listed: &'a [Listed],
        after_id: i64,
        up_to_id: Option<i64>,
        written: Option<chrono::DateTime<chrono::Utc>>,
    }
    let argument = Argument {
        run_id: lease.run_id,
        lease_s: lease.lease_s,
        model: part.model,
        listed: part.listed,
        after_id: part.after_id,
        up_to_id: part.up_to_id,
        written: part.written,
    };
    Ok(call(postgres, &table.statements().compare, &argument)
        .await?
        .pop())
}

/// Ends a validation: logs it, marks rows that are gone from Odoo as deleted, and moves the cursor. Returns
/// how many rows were marked; `None`: the run was given up.
pub async fn conclude(
    postgres: &impl Postgres,
    table: &'static Table,
    lease: Lease,
    model: &str,
    validation: &Validation<'_>,
    gone: &[i64],
    cursor: (&str, &Value),
) -> Result<Option<u64>, Fault> {
    let argument = serde_json::json!({
        "run_id": lease.run_id, "lease_s": lease.lease_s, "model": model, "validation": validation, "gone": gone,
        "cursor": cursor.0, "position": cursor.1,
    });
    Ok(call(postgres, &table.statements().conclude, &argument)
        .await?
        .pop())
}

/// The next `limit` ids of the table, or of its owners' table; deleted rows are included.
pub async fn known(
    postgres: &impl Postgres,
    table: &'static Table,
    after_id: i64,
    limit: usize,
) -> Result<Vec<i64>, Fault> {
    let argument = serde_json::json!({ "after_id": after_id, "limit": limit });
    call_one(postgres, &table.statements().known, &argument).await
}

/// The next `limit` ids that are still to be read because something refers to them, or owners whose parts
/// are.
pub async fn waiting(
    postgres: &impl Postgres,
    table: &'static Table,
    model: &str,
    after_id: i64,
    limit: usize,
) -> Result<Vec<i64>, Fault> {
    let argument = serde_json::json!({ "model": model, "after_id": after_id, "limit": limit });
    call_one(postgres, &table.statements().waiting, &argument).await
}

/// Moves several cursors without a page, in one statement. `false`: the run was given up.
pub async fn move_on(
    postgres: &impl Postgres,
    lease: Lease,
    cursors: &[(&str, Value)],
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select m.value->>0, m.value->1, now() from run, jsonb_array_elements($1::jsonb->'cursors') m
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb(exists (select from run)) from (select count(*) from moved_on) as done";
    let argument = serde_json::json!({
        "run_id": lease.run_id, "lease_s": lease.lease_s, "cursors": cursors,
    });
    call_one(postgres, STATEMENT, &argument).await
}
