//! The setup check: a list of lines, each with a finding and a remedy, in the order in which a person sets
//! things up. It changes nothing but the row that stores the list; a missing bucket is created on request.
//!
//! What cannot be checked because something before it failed is a line too: not tried.

mod callers;
mod database;
mod destination;
mod source;
mod words;

use access::Policy;
use fault::{Fault, Kind};
use futures::future::join;
use ledger::Postgres;
use ledger::setup::{self, Line, State};
use outbound::{Clock, Http, Variables};
use run::{Job, Keys, Logging, RequestError};
use serde::Serialize;

/// All lines in the order in which a person sets things up, the database's own included.
const ORDER: [&str; 27] = [
    source::SETTINGS,
    source::REACHED,
    source::LOGIN,
    source::KEY,
    source::SESSION,
    source::IDENTITY,
    source::RIGHTS,
    destination::SETTINGS,
    destination::REACHED,
    destination::KEY,
    destination::BUCKET,
    destination::SIZE,
    destination::TYPES,
    destination::UPLOADS,
    destination::SIGNED,
    database::SETTINGS,
    database::REACHED,
    database::ROLE,
    database::TABLES,
    OTHER_SETTINGS,
    CLOCKS,
    "pg_cron",
    "pg_net",
    "key of the jobs",
    "jobs",
    ADDRESS,
    callers::KEYS,
];

/// The last lines.
const LAST: [&str; 2] = [callers::TOKENS, "admins"];

const OTHER_SETTINGS: &str = "settings of the jobs";
const CLOCKS: &str = "clocks";
const ADDRESS: &str = "address";

/// Maximum clock difference in seconds: the lifetime of tokens depends on the clocks.
const CLOCKS_S: i64 = 60;

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing failed and everything was tried.
    pub ok: bool,
    /// What was checked.
    pub lines: Vec<Line>,
}

/// A caller's request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// Creates the bucket if it is missing.
    pub create_bucket: bool,
    /// The daily check: skipped if there was one in the last 20 hours; the caller gets no result.
    pub daily: bool,
}

impl Request {
    /// Parses the body of a call; an empty one counts as `{}`.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let keys = Keys::of(body)?;
        Ok(Self {
            create_bucket: keys.flag("create_bucket")?,
            daily: keys.flag("daily")?,
        })
    }
}

/// Checks everything, unless there was a check in the last 20 hours.
pub async fn check_daily<P: Postgres>(
    variables: &impl Variables,
    http: &impl Http,
    clock: &impl Clock,
    postgres: P,
) -> Result<(), Fault> {
    if setup::is_due(&postgres).await? {
        check(variables, http, clock, &Ok(postgres), false).await;
    }
    Ok(())
}

/// Checks everything. `postgres` is the database, or the fault of its settings.
pub async fn check<P: Postgres>(
    variables: &impl Variables,
    http: &impl Http,
    clock: &impl Clock,
    postgres: &Result<P, Fault>,
    create_bucket: bool,
) -> Report {
    let mut database = database::look(variables, postgres).await;
    let outlook = database.outlook.as_ref();
    let ledger = postgres.as_ref().ok();
    let (mut source, destination) = join(
        source::look(variables, http, clock, ledger, outlook),
        destination::look(variables, http, (ledger, outlook), create_bucket),
    )
    .await;
    let mut lines = std::mem::take(&mut source.lines);
    lines.extend(destination);
    lines.append(&mut database.lines);
    lines.push(other_settings(variables, &lines).await);
    lines.push(clocks(clock, &source, database.unix_seconds));
    lines.extend(callers::look(variables, http).await);
    if database.has_tables
        && let Some(postgres) = ledger
    {
        lines.extend(database::own_lines(postgres, clock).await);
    }
    let lines = in_order(lines);
    let is_right = is_right(&lines);
    let mut report = Report {
        ok: is_right,
        lines,
    };
    if database.has_tables
        && let Some(postgres) = ledger
        && let Err(fault) = setup::keep(postgres, &report.lines, is_right).await
    {
        report.ok = false;
        let role = report.lines.iter_mut().find(|l| l.name == database::ROLE);
        if let Some(role) = role {
            *role = words::failed(database::ROLE, &fault);
        }
    }
    report
}

/// Reads the settings of what the components do, beside those of their connections, with the same code as
/// each component.
pub async fn other_settings_of(variables: &impl Variables) -> Result<(), Fault> {
    archive::ARCHIVE.settings(variables).await?;
    sync::crm::CRM.settings(variables).await?;
    sync::chatter::CHATTER.settings(variables).await?;
    Policy::read(variables).await?;
    Logging::read(variables).await?;
    variables.list("allowed_origins").await.map(drop)
}

async fn other_settings(variables: &impl Variables, lines: &[Line]) -> Line {
    let first = [source::SETTINGS, destination::SETTINGS];
    let failed = |line: &&Line| line.state == State::Failed && first.contains(&line.name.as_str());
    if let Some(line) = lines.iter().find(failed) {
        return words::not_tried(OTHER_SETTINGS, &line.name);
    }
    match other_settings_of(variables).await {
        Ok(()) => words::ok(OTHER_SETTINGS, "All have values that can be used."),
        Err(fault) => words::failed(OTHER_SETTINGS, &fault),
    }
}

fn clocks(clock: &impl Clock, source: &source::Source, postgres: Option<f64>) -> Line {
    let own = clock.unix_seconds();
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let postgres = postgres.map(|seconds| seconds as i64);
    let others = [("Odoo's", source.unix_seconds), ("Postgres'", postgres)];
    let known: Vec<_> = others
        .iter()
        .filter_map(|(whose, seconds)| Some((*whose, (*seconds)? - own)))
        .collect();
    if known.is_empty() {
        return words::not_tried(CLOCKS, source::REACHED);
    }
    let told = |(whose, by): &(&str, i64)| match by.signum() {
        0 => format!("{whose} clock is as the components'"),
        sign => format!(
            "{whose} clock is {} s {}",
            by.abs(),
            if sign > 0 { "ahead" } else { "behind" }
        ),
    };
    let found: Vec<_> = known.iter().map(told).collect();
    let found = format!("{}.", found.join(", "));
    if known.iter().all(|(_, by)| by.abs() <= CLOCKS_S) {
        return words::ok(CLOCKS, found);
    }
    words::warning(
        CLOCKS,
        found,
        "Have the machine whose clock is wrong set it by NTP: what changes in Odoo is asked for by its time, and a token is good until a time.",
    )
}

/// Sorts the lines into the order in which a person sets things up; missing ones count as not tried.
fn in_order(lines: Vec<Line>) -> Vec<Line> {
    let mut lines = lines;
    let named = ORDER.iter().chain(&LAST).map(|name| {
        let at = lines.iter().position(|line| line.name == *name);
        at.map_or_else(
            || words::not_tried(name, database::TABLES),
            |at| lines.swap_remove(at),
        )
    });
    let mut ordered: Vec<Line> = named.collect();
    // A newer `sql/` may report lines that are not known here.
    ordered.append(&mut lines);
    ordered
}

fn is_right(lines: &[Line]) -> bool {
    lines
        .iter()
        .all(|line| matches!(line.state, State::Ok | State::Warning))
}

/// Whether a setting causes the fault.
fn is_setting(fault: &Fault) -> bool {
    fault.kind() == Kind::Setting
}
