//! The archive's queue and catalogue.

mod claim;

use crate::runs::RunId;
use chrono::{DateTime, Utc};
use content::ObjectPath;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Postgres, call, call_one};

pub use claim::{Claimed, Held, Nameless, any_moved, claim, renew};

/// An attachment as it was found. What it lacks is not written, since the host reads all that is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Odoo's id.
    pub id: i64,
    /// File name.
    pub name: String,
    /// MIME type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mimetype: Option<String>,
    /// Length in bytes.
    pub file_size: i64,
    /// SHA-1 in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// `binary`, `url`, `cloud_storage`.
    pub kind: String,
    /// Where a `url` points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Model of its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_model: Option<String>,
    /// Field of its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_field: Option<String>,
    /// Id of its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_id: Option<i64>,
    /// Company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_id: Option<i64>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_date: Option<DateTime<Utc>>,
    /// When its row was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_date: Option<DateTime<Utc>>,
    /// What is to be done with it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What is to be done with an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason")]
pub enum Verdict {
    /// Move it.
    #[serde(rename = "pending")]
    Move,
    /// There is nothing to move, and why.
    #[serde(rename = "skipped")]
    Skip(Skip),
}

/// Why a file is not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Skip {
    /// A link has no content.
    Url,
    /// Content in a cloud is not Odoo's.
    CloudStorage,
    /// There is nothing in it, as far as Odoo's list says.
    Empty,
    /// There is content, and no SHA-1 to verify it by.
    NoChecksum,
    /// It is of a kind that is not known.
    UnknownType,
    /// The archive's selection leaves it out.
    NotSelected,
    /// It is larger than the setting allows.
    OverSizeLimit,
    /// It is too large for RPC, and any other way needs a password.
    NeedsPassword,
    /// Odoo's list fails where it is.
    Unreadable,
}

impl From<Skip> for &'static str {
    fn from(skip: Skip) -> Self {
        skip.code()
    }
}

impl Skip {
    /// Its name in the catalogue.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::CloudStorage => "cloud_storage",
            Self::Empty => "empty",
            Self::NoChecksum => "no_checksum",
            Self::UnknownType => "unknown_type",
            Self::NotSelected => "not_selected",
            Self::OverSizeLimit => "over_size_limit",
            Self::NeedsPassword => "needs_password",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What a page of findings changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Catalogued {
    /// Attachments that were not known.
    pub new: u32,
    /// Known ones whose content changed: they are moved again.
    pub changed: u32,
    /// New or changed ones with nothing to move.
    pub skipped: u32,
    /// All rows that were written, whatever was new in them.
    #[serde(default)]
    pub written: u32,
    /// What cannot be read in Odoo, and was not known to.
    #[serde(default)]
    pub unreadable: u32,
}

/// Writes a page of findings and the cursor behind it, in one statement: a page is in, or it will be
/// read again. A known row is written only if something changed; its work begins anew only if its
/// content did (its SHA-1, length or kind; Odoo's `write_date` is no version of the content), and
/// then whoever still moves the old content has lost the lease. What waits for a setting would be
/// moved as far as Odoo's row goes: that is no change. A name of a model that no table could have is cut,
/// since one too long for its index would keep the whole page out. `run_id` must still be running.
pub async fn catalogue(
    postgres: &impl Postgres,
    run_id: RunId,
    found: &[Found],
    cursor: Option<(&str, &Value)>,
) -> Result<Option<Catalogued>, Fault> {
    #[derive(Serialize)]
    struct Argument<'a> {
        run_id: RunId,
        found: &'a [Found],
        cursor: Option<&'a str>,
        position: Option<&'a Value>,
    }
    const STATEMENT: &str = "
        with run as (
          update odoo_sync.runs r set seen_at = now()
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id
        ), page as (
          select p.* from run, jsonb_to_recordset($1::jsonb->'found') as p (
            id bigint, name text, mimetype text, file_size bigint, checksum text, kind text, url text, res_model text,
            res_field text, res_id bigint, company_id bigint, create_date timestamptz, write_date timestamptz,
            state text, reason text)
           where not exists (select from odoo_sync.erased e where e.model = 'ir.attachment' and e.id = p.id)
        ), written as (
          insert into public.odoo_attachments as a
                 (id, name, mimetype, file_size, checksum, kind, url, res_model, res_field, res_id, company_id,
                  create_date, write_date, state, reason)
          select p.id, p.name, p.mimetype, p.file_size, p.checksum, p.kind, p.url, left(p.res_model, 200), p.res_field, p.res_id,
                 p.company_id, p.create_date, p.write_date, p.state, p.reason
            from page p order by p.id
          on conflict (id) do update
             set name = excluded.name, mimetype = excluded.mimetype, file_size = excluded.file_size,
                 checksum = excluded.checksum, kind = excluded.kind, url = excluded.url, res_model = excluded.res_model,
                 res_field = excluded.res_field, res_id = excluded.res_id, company_id = excluded.company_id,
                 create_date = excluded.create_date, write_date = excluded.write_date, deleted_at = null, missing_since = null,
                 (state, reason, message, blame, attempts, interruptions, next_attempt_at, lease_id, leased_until, upload) =
                 (select x.* from (select
                    excluded.state, excluded.reason, null::text, null::text, 0::smallint, 0::smallint, now(), null::uuid,
                    null::timestamptz, null::jsonb) as x
                   where (a.checksum, a.file_size, a.kind) is distinct from (excluded.checksum, excluded.file_size, excluded.kind)
                      or (a.state = 'skipped' and coalesce(a.reason, '') not in ('needs_password', 'over_size_limit')) <> (excluded.state = 'skipped')
                  union all
                  select a.state, a.reason, a.message, a.blame, a.attempts, a.interruptions, a.next_attempt_at, a.lease_id,
                    a.leased_until, a.upload
                   where not ((a.checksum, a.file_size, a.kind) is distinct from (excluded.checksum, excluded.file_size, excluded.kind)
                      or (a.state = 'skipped' and coalesce(a.reason, '') not in ('needs_password', 'over_size_limit')) <> (excluded.state = 'skipped')))
           where (a.name, a.mimetype, a.file_size, a.checksum, a.kind, a.url, a.res_model, a.res_field, a.res_id, a.company_id,
                  a.write_date, a.state = 'skipped' and coalesce(a.reason, '') not in ('needs_password', 'over_size_limit'), a.deleted_at)
                 is distinct from
                 (excluded.name, excluded.mimetype, excluded.file_size, excluded.checksum, excluded.kind, excluded.url,
                  excluded.res_model, excluded.res_field, excluded.res_id, excluded.company_id, excluded.write_date,
                  excluded.state = 'skipped', null::timestamptz)
          returning a.xmax = 0 as new, a.state, a.attempts, a.moved_at
        ), readable as (
          delete from odoo_sync.unreadable u using page p
           where u.model = 'ir.attachment' and u.id = p.id and u.fields = '{}'
        ), moved_on as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run where $1::jsonb->>'cursor' is not null
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select jsonb_build_object(
          'new', count(*) filter (where w.new),
          'changed', count(*) filter (where not w.new and w.state = 'pending'),
          'skipped', count(*) filter (where w.new and w.state = 'skipped'),
          'written', count(w.new))
          from run left join written w on true
         where (select count(*) from moved_on) >= 0
         group by run.id";
    let argument = Argument {
        run_id,
        found,
        cursor: cursor.map(|(name, _)| name),
        position: cursor.map(|(_, position)| position),
    };
    Ok(call(postgres, STATEMENT, &argument).await?.pop())
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Verified and confirmed by Storage.
    Moved {
        /// Where it lies.
        object_path: ObjectPath,
    },
    /// Nothing to move.
    Skipped {
        /// Why.
        reason: Skip,
    },
    /// It will be tried again, after a wait.
    Failed {
        /// Kind of the failure.
        reason: fault::Kind,
        /// Whose fault.
        blame: fault::Blame,
        /// In words.
        message: String,
        /// Seconds until the next attempt.
        wait_s: f64,
        /// A large upload to go on with.
        upload: Option<Value>,
    },
    /// It will not be tried again by itself.
    Dead {
        /// Kind of the failure.
        reason: fault::Kind,
        /// Whose fault.
        blame: fault::Blame,
        /// In words.
        message: String,
    },
    /// Released as it was; no attempt is used.
    Released {
        /// A large upload to go on with, if its beginning is done.
        upload: Option<Value>,
    },
}

/// A file and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    /// Odoo's id.
    pub id: i64,
    /// The content that was dealt with: its SHA-1 in hex.
    pub checksum: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Settled {
    /// What became of a file as it was claimed.
    pub fn of(file: &Claimed, outcome: Outcome) -> Self {
        Self {
            id: file.id,
            checksum: Some(file.checksum.to_string()),
            outcome,
        }
    }
}

/// What counted, over the whole run so far: an answer that is lost on its way is made up for by the
/// next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// Whether the run was still its own.
    pub alive: bool,
    /// Files that count as moved now.
    pub moved: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Files that failed once more, the dead included.
    pub failed: u32,
    /// Files found to have nothing to move.
    pub skipped: u32,
}

/// Records what became of files, all in one statement, and that the run is alive. A run that was given
/// up changes nothing, nor is a file touched whose lease has gone to somebody else, or whose content is
/// another by now, which the same run may have claimed meanwhile: a late finisher counts nothing.
/// Recording twice is harmless, since the lease is gone with the first time. What is moved has an etag
/// that nobody has seen yet.
pub async fn record(
    postgres: &impl Postgres,
    run_id: RunId,
    lease_s: u32,
    settled: &[Settled],
) -> Result<Recorded, Fault> {
    #[derive(Serialize)]
    struct Argument<'a> {
        run_id: RunId,
        lease_s: u32,
        settled: &'a [Settled],
    }
    // The run's row is locked first: whoever gives the run up waits for these figures, or has done so
    // before, and then there is no run here.
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
             for update
        ), settled as (
          select * from jsonb_to_recordset($1::jsonb->'settled') as s (
            id bigint, checksum text, outcome text, object_path text, reason text, blame text, message text, wait_s float8, upload jsonb)
        ), done as (
          update public.odoo_attachments a
             set state = case s.outcome when 'moved' then 'moved' when 'skipped' then 'skipped' when 'dead' then 'dead' else 'pending' end,
                 object_path = case when s.outcome = 'moved' then s.object_path else a.object_path end,
                 moved_at = case when s.outcome = 'moved' then now() else a.moved_at end,
                 etag = case when s.outcome = 'moved' then null else a.etag end,
                 lost_at = case when s.outcome = 'moved' then null else a.lost_at end,
                 attempts = case when s.outcome in ('failed', 'dead') then a.attempts + 1 else a.attempts end,
                 interruptions = 0,
                 next_attempt_at = now() + make_interval(secs => coalesce(s.wait_s, 0)),
                 reason = case when s.outcome = 'released' then a.reason else s.reason end,
                 blame = case when s.outcome = 'released' then a.blame else s.blame end,
                 message = case when s.outcome = 'released' then a.message else s.message end,
                 failed_at = case when s.outcome in ('failed', 'dead') then now() else a.failed_at end,
                 upload = nullif(s.upload, 'null'), lease_id = null, leased_until = null
            from settled s, run
           where a.id = s.id and a.lease_id = run.id and a.checksum is not distinct from s.checksum
          returning s.outcome, a.file_size
        ), counted as (
          select count(*) filter (where d.outcome = 'moved') as moved,
                 coalesce(sum(d.file_size) filter (where d.outcome = 'moved'), 0) as bytes,
                 count(*) filter (where d.outcome in ('failed', 'dead')) as failed,
                 count(*) filter (where d.outcome = 'skipped') as skipped
            from done d
        ), kept as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8),
                 counts = r.counts || jsonb_build_object(
                   'moved', coalesce((r.counts->>'moved')::bigint, 0) + c.moved,
                   'bytes', coalesce((r.counts->>'bytes')::bigint, 0) + c.bytes,
                   'failed', coalesce((r.counts->>'failed')::bigint, 0) + c.failed,
                   'skipped', coalesce((r.counts->>'skipped')::bigint, 0) + c.skipped)
            from counted c, run
           where r.id = run.id
          returning r.counts
        )
        select coalesce((select k.counts || '{\"alive\": true}' from kept k), '{\"alive\": false}')";
    let argument = Argument {
        run_id,
        lease_s,
        settled,
    };
    call_one(postgres, STATEMENT, &argument).await
}

/// Makes every file that failed or is dead due at once, and those that wait for a setting; how many.
pub async fn revive(postgres: &impl Postgres, run_id: RunId) -> Result<u64, Fault> {
    const STATEMENT: &str = "
        with revived as (
          update public.odoo_attachments a
             set attempts = case when a.state = 'dead' then 0 else a.attempts end,
                 interruptions = 0, state = 'pending', next_attempt_at = now()
           where exists (select from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running')
             and a.deleted_at is null and a.lease_id is null
             and (a.state = 'dead' or (a.state = 'pending' and a.attempts > 0)
                  or (a.state = 'skipped' and a.reason in ('needs_password', 'over_size_limit')))
          returning 1
        )
        select to_jsonb(count(*)) from revived";
    call_one(postgres, STATEMENT, &json!({ "run_id": run_id })).await
}

/// What the settings of the moment let through.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Larger files wait.
    pub max_file_bytes: u64,
    /// Larger files want a password.
    pub max_rpc_bytes: u64,
    /// Whether those are taken up too.
    pub with_password: bool,
}

/// Makes due what waited for a setting and is within these limits, and keeps a cursor that moved.
pub async fn take_up(
    postgres: &impl Postgres,
    run_id: RunId,
    limits: Limits,
    moved: Option<(&str, &Value)>,
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with run as (
          select r.id from odoo_sync.runs r where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
        ), limits as (
          select * from jsonb_to_record($1::jsonb->'limits') as l (max_file_bytes numeric, max_rpc_bytes numeric, with_password boolean)
        ), taken_up as (
          update public.odoo_attachments a
             set state = 'pending', reason = null, next_attempt_at = now()
            from run, limits l
           where a.state = 'skipped' and a.deleted_at is null and a.file_size <= l.max_file_bytes
             and (a.reason = 'over_size_limit'
                  or (a.reason = 'needs_password' and (l.with_password or a.file_size <= l.max_rpc_bytes)))
          returning 1
        ), kept as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'cursor', $1::jsonb->'position', now() from run where $1::jsonb->>'cursor' is not null
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb((select count(*) from taken_up) + (select count(*) from kept))";
    let argument = json!({
        "run_id": run_id, "limits": limits,
        "cursor": moved.map(|(name, _)| name), "position": moved.map(|(_, position)| position),
    });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
