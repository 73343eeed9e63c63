//! What unauthenticated callers see if the status is public: figures, times, and words from fixed lists. Free
//! text is removed, because it may contain names, addresses and messages of other servers.

use fault::Kind;
use ledger::status::{FileFailures, Job, LastFailure, LogRow, Reading, Run, RunFault, Validation};

/// Replaces a word that is on no list.
const OTHER: &str = "other";

/// Replaces the description of a problem.
const FOR_ADMINS: &str = "Sign in as an admin to see what is wrong and what to do.";

const BUCKETS: [&str; 6] = ["pending", "failed", "dead", "moved", "skipped", "waiting"];
const COMPONENTS: [&str; 5] = [
    "archive-batch",
    "crm-sync",
    "chatter-sync",
    "status-api",
    "maintenance",
];
const JOBS: [&str; 6] = [
    "archive-odoo-files-batch",
    "odoo-crm-sync-incremental",
    "odoo-crm-sync-nightly",
    "odoo-chatter-sync-hourly",
    "odoo-sync-alarm",
    "odoo-sync-purge",
];
const BLAMES: [&str; 4] = ["source", "destination", "configuration", "program"];
const MODES: [&str; 9] = [
    "migrate",
    "discover",
    "dry_run",
    "retry_failed",
    "verify",
    "incremental",
    "full",
    "missing",
    "validate",
];
const OUTCOMES: [&str; 4] = ["success", "error", "crashed", "auth_error"];
const VERDICTS: [&str; 3] = ["same", "differs", "error"];
const ENTITIES: [&str; 10] = [
    "leads",
    "stages",
    "teams",
    "tags",
    "lost_reasons",
    "users",
    "partners",
    "messages",
    "field_changes",
    "attachments",
];

/// The reading, reduced to words that are on a list.
pub fn for_strangers(mut reading: Reading) -> Reading {
    let archive = &mut reading.archive;
    archive
        .progress
        .retain(|bucket, _| is_among(&BUCKETS, bucket));
    archive.paused_by = None;
    archive.last_run = archive.last_run.take().map(run);
    reading.jobs = reading.jobs.into_iter().map(job).collect();
    reading.log = reading.log.into_iter().map(log_row).collect();
    for failures in &mut reading.failures.files {
        *failures = FileFailures {
            kind: kind(&failures.kind),
            blame: blame(failures.blame.as_deref()),
            name: String::new(),
            message: None,
            ..failures.clone()
        };
    }
    for failures in &mut reading.failures.runs {
        failures.job = listed(&COMPONENTS, &failures.job);
        failures.kind = kind(&failures.kind);
        failures.blame = blame(failures.blame.as_deref());
        failures.message = None;
    }
    reading.last_failure = reading.last_failure.map(|failure| LastFailure {
        job: listed(&COMPONENTS, &failure.job),
        message: None,
        ..failure
    });
    reading.syncs.retain(|name, _| is_among(&COMPONENTS, name));
    for sync in reading.syncs.values_mut() {
        sync.last_run = sync.last_run.take().map(run);
        sync.validations = sync.validations.drain(..).map(validation).collect();
    }
    reading
}

fn job(job: Job) -> Job {
    Job {
        name: listed(&JOBS, &job.name),
        component: listed(&COMPONENTS, &job.component),
        problem: job.problem.map(|_| FOR_ADMINS.to_owned()),
        remedy: None,
        ..job
    }
}

fn log_row(row: LogRow) -> LogRow {
    LogRow {
        job: listed(&COMPONENTS, &row.job),
        status: row.status.map(|status| outcome(&status)),
        error: None,
        ..row
    }
}

fn run(run: Run) -> Run {
    Run {
        mode: run.mode.map(|mode| listed(&MODES, &mode)),
        outcome: outcome(&run.outcome),
        counts: serde_json::Value::Null,
        fault: run.fault.map(|fault| RunFault {
            kind: fault.kind.as_deref().map(kind),
            blame: blame(fault.blame.as_deref()),
            message: None,
        }),
        ..run
    }
}

fn validation(validation: Validation) -> Validation {
    Validation {
        entity: listed(&ENTITIES, &validation.entity),
        verdict: verdict(&validation.verdict),
        problem: validation.problem.map(|_| FOR_ADMINS.to_owned()),
        before: validation.before.map(|before| verdict(&before)),
        ..validation
    }
}

fn blame(blame: Option<&str>) -> Option<String> {
    blame
        .filter(|blame| is_among(&BLAMES, blame))
        .map(str::to_owned)
}

fn outcome(outcome: &str) -> String {
    known(&OUTCOMES, outcome).unwrap_or("error").to_owned()
}

fn verdict(verdict: &str) -> String {
    known(&VERDICTS, verdict).unwrap_or("error").to_owned()
}

fn kind(kind: &str) -> String {
    let known = Kind::ALL.iter().find(|known| known.code() == kind);
    known.map_or(OTHER, |known| known.code()).to_owned()
}

fn listed(list: &[&'static str], word: &str) -> String {
    known(list, word).unwrap_or(OTHER).to_owned()
}

fn known(list: &[&'static str], word: &str) -> Option<&'static str> {
    list.iter().find(|known| **known == word).copied()
}

fn is_among(list: &[&'static str], word: &str) -> bool {
    known(list, word).is_some()
}
