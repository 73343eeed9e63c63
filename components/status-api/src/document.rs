//! The document of `GET /status`. Its fields are documented in `status.schema.json`.

mod fields;

use std::hash::{DefaultHasher, Hasher};

use crate::throughput::{STEP_S, eta, throughput};
use crate::verdict::{AtOdds, Phase, at_odds, due, needs_somebody, phase, remaining, state};
use fault::remedy;
use ledger::status::{
    self, Amount, Job, LastFailure, LogRow, Moment, Reading, RunFault, Validation,
};

pub use fields::Document;
use fields::{
    Archive, Comparison, Errors, Example, FaultStatus, Group, History, JobFields, JobStatus,
    LastRun, Liveness, Paused, Sync, Syncs, Viewer,
};

/// The archive counts as alive while its last tick is younger than this, or than two periods of its job if
/// those are longer.
const ALIVE_S: f64 = 120.0;

/// Limits on the number and length of entries, which keep the document below 16 KB in every case.
const MAX_GROUPS: usize = 5;
const MAX_JOBS: usize = 6;
const MAX_ENTITIES: usize = 3;
const MAX_TEXT_BYTES: usize = 200;
const MAX_NAME_BYTES: usize = 80;
/// Entity names come from this program.
const MAX_ENTITY_BYTES: usize = 40;

impl Document {
    /// Builds the document from a reading. Without `admin` it omits names of files and people.
    pub fn of(reading: Reading, admin: bool) -> Self {
        let now = reading.server_time;
        let phase = phase(&reading.archive, &reading.jobs, now);
        let state = state(&reading, phase);
        let last_success = reading
            .jobs
            .iter()
            .filter(|job| job.component != "maintenance")
            .filter_map(|job| job.last_success)
            .max();
        let errors = errors(&reading, admin);
        let mut syncs = reading.syncs;
        let mut sync = |name| sync(name, syncs.remove(name).unwrap_or_default(), now);
        Self {
            server_time: Some(now),
            state,
            liveness: liveness(&reading.jobs, reading.last_tick, now),
            last_success,
            last_failure: last_failure(reading.last_failure, &errors),
            errors,
            runs: reading.log.into_iter().map(log_row).collect(),
            syncs: Syncs {
                crm: sync("crm-sync"),
                chatter: sync("chatter-sync"),
            },
            jobs: jobs(reading.jobs),
            setup: reading.setup.filter(|_| admin),
            archive: archive(&reading.archive, phase, now, admin),
            viewer: Viewer { admin },
        }
    }

    /// The `ETag` of the content without the passing time. It is weak (RFC 9110, 8.8.3): documents with the
    /// same tag are equivalent, but not the same bytes.
    pub fn tag(&self) -> String {
        let mut still = self.clone();
        still.server_time = None;
        still.syncs.crm.lag_s = None;
        still.syncs.chatter.lag_s = None;
        let mut hasher = DefaultHasher::new();
        hasher.write(&serde_json::to_vec(&still).unwrap_or_default());
        format!("W/\"{:016x}\"", hasher.finish())
    }
}

fn archive(archive: &status::Archive, phase: Phase, now: Moment, admin: bool) -> Archive {
    let of = |bucket: &str| archive.progress.get(bucket).copied().unwrap_or_default();
    let (moved, dead, waiting, rest) = (of("moved"), of("dead"), of("waiting"), remaining(archive));
    let sum = |of: fn(Amount) -> i64| {
        let all = [moved, dead, waiting, rest].map(of).into_iter();
        all.fold(0, i64::saturating_add)
    };
    let total = sum(|amount| amount.files);
    let throughput = throughput(archive, now);
    // Files that wait for another attempt do not move at the speed of the others, so there is no rate for
    // them.
    let at_work = phase == Phase::Moving || (phase == Phase::Waiting && due(archive, now));
    let last_fault = archive.last_run.as_ref().and_then(|run| run.fault.clone());
    Archive {
        phase,
        total,
        migrated: moved.files,
        failed: of("failed").files,
        dead: dead.files,
        skipped: of("skipped").files,
        waiting: waiting.files,
        remaining: rest.files,
        bytes: moved.bytes,
        bytes_total: sum(|amount| amount.bytes),
        percent: percent(moved.files, total, archive.listed),
        listed: archive.listed,
        rate: throughput.rate.filter(|_| at_work),
        // Failed files are excluded: they depend on their backoff, not on speed.
        eta: eta(throughput.rate, of("pending")).filter(|_| at_work && of("pending").files > 0),
        history: History {
            step_s: STEP_S,
            files_per_minute: throughput.history,
        },
        next_attempt_at: archive.next_attempt_at.filter(|_| rest.files > 0),
        paused: archive.paused.then(|| Paused {
            since: archive.paused_since,
            by: archive
                .paused_by
                .as_deref()
                .filter(|_| admin)
                .map(|by| clip(by, MAX_NAME_BYTES)),
        }),
        fault: (phase == Phase::Stopped).then(|| fault_status(last_fault.unwrap_or_default())),
    }
}

/// Rounded down, so that 100 appears only when all files are moved.
fn percent(moved: i64, total: i64, listed: bool) -> f64 {
    if total <= 0 {
        return if listed { 100.0 } else { 0.0 };
    }
    let thousandths = moved.max(0).saturating_mul(1000) / total;
    f64::from(u16::try_from(thousandths).unwrap_or(1000).min(1000)) / 10.0
}

fn liveness(jobs: &[Job], last_tick: Option<Moment>, now: Moment) -> Liveness {
    let own = jobs.iter().filter(|job| job.component == "archive-batch");
    let stale_after_s = own
        .clone()
        .map(|job| 2.0 * job.period_s)
        .fold(ALIVE_S, f64::max);
    Liveness {
        alive: last_tick.is_some_and(|tick| (now - tick).as_seconds_f64() < stale_after_s),
        last_tick,
        expected_next: own.filter_map(|job| job.expected_next).min(),
        stale_after_s,
    }
}

fn errors(reading: &Reading, admin: bool) -> Errors {
    let of_files = reading.failures.files.iter().map(|failures| Group {
        scope: "file",
        job: "archive-batch".to_owned(),
        kind: clip(&failures.kind, MAX_NAME_BYTES),
        blame: failures.blame.clone(),
        count: failures.files,
        dead: failures.dead,
        newest: Example {
            at: failures.newest_at,
            id: Some(failures.id),
            name: admin.then(|| clip(&failures.name, MAX_NAME_BYTES)),
            message: clip(
                failures.message.as_deref().unwrap_or(&failures.kind),
                MAX_TEXT_BYTES,
            ),
        },
        remedy: remedy(&failures.kind),
    });
    let of_runs = reading.failures.runs.iter().map(|failures| Group {
        scope: "run",
        job: failures.job.clone(),
        kind: clip(&failures.kind, MAX_NAME_BYTES),
        blame: failures.blame.clone(),
        count: failures.runs,
        dead: 0,
        newest: Example {
            at: failures.newest_at,
            id: None,
            name: None,
            message: clip(
                failures.message.as_deref().unwrap_or(&failures.kind),
                MAX_TEXT_BYTES,
            ),
        },
        remedy: remedy(&failures.kind),
    });
    let mut groups: Vec<_> = of_runs.chain(of_files).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.newest.at));
    let files = |bucket: &str| {
        reading
            .archive
            .progress
            .get(bucket)
            .map_or(0, |amount| amount.files)
    };
    let runs = reading
        .failures
        .runs
        .iter()
        .map(|failures| failures.runs)
        .sum::<i64>();
    let newest_at = groups.iter().filter_map(|group| group.newest.at).max();
    groups.truncate(MAX_GROUPS);
    Errors {
        count: files("dead")
            .saturating_add(files("failed"))
            .saturating_add(runs),
        newest_at,
        groups,
    }
}

/// The newest failure of a run or a file.
fn last_failure(run: Option<LastFailure>, errors: &Errors) -> Option<LastFailure> {
    let file = errors
        .groups
        .iter()
        .find(|group| group.scope == "file")
        .and_then(|group| {
            Some(LastFailure {
                at: group.newest.at?,
                job: group.job.clone(),
                message: Some(format!(
                    "File {}: {}",
                    group.newest.id?, group.newest.message
                )),
            })
        });
    let run = run.map(|run| LastFailure {
        message: run.message.map(|message| clip(&message, MAX_TEXT_BYTES)),
        ..run
    });
    run.into_iter().chain(file).max_by_key(|failure| failure.at)
}

fn log_row(row: LogRow) -> LogRow {
    LogRow {
        job: clip(&row.job, MAX_NAME_BYTES),
        error: row.error.map(|error| clip(&error, MAX_TEXT_BYTES)),
        ..row
    }
}

fn jobs(jobs: Vec<Job>) -> Vec<JobStatus> {
    let mut jobs: Vec<_> = jobs
        .into_iter()
        .map(|job| JobStatus {
            needs_somebody: needs_somebody(&job),
            job: JobFields {
                name: clip(&job.name, MAX_NAME_BYTES),
                component: job.component,
                state: job.state,
                ok: job.ok,
                problem: job
                    .problem
                    .map(|problem| clip(&problem, MAX_TEXT_BYTES + 40)),
                remedy: job.remedy.map(|remedy| clip(&remedy, MAX_TEXT_BYTES)),
                last_run: job.last_run,
                last_success: job.last_success,
                expected_next: job.expected_next,
            },
        })
        .collect();
    // Jobs that need somebody come first, then those of the archive, then by name, as they are read.
    jobs.sort_by_key(|status| {
        (
            !status.needs_somebody,
            status.job.component != "archive-batch",
        )
    });
    jobs.truncate(MAX_JOBS);
    jobs
}

fn sync(name: &str, sync: status::Sync, now: Moment) -> Sync {
    let at_odds = at_odds(name, &sync);
    Sync {
        running: sync.running,
        paused: sync.paused,
        last_run: sync.last_run.map(|run| LastRun {
            at: run.finished_at,
            mode: run.mode.map(|mode| clip(&mode, MAX_NAME_BYTES)),
            outcome: run.outcome,
            elapsed_s: (run.finished_at - run.started_at).as_seconds_f64().max(0.0),
            fault: run.fault.map(fault_status),
        }),
        fresh_as_of: sync.fresh_as_of,
        lag_s: sync
            .fresh_as_of
            .map(|at| (now - at).as_seconds_f64().max(0.0).round()),
        validation: validation(sync.validations, at_odds),
    }
}

/// The worst verdict counts for all: a sync with one table that differs, differs.
fn validation(entities: Vec<Validation>, at_odds: Option<AtOdds>) -> Option<Comparison> {
    let worst = ["error", "differs", "same"]
        .into_iter()
        .find(|verdict| entities.iter().any(|entity| entity.verdict == *verdict))?;
    let (problem, remedy) = at_odds.map(|found| (found.problem, found.remedy)).unzip();
    let sum = |of: fn(&Validation) -> i64| entities.iter().map(of).fold(0, i64::saturating_add);
    Some(Comparison {
        verdict: worst.to_owned(),
        // The oldest comparison: everything has been compared since then.
        checked_at: entities.iter().map(|entity| entity.checked_at).min()?,
        missing: sum(|entity| entity.missing),
        extra: sum(|entity| entity.extra),
        stale: sum(|entity| entity.stale),
        problem: problem.map(|problem| clip(&problem, MAX_TEXT_BYTES + 40)),
        remedy: remedy.map(|remedy| clip(&remedy, MAX_TEXT_BYTES)),
        entities: entities
            .into_iter()
            .take(MAX_ENTITIES)
            .map(|entity| Validation {
                entity: clip(&entity.entity, MAX_ENTITY_BYTES),
                ..entity
            })
            .collect(),
    })
}

fn fault_status(fault: RunFault) -> FaultStatus {
    FaultStatus {
        remedy: fault.kind.as_deref().and_then(remedy),
        kind: fault.kind.map(|kind| clip(&kind, MAX_NAME_BYTES)),
        blame: fault.blame.map(|blame| clip(&blame, MAX_NAME_BYTES)),
        message: fault.message.map(|message| clip(&message, MAX_TEXT_BYTES)),
    }
}

/// Cuts the text where its JSON form would exceed `max_bytes`.
fn clip(text: &str, max_bytes: usize) -> String {
    let mut bytes = 0;
    let mut clipped = String::new();
    for c in text.chars() {
        bytes += match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        if bytes > max_bytes {
            clipped.push('…');
            break;
        }
        clipped.push(c);
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use serde_json::{Value, json};

    fn now() -> Moment {
        Moment::from_timestamp(1_795_000_000, 0).unwrap()
    }

    /// A reading with the maximum of long texts and failures.
    fn worst() -> Reading {
        let text = "\"\u{1}\u{1F600}ä<img src=x onerror=alert(1)>".repeat(40);
        let fault = json!({ "kind": "storage_login", "blame": "configuration", "message": text });
        let run = json!({ "mode": text, "started_at": now(), "finished_at": now(), "outcome": "error",
            "counts": {}, "fault": fault });
        let job = json!({ "name": text, "component": "archive-batch", "state": "unauthorized", "ok": false,
            "problem": text, "remedy": text, "last_run": now(), "last_success": now(), "expected_next": now(),
            "period_s": 60.0 });
        let file = json!({ "kind": "mime_refused", "files": 500, "dead": 500, "newest_at": now(),
            "blame": "configuration", "id": i64::MAX, "name": text, "message": text });
        let run_failures = json!({ "job": "archive-batch", "kind": "quota_exceeded", "runs": 100,
            "newest_at": now(), "message": text, "blame": "destination" });
        let row = json!({ "at": now(), "job": "archive-batch", "status": "error", "migrated": i64::MAX,
            "failed": i64::MAX, "skipped": i64::MAX, "bytes": i64::MAX, "remaining": i64::MAX,
            "elapsed_s": 1.0e9, "error": text, "errors": 20 });
        let validation = json!({ "entity": text, "verdict": "differs", "checked_at": now(),
            "source_count": i64::MAX, "destination_count": i64::MAX, "missing": i64::MAX,
            "extra": i64::MAX, "stale": i64::MAX, "before": "differs", "problem": text });
        let sync = json!({ "running": true, "paused": true, "last_run": run, "fresh_as_of": now(),
            "validations": vec![&validation; 12] });
        let amount = json!({ "files": i64::MAX, "bytes": i64::MAX });
        serde_json::from_value(json!({
            "server_time": now(),
            "archive": {
                "progress": { "pending": amount, "failed": amount, "dead": amount, "moved": amount, "skipped": amount },
                "listed": true, "paused": false, "paused_since": now(), "paused_by": text,
                "next_attempt_at": now(), "running": [], "last_run": run,
                "batches": vec![json!({ "ended_at": now(), "elapsed_s": 1800.0, "files": i64::MAX, "bytes": i64::MAX }); 240],
            },
            "last_tick": now(), "jobs": vec![job; 12], "log": vec![row; 6],
            "failures": { "files": vec![file; 8], "runs": vec![run_failures; 6] },
            "last_failure": { "at": now(), "job": "archive-batch", "message": text },
            "setup": { "checked_at": now(), "right_at": now(), "wrong": i64::MAX },
            "syncs": { "crm-sync": sync, "chatter-sync": sync },
        }))
        .unwrap()
    }

    fn nothing() -> Reading {
        serde_json::from_value(json!({
            "server_time": now(),
            "archive": { "progress": {}, "listed": false, "paused": false, "paused_since": null,
                "paused_by": null, "next_attempt_at": null, "running": [], "last_run": null, "batches": [] },
            "last_tick": null, "jobs": [], "log": [], "failures": { "files": [], "runs": [] },
            "last_failure": null, "syncs": {},
        }))
        .unwrap()
    }

    #[test]
    fn whatever_happened_it_stays_below_16_kb() {
        let document = serde_json::to_vec(&Document::of(worst(), true)).unwrap();
        assert!(document.len() < 16_384, "{}", document.len());
    }

    #[test]
    fn time_that_passes_is_no_news() {
        let mut later = worst();
        later.archive.batches.clear();
        let before = Document::of(later.clone(), true);
        later.server_time += TimeDelta::seconds(7);
        assert_eq!(before.tag(), Document::of(later.clone(), true).tag());
        later
            .archive
            .progress
            .insert("moved".to_owned(), status::Amount { files: 1, bytes: 1 });
        assert_ne!(before.tag(), Document::of(later, true).tag());
    }

    #[test]
    fn who_is_no_admin_sees_no_names() {
        let mut reading = worst();
        reading.archive.paused = true;
        let document = serde_json::to_value(Document::of(reading, false)).unwrap();
        for hidden in ["/errors/groups/0/newest/name", "/archive/paused/by"] {
            assert!(
                document.pointer(hidden).is_none_or(Value::is_null),
                "{hidden}"
            );
        }
        let groups = document["errors"]["groups"].as_array().unwrap();
        assert!(groups.iter().all(|group| group["newest"]["name"].is_null()));
    }

    #[test]
    fn a_hundred_percent_is_said_only_when_all_is_moved() {
        assert!((percent(18_322, 18_323, true) - 99.9).abs() < 0.01);
        assert!((percent(751, 18_323, true) - 4.0).abs() < 0.01);
        assert!((percent(18_323, 18_323, true) - 100.0).abs() < 0.01);
        assert!((percent(0, 0, false) - 0.0).abs() < 0.01);
    }

    #[test]
    fn of_a_project_on_its_first_day_it_says_nothing_that_is_not_so() {
        let document = Document::of(nothing(), true);
        assert_eq!(document.archive.phase, Phase::Waiting);
        assert!(!document.liveness.alive);
        assert_eq!(document.syncs.crm.last_run, None);
        assert_eq!(document.syncs.crm.validation, None);
        assert_eq!(document.archive.eta, None);
    }
}
