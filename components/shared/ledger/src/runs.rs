//! Runs: slots, leases, results, and the log that people read.

use fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::check::Check;
use crate::identity::Identity;
use crate::{Postgres, call_one};

/// The id of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

/// Request for a slot.
#[derive(Debug, Clone, Serialize)]
pub struct Begin {
    /// The new run's id.
    pub run_id: RunId,
    /// `archive-batch`, `crm-sync` or `chatter-sync`.
    pub job: &'static str,
    /// The run's mode.
    pub mode: &'static str,
    /// Length of its lease in seconds: a run that is silent for longer counts as crashed.
    pub lease_s: u32,
    /// How many runs of this job may work at once.
    pub slots: u32,
}

/// The answer to a request for a slot.
#[expect(clippy::struct_excessive_bools, reason = "as the statement says it")]
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Begun {
    /// Whether the run has a slot.
    pub begun: bool,
    /// Whether a person has paused the job.
    pub paused: bool,
    /// How many expired runs of this job were marked `crashed` and logged.
    pub crashed: u32,
    /// The cursors of this job, by name.
    pub cursors: std::collections::BTreeMap<String, Value>,
    /// How many attachments are still to be moved.
    pub remaining: i64,
    /// The Odoo and the bucket that the tables belong to, by side.
    #[serde(default)]
    pub identities: std::collections::BTreeMap<String, Identity>,
    /// The final check that is running, if this job takes part in it.
    #[serde(default)]
    pub check: Option<Check>,
    /// Maximum age in days of the last comparison of contents.
    #[serde(default)]
    pub compare_days: Option<f64>,
    /// The largest share of a table that may be marked as deleted at once.
    #[serde(default)]
    pub most_deleted_share: Option<f64>,
    /// Whether objects wait to be deleted from the bucket because their records were erased.
    #[serde(default)]
    pub erases: bool,
    /// Whether another run took the free slot at the same moment.
    #[serde(default)]
    pub outrun: bool,
}

/// Takes a slot. The same statement first marks and logs runs with an expired lease as `crashed`. A run that
/// gets no slot changes nothing else.
pub async fn begin(postgres: &impl Postgres, wanted: &Begin) -> Result<Begun, Fault> {
    const STATEMENT: &str = "
        with wanted as (
          select ($1::jsonb->>'run_id')::uuid as run_id, $1::jsonb->>'job' as job, $1::jsonb->>'mode' as mode,
                 make_interval(secs => ($1::jsonb->>'lease_s')::float8) as lease, ($1::jsonb->>'slots')::int as slots,
                 odoo_sync.is_paused($1::jsonb->>'job') as paused
        ), ended as (
          update odoo_sync.runs r
             set outcome = 'crashed', finished_at = now(),
                 fault = jsonb_build_object('kind', 'cut_off', 'message', 'ended without a report; what it had claimed was released')
            from wanted w
           where r.job = w.job and r.outcome = 'running' and r.leased_until < now()
          returning r.id, r.job, r.counts, r.started_at, r.seen_at
        ), told as (
          insert into public.migration_logs (job, run_id, migrated, failed, skipped, bytes, remaining, elapsed_s, errors, status)
          select e.job, e.id, coalesce((e.counts->>'moved')::int, 0), coalesce((e.counts->>'failed')::int, 0),
                 coalesce((e.counts->>'skipped')::int, 0), coalesce((e.counts->>'bytes')::bigint, 0),
                 case e.job when 'archive-batch' then odoo_sync.remaining() end,
                 round(extract(epoch from e.seen_at - e.started_at)::numeric, 1),
                 array['The run was cut off (the process ended, or its host ended the request); what it held is taken up again. If this repeats, give it less time: '
                       || split_part(e.job, '-', 1) || '_batch_seconds'], 'error'
            from ended e
          returning 1
        ), free as (
          -- The count makes sure that ended runs have left their slots before one is taken; where it is
          -- not needed for a condition, Postgres leaves it out.
          select s.slot
            from wanted w, generate_series(0, w.slots - 1) as s (slot)
           where not w.paused and (select count(*) from ended) >= 0
             and not exists (select from odoo_sync.runs r
                              where r.job = w.job and r.slot = s.slot and r.outcome = 'running' and r.leased_until >= now())
           order by s.slot limit 1
        ), begun as (
          insert into odoo_sync.runs (id, job, mode, leased_until, slot)
          select w.run_id, w.job, w.mode, now() + w.lease, f.slot from wanted w, free f
          on conflict do nothing
          returning id
        )
        select jsonb_build_object(
          'begun', exists (select from begun),
          'outrun', exists (select from free) and not exists (select from begun),
          'paused', (select paused from wanted),
          'crashed', (select count(*) from told),
          'cursors', (select coalesce(jsonb_object_agg(c.name, c.position), '{}') from odoo_sync.cursors c, wanted w
                       where c.name like w.job || ':%'),
          'remaining', odoo_sync.remaining(),
          'identities', (select coalesce(jsonb_object_agg(i.side, to_jsonb(i)), '{}') from odoo_sync.identities i),
          'check', (select jsonb_build_object('id', c.id, 'read_data', c.read_data) from odoo_sync.final_checks c, wanted w
                     where c.state = 'running' and w.job = any (c.jobs)),
          'compare_days', (select s.value from odoo_sync.settings s, wanted w where s.name = 'compare_days.' || w.job),
          'erases', exists (select from odoo_sync.unwanted_objects),
          'most_deleted_share', odoo_sync.setting('most_deleted_share'))";
    let mut begun: Begun = call_one(postgres, STATEMENT, wanted).await?;
    // Replicas that start together reach for the same slot: the losers try the next one.
    for _ in 0..wanted.slots {
        if !begun.outrun {
            break;
        }
        begun = call_one(postgres, STATEMENT, wanted).await?;
    }
    Ok(begun)
}

/// The outcome of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did its work.
    #[default]
    Success,
    /// A fault stopped it.
    Error,
}

/// The end of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct End {
    /// Id of the run.
    pub run_id: RunId,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its figures.
    pub counts: Value,
    /// The fault that stopped it.
    pub fault: Option<Value>,
    /// A row for `migration_logs`, if the run did or tried anything.
    pub log: Option<Log>,
}

/// A row of `migration_logs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Log {
    /// Files moved, or rows written.
    pub migrated: u32,
    /// Files or rows that failed.
    pub failed: u32,
    /// Files found to have nothing to move.
    pub skipped: u32,
    /// Bytes moved.
    pub bytes: u64,
    /// Duration in seconds.
    pub elapsed_s: f64,
    /// Errors, one per line.
    pub errors: Vec<String>,
    /// The run's outcome.
    pub status: Outcome,
    /// Further figures, for people.
    pub detail: Value,
}

/// The state after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// `false` if the run had been given up as crashed meanwhile.
    pub alive: bool,
    /// How many attachments are still to be moved.
    pub remaining: i64,
}

/// Ends a run and logs it, once: a run that was given up as crashed is on record already, and a repeated call
/// changes nothing. For moved, bytes, failed and skipped the larger of the recorded and the reported figure
/// counts, because the answer to the run's last record may have been lost.
pub async fn end(postgres: &impl Postgres, end: &End) -> Result<Ended, Fault> {
    const STATEMENT: &str = "
        with ended as (
          update odoo_sync.runs r
             set outcome = $1::jsonb->>'outcome', finished_at = now(), seen_at = now(),
                 counts = ($1::jsonb->'counts') || (
                   select coalesce(jsonb_object_agg(k, greatest((r.counts->>k)::bigint, ($1::jsonb->'counts'->>k)::bigint)), '{}')
                     from unnest(array['moved', 'bytes', 'failed', 'skipped']) k where r.counts ? k),
                 fault = nullif($1::jsonb->'fault', 'null')
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning r.id, r.job, r.counts
        ), logged as (
          insert into public.migration_logs (job, run_id, migrated, failed, skipped, bytes, remaining, elapsed_s, errors, status, detail)
          select e.job, e.id, greatest(l.migrated, (e.counts->>'moved')::int), greatest(l.failed, (e.counts->>'failed')::int),
                 greatest(l.skipped, (e.counts->>'skipped')::int), greatest(l.bytes, (e.counts->>'bytes')::bigint),
                 case e.job when 'archive-batch' then odoo_sync.remaining() end, round(l.elapsed_s::numeric, 1),
                 array(select jsonb_array_elements_text(l.errors)), l.status, l.detail
            from ended e, jsonb_to_record(nullif($1::jsonb->'log', 'null'))
                 as l (migrated int, failed int, skipped int, bytes bigint, elapsed_s float8, errors jsonb, status text, detail jsonb)
           where l.status is not null
          returning 1
        )
        select jsonb_build_object(
          'alive', exists (select from ended) or exists (
            select from odoo_sync.runs r
             where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = $1::jsonb->>'outcome'),
          'remaining', odoo_sync.remaining())
          from (select count(*) from logged) as done";
    call_one(postgres, STATEMENT, end).await
}

/// Heartbeat: extends a run's lease and stores a cursor (name and position). `false`: the run was given up,
/// and nothing is stored.
pub async fn beat(
    postgres: &impl Postgres,
    run_id: RunId,
    lease_s: u32,
    cursor: (&str, &Value),
) -> Result<bool, Fault> {
    const STATEMENT: &str = "
        with seen as (
          update odoo_sync.runs r
             set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
           where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
          returning 1
        ), kept as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          select $1::jsonb->>'name', $1::jsonb->'position', now() from seen
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb(exists (select from seen)) from (select count(*) from kept) as done";
    let argument =
        json!({ "run_id": run_id, "lease_s": lease_s, "name": cursor.0, "position": cursor.1 });
    call_one(postgres, STATEMENT, &argument).await
}

/// Stores a cursor without rows, whether or not a run is alive.
pub async fn keep_cursor(
    postgres: &impl Postgres,
    name: &str,
    position: &Value,
) -> Result<(), Fault> {
    const STATEMENT: &str = "
        with kept as (
          insert into odoo_sync.cursors as c (name, position, updated_at)
          values ($1::jsonb->>'name', $1::jsonb->'position', now())
          on conflict (name) do update set position = excluded.position, updated_at = now()
          returning 1
        )
        select to_jsonb(count(*)) from kept";
    let argument = json!({ "name": name, "position": position });
    call_one::<u64>(postgres, STATEMENT, &argument)
        .await
        .map(|_| ())
}
