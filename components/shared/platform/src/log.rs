//! The component's log, printed to standard output line by line for Spin and systemd.

use std::cell::Cell;

use ledger::runs::Outcome;
use outbound::Clock;
use run::{Figures, Level, LoggedWarnings, Logging, Report};
use serde::Serialize;
use serde_json::json;
use spin_sdk::key_value::Store;

use crate::{SpinClock, SpinVariables};

/// Key under which the instances of all components share the warnings that were logged.
const TOLD: &str = "told";

thread_local! {
    static LOGGING: Cell<Option<Logging>> = const { Cell::new(None) };
    /// Whether this instance has logged its warnings about the configuration.
    static HAS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Writes a line, if its level is enabled.
pub async fn log(level: Level, component: &str, words: &str) {
    write((level, component), words, &json!({})).await;
}

/// Logs a run; the whole report is included if the format is JSON.
pub(crate) async fn log_run<F: Figures>(component: &str, report: &Report<F>) {
    let level = match report.outcome() {
        Outcome::Error => Level::Error,
        Outcome::Success => Level::Info,
    };
    write((level, component), &report.line(), report).await;
}

/// Logs warnings about the configuration: when they change, and otherwise once a day for all components and
/// instances together.
pub(crate) async fn log_standing(component: &str, words: Vec<String>) {
    if words.is_empty() || HAS_TOLD.replace(true) {
        return;
    }
    let now = LoggedWarnings::now(words.clone(), SpinClock.unix_seconds());
    // Without a key-value store each instance logs them.
    if let Ok(store) = Store::open_default().await {
        let before = store.get(TOLD).await.ok().flatten();
        let before = before.and_then(|before| serde_json::from_slice(&before).ok());
        if before.is_some_and(|before| now.is_known_from(&before)) {
            return;
        }
        if let Ok(document) = serde_json::to_vec(&now) {
            drop(store.set(TOLD, document).await);
        }
    }
    for line in &words {
        log(Level::Warn, component, line).await;
    }
}

async fn write(of: (Level, &str), words: &str, fields: &impl Serialize) {
    let logging = match LOGGING.get() {
        Some(logging) => logging,
        None => Logging::read(&SpinVariables).await.unwrap_or_default(),
    };
    LOGGING.set(Some(logging));
    if let Some(line) = logging.line(of, words, fields, SpinClock.unix_seconds()) {
        println!("{line}");
    }
}
