//! The phase of the archive, and the overall state.

use chrono::TimeDelta;
use ledger::status::{Amount, Archive, Job, Moment, Reading, Sync, Validation};
use serde::Serialize;

/// The phase of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It reads Odoo's list; no file is moved yet.
    Discovering,
    /// Files are being moved.
    Moving,
    /// Nothing to do now: before the first tick, until a file is due again, or until a person provides a
    /// password or a higher limit.
    Waiting,
    /// A person has paused it.
    Paused,
    /// Everything that can be moved is moved.
    Done,
    /// A fault stopped its last run.
    Stopped,
}

/// The overall state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Running,
    /// All files are moved, and the syncs are up to date and go on.
    Done,
    /// Calls arrive, but something fails.
    Errors,
    /// Calls are not made, or do not arrive.
    CronFailing,
    /// A person has paused the archive.
    Paused,
}

/// States of `odoo_sync.health()` that are not about the calls themselves.
const NOT_OF_CRON: [&str; 7] = [
    "not_moving",
    "doubled",
    "clear_text_key",
    "foreign_command",
    "hidden",
    "not_compared",
    "objects_lost",
];

/// For this many periods after a run that moved files the archive counts as moving, because between two ticks
/// nothing has stopped.
const PERIODS: f64 = 2.0;

/// With files due within this time the archive counts as moving; otherwise as waiting.
const SOON: TimeDelta = TimeDelta::minutes(1);

/// Determines the phase of the archive.
pub fn phase(archive: &Archive, jobs: &[Job], now: Moment) -> Phase {
    if archive.paused {
        return Phase::Paused;
    }
    let rest = remaining(archive);
    let moves = archive.running.iter().any(|run| run.files > 0);
    // The fault of the last run stays on display until a new run has moved a file.
    if !moves
        && archive
            .last_run
            .as_ref()
            .is_some_and(|run| run.outcome != "success")
    {
        return Phase::Stopped;
    }
    if !archive.running.is_empty() {
        if !archive.listed && !moves {
            return Phase::Discovering;
        }
        if rest.files > 0 && (moves || due(archive, now)) {
            return Phase::Moving;
        }
    }
    if rest.files > 0 {
        return if due(archive, now + SOON) && just_moved(archive, jobs, now) {
            Phase::Moving
        } else {
            Phase::Waiting
        };
    }
    let waits = archive.progress.get("waiting");
    match (archive.listed, archive.last_run.is_some()) {
        // A person has to provide a password or raise a limit.
        (true, _) if waits.is_some_and(|waiting| waiting.files > 0) => Phase::Waiting,
        (true, _) => Phase::Done,
        (false, true) => Phase::Discovering,
        (false, false) => Phase::Waiting,
    }
}

/// Whether a file is due at `then`.
pub fn due(archive: &Archive, then: Moment) -> bool {
    archive.next_attempt_at.is_some_and(|at| at <= then)
}

fn just_moved(archive: &Archive, jobs: &[Job], now: Moment) -> bool {
    let period_s = jobs
        .iter()
        .filter(|job| job.component == "archive-batch")
        .map(|job| job.period_s)
        .fold(60.0, f64::max);
    archive.batches.iter().any(|batch| {
        batch.files > 0 && (now - batch.ended_at).as_seconds_f64() < PERIODS * period_s
    })
}

/// Files that are still to be moved.
pub fn remaining(archive: &Archive) -> Amount {
    let pending = archive.progress.get("pending").copied().unwrap_or_default();
    let failed = archive.progress.get("failed").copied().unwrap_or_default();
    Amount {
        files: pending.files.saturating_add(failed.files).max(0),
        bytes: pending.bytes.saturating_add(failed.bytes).max(0),
    }
}

/// Determines the overall state; the worst problem that needs somebody wins.
pub fn state(reading: &Reading, phase: Phase) -> State {
    if phase == Phase::Paused {
        return State::Paused;
    }
    let failing: Vec<_> = reading
        .jobs
        .iter()
        .filter(|job| needs_somebody(job))
        .collect();
    if failing
        .iter()
        .any(|job| !NOT_OF_CRON.contains(&job.state.as_str()))
    {
        return State::CronFailing;
    }
    let dead = reading
        .archive
        .progress
        .get("dead")
        .is_some_and(|dead| dead.files > 0);
    let differing = reading
        .syncs
        .iter()
        .any(|(name, sync)| at_odds(name, sync).is_some());
    if !failing.is_empty()
        || dead
        || differing
        || phase == Phase::Stopped
        || !reading.failures.runs.is_empty()
    {
        return State::Errors;
    }
    if phase == Phase::Done && !loading(reading) {
        State::Done
    } else {
        State::Running
    }
}

/// Whether a sync that is set up has not completed its first load.
fn loading(reading: &Reading) -> bool {
    let set_up = |name: &str| {
        let mut jobs = reading.jobs.iter().filter(|job| job.component == name);
        jobs.any(|job| !["not_scheduled", "no_pg_cron"].contains(&job.state.as_str()))
    };
    let mut syncs = reading.syncs.iter();
    syncs.any(|(name, sync)| sync.fresh_as_of.is_none() && set_up(name))
}

/// A problem found by a sync's comparisons that somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtOdds {
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

/// Finds out whether a sync's two sides are at odds. A difference that is gone at the next comparison is
/// normal, because Odoo reports no deletions. A difference that stays is a problem, and so is a comparison
/// that failed.
pub fn at_odds(component: &str, sync: &Sync) -> Option<AtOdds> {
    let verdicts = || sync.validations.iter();
    if let Some(failed) = verdicts().find(|found| found.verdict == "error") {
        let why = failed
            .problem
            .as_deref()
            .unwrap_or("it could not be compared");
        return Some(AtOdds {
            problem: format!("{}: {why}", failed.entity),
            remedy: "Look first whether the Odoo user lost rights, or odoo_url leads elsewhere; then compare again."
                .to_owned(),
        });
    }
    let stays = |found: &&Validation| {
        found.verdict == "differs" && found.before.as_deref() == Some("differs")
    };
    let found = verdicts().find(stays)?;
    let rows = found
        .missing
        .saturating_add(found.extra)
        .saturating_add(found.stale);
    Some(AtOdds {
        problem: format!(
            "{}: {rows} rows differ from Odoo's, and at the comparison before some did too",
            found.entity
        ),
        remedy: format!(
            "Call {component} with {{\"mode\": \"missing\"}}, which mends what it can; public.sync_validation_log has examples in detail."
        ),
    })
}

/// Whether somebody has to act on a job. A sync that was never set up needs nobody, because not every company
/// uses all of them.
pub fn needs_somebody(job: &Job) -> bool {
    let never_set_up = job.state == "not_scheduled" && job.last_run.is_none();
    !job.ok && (!never_set_up || job.component == "archive-batch")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::status::{BatchRow, Failures, Run, Running};
    use serde_json::Value;

    fn now() -> Moment {
        Moment::from_timestamp(1_795_000_000, 0).unwrap()
    }

    fn archive(files: &[(&str, i64)]) -> Archive {
        let progress = files
            .iter()
            .map(|(bucket, files)| {
                (
                    (*bucket).to_owned(),
                    Amount {
                        files: *files,
                        bytes: 0,
                    },
                )
            })
            .collect();
        Archive {
            progress,
            listed: true,
            ..Archive::default()
        }
    }

    fn run(outcome: &str) -> Run {
        Run {
            mode: None,
            started_at: now(),
            finished_at: now(),
            outcome: outcome.to_owned(),
            counts: Value::Null,
            fault: None,
        }
    }

    fn job(component: &str, state: &str) -> Job {
        Job {
            name: format!("{component}-job"),
            component: component.to_owned(),
            state: state.to_owned(),
            ok: ["ok", "waiting", "paused"].contains(&state),
            problem: None,
            remedy: None,
            last_run: None,
            last_success: None,
            expected_next: None,
            period_s: 60.0,
        }
    }

    fn reading(archive: Archive, jobs: Vec<Job>) -> Reading {
        Reading {
            server_time: now(),
            archive,
            last_tick: None,
            jobs,
            log: Vec::new(),
            failures: Failures::default(),
            last_failure: None,
            setup: None,
            syncs: std::collections::BTreeMap::new(),
        }
    }

    fn running(files: i64) -> Vec<Running> {
        vec![Running {
            started_at: now(),
            files,
            bytes: 0,
        }]
    }

    #[test]
    fn each_phase_has_its_sign() {
        let with = |change: fn(&mut Archive), files: &[(&str, i64)]| {
            let mut archive = archive(files);
            change(&mut archive);
            phase(&archive, &[], now())
        };
        let some = &[("pending", 5), ("moved", 5)];
        assert_eq!(with(|a| a.paused = true, some), Phase::Paused);
        assert_eq!(
            with(|a| a.last_run = Some(run("error")), some),
            Phase::Stopped
        );
        assert_eq!(
            with(|a| a.last_run = Some(run("crashed")), some),
            Phase::Stopped
        );
        assert_eq!(with(|a| a.running = running(1), some), Phase::Moving);
        assert_eq!(with(|_| (), some), Phase::Waiting);
        assert_eq!(with(|_| (), &[("moved", 5)]), Phase::Done);
        assert_eq!(with(|_| (), &[("moved", 5), ("dead", 1)]), Phase::Done);
        assert_eq!(
            with(|a| a.listed = false, &[]),
            Phase::Waiting,
            "nothing ever ran"
        );
        let begins = |a: &mut Archive| (a.listed, a.running) = (false, running(0));
        assert_eq!(with(begins, &[]), Phase::Discovering);
    }

    #[test]
    fn between_two_ticks_it_still_moves() {
        let batch = |seconds| BatchRow {
            ended_at: now() - TimeDelta::seconds(seconds),
            elapsed_s: 45.0,
            files: 10,
            bytes: 0,
        };
        let mut archive = archive(&[("pending", 5)]);
        archive.last_run = Some(run("success"));
        archive.batches = vec![batch(20)];
        archive.next_attempt_at = Some(now() - TimeDelta::hours(1));
        assert_eq!(phase(&archive, &[], now()), Phase::Moving);
        archive.batches = vec![batch(200)];
        assert_eq!(phase(&archive, &[], now()), Phase::Waiting);
        let rare = Job {
            period_s: 600.0,
            ..job("archive-batch", "ok")
        };
        assert_eq!(
            phase(&archive, &[rare], now()),
            Phase::Moving,
            "a tick in ten minutes"
        );
    }

    #[test]
    fn a_run_that_finds_nothing_due_waits() {
        let mut archive = archive(&[("failed", 5)]);
        archive.running = running(0);
        archive.next_attempt_at = Some(now() + TimeDelta::hours(1));
        assert_eq!(phase(&archive, &[], now()), Phase::Waiting);
        archive.next_attempt_at = Some(now());
        assert_eq!(phase(&archive, &[], now()), Phase::Moving);
    }

    #[test]
    fn a_cron_that_fails_is_told_from_work_that_does() {
        let of = |job| {
            state(
                &reading(archive(&[("pending", 1)]), vec![job]),
                Phase::Waiting,
            )
        };
        assert_eq!(of(job("archive-batch", "ok")), State::Running);
        for failing in [
            "unauthorized",
            "sql_error",
            "not_scheduled",
            "vault_missing",
            "timeout",
            "late",
        ] {
            assert_eq!(
                of(job("archive-batch", failing)),
                State::CronFailing,
                "{failing}"
            );
        }
        assert_eq!(of(job("archive-batch", "not_moving")), State::Errors);
        assert_eq!(of(job("crm-sync", "unauthorized")), State::CronFailing);
        assert_eq!(
            of(job("crm-sync", "not_scheduled")),
            State::Running,
            "never set up"
        );
    }

    fn validation(entity: &str, verdict: &str, before: Option<&str>) -> Validation {
        Validation {
            entity: entity.to_owned(),
            verdict: verdict.to_owned(),
            checked_at: now(),
            source_count: Some(10),
            destination_count: Some(7),
            missing: 3,
            extra: 0,
            stale: 0,
            problem: (verdict == "error").then(|| "Odoo's list lacks 9 of 10 rows".to_owned()),
            before: before.map(str::to_owned),
        }
    }

    #[test]
    fn a_difference_that_stays_is_an_error_and_one_that_comes_and_goes_is_none() {
        let of = |verdict, before| {
            let mut reading = reading(archive(&[("moved", 1)]), Vec::new());
            let sync = Sync {
                validations: vec![
                    validation("leads", verdict, before),
                    validation("stages", "same", Some("differs")),
                ],
                ..Sync::default()
            };
            reading.syncs.insert("crm-sync".to_owned(), sync);
            state(&reading, Phase::Done)
        };
        assert_eq!(of("same", Some("differs")), State::Done);
        assert_eq!(of("differs", None), State::Done);
        assert_eq!(of("differs", Some("same")), State::Done);
        assert_eq!(of("differs", Some("differs")), State::Errors);
        assert_eq!(of("error", Some("same")), State::Errors);
    }

    #[test]
    fn both_sides_at_odds_come_with_what_to_do() {
        let told = |verdict| {
            let sync = Sync {
                validations: vec![validation("leads", verdict, Some("differs"))],
                ..Sync::default()
            };
            at_odds("crm-sync", &sync).unwrap()
        };
        let stays = told("differs");
        assert!(stays.problem.contains("leads: 3 rows"), "{stays:?}");
        assert!(stays.remedy.contains("Call crm-sync with"), "{stays:?}");
        let failed = told("error");
        assert!(failed.problem.contains("lacks 9 of 10"), "{failed:?}");
        assert!(failed.remedy.contains("lost rights"), "{failed:?}");
    }

    #[test]
    fn a_first_load_that_is_under_way_is_not_done() {
        let of = |job_state: &str, fresh_as_of| {
            let jobs = vec![job("archive-batch", "ok"), job("crm-sync", job_state)];
            let mut reading = reading(archive(&[("moved", 1)]), jobs);
            let sync = Sync {
                fresh_as_of,
                ..Sync::default()
            };
            reading.syncs.insert("crm-sync".to_owned(), sync);
            state(&reading, Phase::Done)
        };
        assert_eq!(of("ok", None), State::Running);
        assert_eq!(of("waiting", None), State::Running);
        assert_eq!(of("ok", Some(now())), State::Done);
        assert_eq!(of("not_scheduled", None), State::Done, "never set up");
    }

    #[test]
    fn a_dead_file_is_an_error_also_when_all_else_is_done() {
        let reading = reading(archive(&[("moved", 9), ("dead", 1)]), Vec::new());
        assert_eq!(state(&reading, Phase::Done), State::Errors);
        assert_eq!(state(&reading, Phase::Paused), State::Paused);
    }
}
