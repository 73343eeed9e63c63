//! What the setup check asks of Postgres, and the one row in which it stores its result.

use std::collections::BTreeMap;

use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::identity::Identity;
use crate::{Postgres, call, call_one};

/// The database, and the role with which the components log in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Role {
    /// The version of Postgres.
    pub version: String,
    /// The database.
    pub database: String,
    /// The role.
    pub name: String,
    /// Whether the role is a superuser.
    pub is_superuser: bool,
    /// Whether transactions are read-only.
    pub is_read_only: bool,
    /// Privileges on existing tables that the role needs and lacks.
    pub lacks: Vec<String>,
    /// The database's clock, in seconds since 1970.
    pub unix_seconds: f64,
}

/// Reads the role and its privileges. Works before the tables exist.
pub async fn role(postgres: &impl Postgres) -> Result<Role, Fault> {
    const STATEMENT: &str = "
        select jsonb_build_object(
                 'version', split_part(current_setting('server_version'), ' ', 1), 'database', current_database(), 'name', current_user,
                 'is_superuser', (select r.rolsuper from pg_roles r where r.rolname = current_user),
                 'is_read_only', current_setting('transaction_read_only') = 'on',
                 'unix_seconds', extract(epoch from clock_timestamp()),
                 'lacks', (select coalesce(jsonb_agg(format('%s on %s.%s', w.what, w.of_schema, w.of_table) order by w.of_schema, w.of_table, w.what), '[]')
                             from (values ('odoo_sync', 'runs', 'insert'), ('odoo_sync', 'runs', 'update'), ('odoo_sync', 'cursors', 'insert'),
                                          ('odoo_sync', 'accepted_keys', 'select'), ('odoo_sync', 'checks', 'insert'), ('odoo_sync', 'jobs', 'select'),
                                          ('public', 'migration_logs', 'insert'), ('public', 'odoo_attachments', 'select'),
                                          ('public', 'odoo_attachments', 'insert'), ('public', 'odoo_attachments', 'update'),
                                          ('public', 'odoo_leads', 'insert'), ('public', 'odoo_messages', 'insert')) w (of_schema, of_table, what)
                             join pg_class c on c.relname = w.of_table
                             join pg_namespace n on n.oid = c.relnamespace and n.nspname = w.of_schema
                            where not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, w.what))))
         where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// What the catalogue says of the files that are still to be moved.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Outlook {
    /// The largest of them.
    pub largest: Option<Large>,
    /// Their MIME types, as Odoo has them.
    pub mimetypes: Vec<Option<String>>,
    /// How many files wait for a password.
    pub need_password: i64,
    /// Path of one object that was moved.
    pub object_path: Option<String>,
    /// The Odoo and the bucket that the tables belong to, by side.
    pub identities: BTreeMap<String, Identity>,
}

/// A large file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Large {
    /// Its id in Odoo.
    pub id: i64,
    /// Its length in bytes.
    pub file_size: u64,
}

/// Reads what is still to be moved, and one object that was.
pub async fn outlook(postgres: &impl Postgres) -> Result<Outlook, Fault> {
    const STATEMENT: &str = "
        with waiting as (
          select a.id, a.file_size, a.mimetype, a.reason from public.odoo_attachments a
           where a.deleted_at is null and (a.state in ('pending', 'dead') or a.state = 'skipped' and a.reason in ('needs_password', 'over_size_limit'))
        )
        select jsonb_build_object(
                 'largest', (select jsonb_build_object('id', w.id, 'file_size', w.file_size) from waiting w order by w.file_size desc, w.id limit 1),
                 'mimetypes', (select coalesce(jsonb_agg(m.mimetype), '[]') from (select distinct w.mimetype from waiting w order by 1 limit 1000) m),
                 'need_password', (select count(*) from waiting w where w.reason = 'needs_password'),
                 'object_path', (select a.object_path from public.odoo_attachments a
                                  where a.state = 'moved' and a.lost_at is null limit 1),
                 'identities', (select coalesce(jsonb_object_agg(i.side, to_jsonb(i)), '{}') from odoo_sync.identities i))
         where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// A line of the check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What was checked.
    pub name: String,
    /// Its state.
    pub state: State,
    /// What was found, in words.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// The state of a checked item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In order.
    Ok,
    /// It works, but somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be checked, because something before it failed.
    NotTried,
}

/// Has `pg_net` call the components, as the jobs do.
pub async fn knock(postgres: &impl Postgres) -> Result<(), Fault> {
    const STATEMENT: &str =
        "select to_jsonb(true) from odoo_sync.knock() where $1::jsonb is not null";
    call_one::<bool>(postgres, STATEMENT, &json!({}))
        .await
        .map(|_| ())
}

/// The lines that the database checks itself.
pub async fn lines(postgres: &impl Postgres) -> Result<Vec<Line>, Fault> {
    const STATEMENT: &str =
        "select to_jsonb(l) from odoo_sync.check_lines() l where $1::jsonb is not null";
    call(postgres, STATEMENT, &json!({})).await
}

/// Whether there was no check in the last 20 hours.
pub async fn is_due(postgres: &impl Postgres) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        select to_jsonb(not exists (select from odoo_sync.checks c where c.checked_at > now() - interval '20 hours'))
         where $1::jsonb is not null";
    call_one(postgres, STATEMENT, &json!({})).await
}

/// Stores the result of a check.
pub async fn keep(postgres: &impl Postgres, lines: &[Line], is_right: bool) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with kept as (
          insert into odoo_sync.checks as c (checked_at, lines, right_at)
          values (now(), $1::jsonb->'lines', case when ($1::jsonb->>'is_right')::boolean then now() end)
          on conflict (only_one) do update
             set checked_at = excluded.checked_at, lines = excluded.lines, right_at = coalesce(c.right_at, excluded.right_at)
          returning 1
        )
        select to_jsonb(count(*)) from kept";
    let argument = json!({ "lines": lines, "is_right": is_right });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
