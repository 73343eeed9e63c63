//! Copies of Odoo's models: one table each, written page by page.
//!
//! The statements differ between tables only in the table's name and columns, so a macro spells them out at
//! compile time: none is built at run time. A null `row_hash` marks a row that something refers to and that
//! is still to be read.

use crate::runs::RunId;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Mentioned;
use crate::unreadable::Unreadable;
use crate::validation::Validation;
use crate::{Postgres, call, call_one, call_with, document};

/// A table and its statements.
#[derive(Debug)]
pub struct Table {
    /// Its name, with the schema.
    pub name: &'static str,
    /// Its own columns, without those that every such table has.
    pub columns: &'static [&'static str],
    /// The column with all other fields, and the one with their cleaned HTML.
    pub rest: [&'static str; 2],
    /// Whether it holds rows of several models, distinguished by the column `model`.
    pub shared: bool,
    pub(crate) write: &'static str,
    pub(crate) compare: &'static str,
    pub(crate) conclude: &'static str,
    pub(crate) known: &'static str,
    pub(crate) waiting: &'static str,
}

/// Defines a table with its statements.
///
/// `wanted` is a condition on the rows of a page that are kept. `refers` names columns that point to rows of
/// another such table: missing rows are inserted there with a null `row_hash`, to be read. `attaches` names
/// columns with ids of attachments: those that the catalogue lacks are queued to be asked for.
///
/// `of` is for a table of parts: it names the table of the owners, the column that points to them, and the
/// queue of owners whose parts are still to be read. The owners' table adds the rows that it writes to this
/// queue (`tells`). `known` and `waiting` then return ids of owners, and `compare` cuts its ranges by them.
///
/// `shared by` is the column that distinguishes the rows of several models. `rest` names the two columns that
/// are called `custom` and `custom_html` in other tables.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident = $table:literal [ $($column:ident)* ]
        $(, wanted $wanted:literal)?
        $(, refers to $other:literal by [ $($link:ident)+ ])?
        $(, attaches [ $($files:ident)+ ])?
        $(, tells $told:literal)?
        $(, of $owner:literal by $key:ident in $list:literal)?
        $(, shared by $by:ident)?
        $(, rest $rest:ident $rest_html:ident)?
    ) => {
        $(#[$doc])*
        pub static $name: $crate::sync::Table = $crate::sync::Table {
            name: $table,
            columns: &[$(stringify!($column)),*],
            rest: [$crate::sync::either!([$(stringify!($rest))?] "custom"), $crate::sync::either!([$(stringify!($rest_html))?] "custom_html")],
            shared: $crate::sync::is!($($by)?),
            write: concat!("
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id, ($1::jsonb->>'dry')::boolean as dry
        ), page as (
          select p.*, t.", $crate::sync::either!([$(stringify!($rest))?] "custom"), " as rest_before, run.dry,
                 t.id is null or t.row_hash is null as is_new, t.row_hash is distinct from p.row_hash or t.deleted_at is not null as differs
            from run cross join jsonb_array_elements($1::jsonb->'rows') r (value)
            left join ", $table, " t on t.id = (r.value->>'id')::bigint", $(" and t.", stringify!($by), " = r.value->>'", stringify!($by), "'",)? "
           cross join lateral jsonb_populate_record(t, r.value) p
           where true", $(" and ", $wanted,)? "
        ), written as (
          insert into ", $table, " as t (id, ", $(stringify!($column), ", ",)* $crate::sync::either!([$(stringify!($rest))?] "custom"), ", ", $crate::sync::either!([$(stringify!($rest_html))?] "custom_html"), ", create_date, write_date, row_hash)
          select p.id, ", $("p.", stringify!($column), ", ",)* "coalesce((select jsonb_object_agg(k.key, k.value) from jsonb_each(p.rest_before) k where $1::jsonb->'frozen' ? k.key), '{}')
                 || coalesce(p.", $crate::sync::either!([$(stringify!($rest))?] "custom"), ", '{}'), coalesce(p.", $crate::sync::either!([$(stringify!($rest_html))?] "custom_html"), ", '{}'), p.create_date, p.write_date, p.row_hash
            from page p
           where p.differs and not p.dry
           order by p.id
          on conflict (", $(stringify!($by), ", ",)? "id) do update
             set ", $(stringify!($column), " = excluded.", stringify!($column), ", ",)* "
                 ", $crate::sync::either!([$(stringify!($rest))?] "custom"), " = excluded.", $crate::sync::either!([$(stringify!($rest))?] "custom"), ",
                 ", $crate::sync::either!([$(stringify!($rest_html))?] "custom_html"), " = excluded.", $crate::sync::either!([$(stringify!($rest_html))?] "custom_html"), ", create_date = excluded.create_date, write_date = excluded.write_date,
                 row_hash = excluded.row_hash, synced_at = now(), deleted_at = null
          returning 1
        ), gone as (
          update ", $table, " t set deleted_at = now(), synced_at = now()
            from run
           where t.id in (select jsonb_array_elements_text($1::jsonb->'gone')::bigint)", $(" and t.", stringify!($by), " = $1::jsonb->>'model'",)? " and t.deleted_at is null and not run.dry
          returning t.row_hash is not null as was_read
        )", $(", waiting as (
          insert into ", $other, " (id)
          select distinct v.id from page p cross join lateral (values ", $crate::sync::linked!($($link)+), ") v (id)
           where v.id is not null and not p.dry
             and not ($1::jsonb->>'table' = '", $other, "' and exists (select from page q where q.id = v.id))
           order by v.id
          on conflict (id) do nothing
          returning 1
        )",)? $(", wanted as (
          insert into odoo_sync.wanted_attachments as w (id)
          select distinct f.id from page p
           cross join lateral unnest(", $crate::sync::joined!($($files)+), ") f (id)
           where p.differs and not p.dry and f.id > 0
             and not exists (select from public.odoo_attachments a where a.id = f.id)
           order by f.id
          on conflict (id) do update set asked_at = null where w.asked_at is not null
          returning 1
        )",)? $(", told as (
          insert into ", $told, " (message_id)
          select p.id from page p where p.differs and not p.dry order by p.id
          on conflict do nothing
          returning 1
        )",)? $(", answered as (
          delete from ", $list, " a using run
           where a.", stringify!($key), " in (select jsonb_array_elements_text($1::jsonb->'answered')::bigint) and not run.dry
          returning 1
        )",)? ", ", $crate::names::named!(), ", ", $crate::unreadable::noted!(), ", readable as (
          delete from odoo_sync.unreadable u using page p
           where u.model = $1::jsonb->>'model' and u.id = p.id and not p.dry
             and not exists (select from jsonb_to_recordset($1::jsonb->'unreadable') as n (id bigint) where n.id = p.id)
          returning 1
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now()
            from run where not run.dry and jsonb_typeof($1::jsonb->'position') = 'object'
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select jsonb_build_object(
          'inserted', (select count(*) from page p where p.differs and p.is_new),
          'updated', (select count(*) from page p where p.differs and not p.is_new),
          'unchanged', (select count(*) from page p where not p.differs),
          'deleted', (select count(*) from gone g where g.was_read),
          'unreadable', (select count(*) from noted n where n.new))
          from run
         where (select count(*) from written) + (select count(*) from moved_on) + (select count(*) from readable) >= 0"),
            compare: concat!("
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id
        ), listed as (
          select l.id, l.write_date from jsonb_to_recordset($1::jsonb->'listed') as l (id bigint, write_date timestamptz)
        ), seen_again as (
          delete from odoo_sync.unreadable u using run, listed l
           where u.model = $1::jsonb->>'model' and u.hidden and u.id = l.id
          returning 1
        ), here as (
          select t.id, t.write_date from ", $table, " t
           where t.", $crate::sync::key!($($key)?), " > ($1::jsonb->>'after_id')::bigint
             and t.", $crate::sync::key!($($key)?), " <= coalesce(($1::jsonb->>'up_to_id')::bigint, 9223372036854775807)
             and t.deleted_at is null and t.row_hash is not null", $(" and t.", stringify!($by), " = $1::jsonb->>'model'",)? "
        ), compared as (
          select coalesce(l.id, h.id) as id,
                 case when h.id is null then 'missing' when l.id is null then 'extra'
                      when l.write_date is distinct from h.write_date then 'stale' end as what,
                 coalesce(l.write_date > ($1::jsonb->>'written')::timestamptz, false) as later
            from listed l full join here h on h.id = l.id
        )
        select jsonb_build_object(
          'here', (select count(*) from here),
          'later', count(*) filter (where c.later and c.what in ('missing', 'stale')),
          'missing', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'missing' and not c.later), '[]'),
          'stale', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'stale' and not c.later), '[]'),
          'extra', coalesce(jsonb_agg(c.id order by c.id) filter (where c.what = 'extra'), '[]'))
          from run left join compared c on true
         where (select count(*) from seen_again) >= 0
         group by run.id"),
            conclude: concat!("
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id
        ), gone as (
          update ", $table, " t set deleted_at = now(), synced_at = now()
            from run
           where t.id in (select jsonb_array_elements_text($1::jsonb->'gone')::bigint)", $(" and t.", stringify!($by), " = $1::jsonb->>'model'",)? " and t.deleted_at is null
          returning 1
        ), logged as (
          insert into public.sync_validation_log
                 (run_id, entity, source_count, destination_count, missing, extra, stale, verdict, detail)
          select run.id, v.entity, v.source_count, v.destination_count, v.missing, v.extra, v.stale, v.verdict, v.detail
            from run, jsonb_to_record($1::jsonb->'validation') as v (
              entity text, source_count bigint, destination_count bigint, missing bigint, extra bigint, stale bigint,
              verdict text, detail jsonb)
          returning 1
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb((select count(*) from gone)) from run
         where (select count(*) from logged) + (select count(*) from moved_on) >= 0"),
            known: concat!("
        select coalesce(jsonb_agg(k.id order by k.id), '[]')
          from (select t.id from ", $crate::sync::either!([$($owner)?] $table), " t where t.id > ($1::jsonb->>'after_id')::bigint
                 order by t.id limit ($1::jsonb->>'limit')::int) k"),
            waiting: $crate::sync::either!([$(concat!("
        select coalesce(jsonb_agg(w.id order by w.id), '[]')
          from (select a.", stringify!($key), " as id from ", $list, " a where a.", stringify!($key), " > ($1::jsonb->>'after_id')::bigint
                 order by 1 limit ($1::jsonb->>'limit')::int) w"))?] concat!("
        select coalesce(jsonb_agg(w.id order by w.id), '[]')
          from (select t.id from ", $table, " t where t.row_hash is null and t.deleted_at is null and t.id > ($1::jsonb->>'after_id')::bigint
                   and not exists (select from odoo_sync.unreadable u where u.model = $1::jsonb->>'model' and u.id = t.id
                                      and u.hidden and u.seen_at > now() - interval '20 hours')
                 order by t.id limit ($1::jsonb->>'limit')::int) w")),
        };
    };
}

/// The first expression if there is one, otherwise the second.
macro_rules! either {
    ([] $other:expr) => {
        $other
    };
    ([$first:expr] $other:expr) => {
        $first
    };
}

/// The column by which `compare` cuts its ranges.
macro_rules! key {
    () => {
        "id"
    };
    ($key:ident) => {
        stringify!($key)
    };
}

/// Whether a column is given.
macro_rules! is {
    () => {
        false
    };
    ($by:ident) => {
        true
    };
}

/// `(p.a), (p.b)`.
macro_rules! linked {
    ($first:ident $($more:ident)*) => {
        concat!("(p.", stringify!($first), ")" $(, ", (p.", stringify!($more), ")")*)
    };
}

/// `p.a || p.b`.
macro_rules! joined {
    ($first:ident $($more:ident)*) => {
        concat!("p.", stringify!($first) $(, " || p.", stringify!($more))*)
    };
}

pub(crate) use {either, is, joined, key, linked, table};

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
pub struct Sheet {
    statement: &'static str,
    document: Vec<u8>,
}

/// Serializes a page.
pub fn sheet(table: &'static Table, lease: Lease, page: Page<'_>) -> Result<Sheet, Fault> {
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
    Ok(Sheet {
        statement: table.write,
        document: document(&argument)?,
    })
}

/// Writes a page and its cursor in one statement: either the page is in, or it is read again. A row with an
/// unchanged hash is not written. `None`: the run was given up.
pub async fn write(postgres: &impl Postgres, sheet: Sheet) -> Result<Option<Written>, Fault> {
    let written = call_with(postgres, sheet.statement, sheet.document);
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
    Ok(call(postgres, table.compare, &argument).await?.pop())
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
    Ok(call(postgres, table.conclude, &argument).await?.pop())
}

/// The next `limit` ids of the table, or of its owners' table; deleted rows are included.
pub async fn known(
    postgres: &impl Postgres,
    table: &'static Table,
    after_id: i64,
    limit: usize,
) -> Result<Vec<i64>, Fault> {
    let argument = serde_json::json!({ "after_id": after_id, "limit": limit });
    call_one(postgres, table.known, &argument).await
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
    call_one(postgres, table.waiting, &argument).await
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
