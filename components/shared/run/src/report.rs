//! The report of a run: its HTTP answer, and the source of its log row.

use fault::{Blame, Fault};
use ledger::runs::{Log, Outcome, RunId};
use serde::Serialize;
use serde_json::{Value, json};

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did all its work, or as much as its time allowed.
    #[default]
    Success,
    /// A fault stopped the run, or a part of it.
    Error,
    /// Another run is at work; nothing was changed.
    Running,
    /// A person has paused the job; nothing was changed.
    Paused,
}

/// The report of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report<F> {
    /// How it ended.
    pub status: Status,
    /// The run's mode.
    #[serde(skip)]
    pub mode: &'static str,
    /// The run's id in the ledger.
    pub run_id: RunId,
    /// Duration in seconds.
    pub elapsed_s: f64,
    /// Errors, one per line; those that stopped the run come first.
    pub errors: Vec<String>,
    /// The first fault that stopped the run, with kind, blame, message and remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Value>,
    /// Who is to blame for it.
    #[serde(skip)]
    pub blame: Option<Blame>,
    /// How many of `errors` stopped the run or a part of it.
    #[serde(skip)]
    stops: usize,
    /// The job's own figures.
    #[serde(flatten)]
    pub figures: F,
}

/// The job's own part of a report.
pub trait Figures: Default + Serialize {
    /// Maximum number of lines in `errors`.
    const MOST_ERRORS: usize;

    /// The figures that the run's row stores.
    fn counts(report: &Report<Self>) -> Value;

    /// A row for `migration_logs`, if it has anything that people should see. The run fills in the elapsed
    /// time, the errors and the status.
    fn log(report: &Report<Self>) -> Option<Log>;

    /// One line for the component's log, without the fault that stopped the run.
    fn line(report: &Report<Self>) -> String;

    /// The figures of a run of this mode that has done nothing yet.
    fn of_mode(_mode: &'static str) -> Self {
        Self::default()
    }

    /// How many attachments are still to be moved.
    fn remaining(&mut self, _remaining: i64) {}
}

impl<F: Figures> Report<F> {
    /// The report of a run of this mode that has done nothing yet.
    pub fn new(run_id: RunId, mode: &'static str) -> Self {
        Self {
            run_id,
            mode,
            figures: F::of_mode(mode),
            ..Self::default()
        }
    }

    /// Adds an error, up to the maximum.
    pub fn error(&mut self, line: impl Into<String>) {
        if self.errors.len() < F::MOST_ERRORS {
            self.errors.push(line.into());
        }
    }

    /// Adds a fault that stopped the run, or a part of it.
    pub fn stopped_by(&mut self, fault: &Fault) {
        self.status = Status::Error;
        let place = self.stops.min(self.errors.len());
        self.errors.insert(place, fault.message().to_owned());
        self.errors.truncate(F::MOST_ERRORS);
        self.stops += 1;
        if self.fault.is_none() {
            self.blame = Some(fault.blame());
            self.fault = Some(json!({
                "kind": fault.kind(), "blame": fault.blame(), "message": fault.message(),
                "remedy": fault::remedy(fault.kind().code()),
            }));
        }
    }

    /// The outcome for the ledger.
    pub fn outcome(&self) -> Outcome {
        if self.status == Status::Error {
            Outcome::Error
        } else {
            Outcome::Success
        }
    }

    /// The report as one line of the component's log.
    pub fn line(&self) -> String {
        let stopped = self.errors.first().filter(|_| self.stops > 0);
        let stopped = stopped.map_or_else(String::new, |words| format!(", stopped: {words}"));
        format!("{} in {} s{stopped}", F::line(self), self.elapsed_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fault::Kind;

    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    struct Nothing {}

    impl Figures for Nothing {
        const MOST_ERRORS: usize = 3;

        fn counts(_: &Report<Self>) -> Value {
            Value::Null
        }

        fn log(_: &Report<Self>) -> Option<Log> {
            None
        }

        fn line(_: &Report<Self>) -> String {
            "nothing".to_owned()
        }
    }

    #[test]
    fn what_stopped_a_run_stands_first_and_the_first_fault_is_the_one_that_is_told() {
        let mut report = Report::<Nothing>::default();
        for line in ["a", "b", "c", "d"] {
            report.error(line);
        }
        assert_eq!(report.line(), "nothing in 0 s");
        report.stopped_by(&Fault::new(Kind::SourceBusy, "first"));
        report.stopped_by(&Fault::new(Kind::LedgerFailed, "second"));
        assert_eq!(report.errors, ["first", "second", "a"]);
        assert_eq!(report.blame, Some(Kind::SourceBusy.blame()));
        assert_eq!(report.fault.as_ref().unwrap()["message"], "first");
        assert_eq!(
            (report.status, report.outcome()),
            (Status::Error, Outcome::Error)
        );
        assert_eq!(report.line(), "nothing in 0 s, stopped: first");
    }
}
