//! A table of copied rows and its statements.
//!
//! The statements of all tables differ only by name and columns, so a macro spells them out at compile time; none is
//! built at run time.

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
        pub static $name: $crate::table::Table = $crate::table::Table {
            name: $table,
            columns: &[$(stringify!($column)),*],
            rest: [$crate::table::either!([$(stringify!($rest))?] "custom"), $crate::table::either!([$(stringify!($rest_html))?] "custom_html")],
            shared: $crate::table::is!($($by)?),
            write: concat!("
        with run as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id, ($1::jsonb->>'dry')::boolean as dry
        ), page as (
          select p.*, t.", $crate::table::either!([$(stringify!($rest))?] "custom"), " as rest_before, run.dry,
                 t.id is null or t.row_hash is null as is_new, t.row_hash is distinct from p.row_hash or t.deleted_at is not null as differs
            from run cross join jsonb_array_elements($1::jsonb->'rows') r (value)
            left join ", $table, " t on t.id = (r.value->>'id')::bigint", $(" and t.", stringify!($by), " = r.value->>'", stringify!($by), "'",)? "
           cross join lateral jsonb_populate_record(t, r.value) p
           where true", $(" and ", $wanted,)? "
        ), written as (
          insert into ", $table, " as t (id, ", $(stringify!($column), ", ",)* $crate::table::either!([$(stringify!($rest))?] "custom"), ", ", $crate::table::either!([$(stringify!($rest_html))?] "custom_html"), ", create_date, write_date, row_hash)
          select p.id, ", $("p.", stringify!($column), ", ",)* "coalesce((select jsonb_object_agg(k.key, k.value) from jsonb_each(p.rest_before) k where $1::jsonb->'frozen' ? k.key), '{}')
                 || coalesce(p.", $crate::table::either!([$(stringify!($rest))?] "custom"), ", '{}'), coalesce(p.", $crate::table::either!([$(stringify!($rest_html))?] "custom_html"), ", '{}'), p.create_date, p.write_date, p.row_hash
            from page p
           where p.differs and not p.dry
           order by p.id
          on conflict (", $(stringify!($by), ", ",)? "id) do update
             set ", $(stringify!($column), " = excluded.", stringify!($column), ", ",)* "
                 ", $crate::table::either!([$(stringify!($rest))?] "custom"), " = excluded.", $crate::table::either!([$(stringify!($rest))?] "custom"), ",
                 ", $crate::table::either!([$(stringify!($rest_html))?] "custom_html"), " = excluded.", $crate::table::either!([$(stringify!($rest_html))?] "custom_html"), ", create_date = excluded.create_date, write_date = excluded.write_date,
                 row_hash = excluded.row_hash, synced_at = now(), deleted_at = null
          returning 1
        ), gone as (
          update ", $table, " t set deleted_at = now(), synced_at = now()
            from run
           where t.id in (select jsonb_array_elements_text($1::jsonb->'gone')::bigint)", $(" and t.", stringify!($by), " = $1::jsonb->>'model'",)? " and t.deleted_at is null and not run.dry
          returning t.row_hash is not null as was_read
        )", $(", waiting as (
          insert into ", $other, " (id)
          select distinct v.id from page p cross join lateral (values ", $crate::table::linked!($($link)+), ") v (id)
           where v.id is not null and not p.dry
             and not ($1::jsonb->>'table' = '", $other, "' and exists (select from page q where q.id = v.id))
           order by v.id
          on conflict (id) do nothing
          returning 1
        )",)? $(", wanted as (
          insert into odoo_sync.wanted_attachments as w (id)
          select distinct f.id from page p
           cross join lateral unnest(", $crate::table::joined!($($files)+), ") f (id)
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
           where t.", $crate::table::key!($($key)?), " > ($1::jsonb->>'after_id')::bigint
             and t.", $crate::table::key!($($key)?), " <= coalesce(($1::jsonb->>'up_to_id')::bigint, 9223372036854775807)
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
          from (select t.id from ", $crate::table::either!([$($owner)?] $table), " t where t.id > ($1::jsonb->>'after_id')::bigint
                 order by t.id limit ($1::jsonb->>'limit')::int) k"),
            waiting: $crate::table::either!([$(concat!("
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
