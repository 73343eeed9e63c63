//! The archive's queue and catalogue.

mod claim;

use crate::runs::RunId;
use chrono::{DateTime, Utc};
use content::ObjectPath;
use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Postgres, call, call_one};

pub use claim::{Claimed, Renewed, Unverifiable, any_moved, claim, renew};

/// An attachment as discovery found it. Absent fields are not serialized, because the host reads every byte.
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
    /// Kind of attachment: `binary`, `url`, `cloud_storage`.
    pub kind: String,
    /// Target of a `url` attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Model of the record that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_model: Option<String>,
    /// Field of that record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_field: Option<String>,
    /// Id of that record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res_id: Option<i64>,
    /// Id of the company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_id: Option<i64>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_date: Option<DateTime<Utc>>,
    /// When its row was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_date: Option<DateTime<Utc>>,
    /// Whether it is to be moved.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether an attachment is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason")]
pub enum Verdict {
    /// Move it.
    #[serde(rename = "pending")]
    Move,
    /// There is nothing to move, for this reason.
    #[serde(rename = "skipped")]
    Skip(Skip),
}

/// Why a file is not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Skip {
    /// It is a link, which has no content.
    Url,
    /// Its content is in somebody's cloud storage, not in Odoo.
    CloudStorage,
    /// According to Odoo's list it is empty.
    Empty,
    /// It has content, but no SHA-1 to verify it by.
    NoChecksum,
    /// Odoo gives a kind that this program does not know.
    UnknownType,
    /// The archive's selection excludes it.
    NotSelected,
    /// It is larger than the configured limit.
    OverSizeLimit,
    /// It is too large for RPC, and every other way needs a password.
    NeedsPassword,
    /// Odoo's list fails at this record.
    Unreadable,
}

impl From<Skip> for &'static str {
    fn from(skip: Skip) -> Self {
        skip.code()
    }
}

impl Skip {
    /// The reason's name in the catalogue.
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

/// What a page of findings changed in the catalogue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Catalogued {
    /// Attachments that the catalogue did not have.
    pub new: u32,
    /// Known attachments whose content changed: they are moved again.
    pub changed: u32,
    /// New attachments with nothing to move.
    pub skipped: u32,
    /// All rows that were written, whatever changed in them.
    #[serde(default)]
    pub written: u32,
    /// Attachments that cannot be read in Odoo and were not on the list of these before.
    #[serde(default)]
    pub unreadable: u32,
}

/// Upserts a page of findings and its cursor in one statement: either the page is in, or it is read again.
///
/// A known row is written only if something in it changed. Its state, attempts and lease are reset only if
/// its content changed (SHA-1, length or kind; Odoo's `write_date` is no version of the content), and a run
/// that still moves the old content loses the lease. A row that waits for a setting (`needs_password`,
/// `over_size_limit`) counts as movable, so finding it again as `pending` is no change. `res_model` is cut to
/// 200 characters: one that is too long for its index would keep the whole page out. `None`: the run is no
/// longer running.
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

/// The outcome for one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Moved: verified, and confirmed by Storage.
    Moved {
        /// Path of the object in the bucket.
        object_path: ObjectPath,
    },
    /// There is nothing to move.
    Skipped {
        /// The reason.
        reason: Skip,
    },
    /// Failed; the next attempt follows after a wait.
    Failed {
        /// Kind of the failure.
        reason: fault::Kind,
        /// Who is to blame.
        blame: fault::Blame,
        /// The failure in words.
        message: String,
        /// Seconds until the next attempt.
        wait_s: f64,
        /// Position of a large upload, to resume it.
        upload: Option<Value>,
    },
    /// Failed, and not tried again without a person.
    Dead {
        /// Kind of the failure.
        reason: fault::Kind,
        /// Who is to blame.
        blame: fault::Blame,
        /// The failure in words.
        message: String,
    },
    /// Released unchanged: this uses no attempt.
    Released {
        /// Position of a large upload, to resume it, if the upload was started.
        upload: Option<Value>,
    },
}

/// A file and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    /// Odoo's id.
    pub id: i64,
    /// SHA-1 in hex of the content that was processed.
    pub checksum: Option<String>,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Settled {
    /// The outcome of a file as it was claimed.
    pub fn of(file: &Claimed, outcome: Outcome) -> Self {
        Self {
            id: file.id,
            checksum: Some(file.checksum.to_string()),
            outcome,
        }
    }
}

/// Figures of the whole run so far. They are cumulative, so that the next answer makes up for one that is
/// lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// Whether the run is still running, and not given up as crashed.
    pub alive: bool,
    /// Files moved.
    pub moved: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Failed attempts, those that left a file dead included.
    pub failed: u32,
    /// Files found to have nothing to move.
    pub skipped: u32,
}

/// Records the outcomes of files and renews the run's lease, all in one statement.
///
/// Nothing changes if the run was given up. A file is skipped if another run holds its lease, or if its
/// content changed since (the same run may have claimed the new content): a late finisher counts nothing.
/// Recording twice is harmless, because the first time clears the lease. A moved file loses its etag, because
/// nobody has verified the new object yet.
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
    // Lock the run's row first: a transaction that gives the run up then either waits for these figures, or
    // has committed before, and no running row is found here.
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

/// Makes all failed and dead files due at once, and those that wait for a setting. Files under a lease and
/// those deleted in Odoo stay. Returns how many changed.
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

/// Limits of the current settings.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Larger files wait for a higher limit.
    pub max_file_bytes: u64,
    /// Larger files need a password.
    pub max_rpc_bytes: u64,
    /// Whether those are retried now, because a password is set (at most once a day).
    pub with_password: bool,
}

/// Makes files due that waited for a setting and are within these limits now, and stores the cursor, if one
/// is given.
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
