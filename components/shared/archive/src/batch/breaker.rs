//! A circuit breaker for each route that files take: it decides whose fault a failure is.
//!
//! A failure may be one file's own or hit all files. It counts as the file's own, and uses an attempt, only if
//! another file has succeeded on the same route since, or a neutral probe does.

use fault::{Fault, Kind};
use ledger::attachments::{Outcome, Settled};

/// After this many failures in a row without a success, the files are no longer to blame.
const STREAK: usize = 10;

/// The most failures held back while no known good file exists.
const MOST_UNPROVEN: usize = 1000;

/// Holds back failed files until it is known whose fault that was.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    suspects: Vec<(Settled, Fault)>,
    state: State,
    /// How many suspects the last inconclusive probe has covered.
    unproven: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Work goes on.
    #[default]
    Closed,
    /// No new work until a probe has been made.
    Open(Fault),
    /// The probe is under way; `true` if it is the last of the batch.
    HalfOpen(Fault, bool),
}

/// The result of a probe.
#[derive(Debug)]
pub(super) enum ProbeResult {
    /// A known good file came through.
    Well,
    /// It failed; with the fault, if that is more precise than the file's.
    Ill(Option<Fault>),
    /// There is no known good file to try.
    Unknown,
}

/// What follows from a probe.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Files whose failure is their own.
    pub(super) own: Vec<Settled>,
    /// The fault that stops the batch.
    pub(super) stop: Option<Fault>,
}

impl Breaker {
    /// Records a failure. Returns the file if no proof is needed, as its fault says whose it is.
    pub(super) fn failed(&mut self, fault: &Fault, settled: Settled) -> Option<Settled> {
        let enough = match fault.kind() {
            // A single busy answer may concern one file or be the first of many: probe at once.
            Kind::StorageBusy if self.suspects.is_empty() => 1,
            Kind::StorageFailed
            | Kind::StorageTimeout
            | Kind::StorageBusy
            | Kind::FileBlocked
            | Kind::SourceTimeout
            | Kind::SourceRefused
            | Kind::SourceEmpty => STREAK,
            _ if blames_no_file(fault) => 1,
            _ => return Some(settled),
        };
        self.suspects.push((settled, fault.clone()));
        let new = self.suspects.len() - self.unproven;
        if new >= enough && matches!(self.state, State::Closed) {
            self.state = State::Open(fault.clone());
        }
        None
    }

    /// Records a success on this route: the files held back failed by themselves.
    pub(super) fn succeeded(&mut self) -> Vec<Settled> {
        self.state = State::Closed;
        self.take()
    }

    fn take(&mut self) -> Vec<Settled> {
        self.unproven = 0;
        self.suspects
            .drain(..)
            .map(|(settled, _)| settled)
            .collect()
    }

    /// Whether so many failed in a row that the files are no longer to blame.
    pub(super) fn is_streak(&self) -> bool {
        self.suspects.len() >= STREAK
    }

    /// Whether no new work may begin on this route.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// Whether to probe now: after enough failures, or after any if the batch is at its `last` step.
    pub(super) fn probe(&mut self, last: bool) -> bool {
        let fault = match (&self.state, self.suspects.last()) {
            (State::Open(fault), _) => fault.clone(),
            (State::Closed, Some((_, fault))) if last && self.suspects.len() > self.unproven => {
                fault.clone()
            }
            _ => return false,
        };
        self.state = State::HalfOpen(fault, last);
        true
    }

    /// Handles the result of the probe.
    pub(super) fn proved(&mut self, proof: ProbeResult) -> Verdict {
        let State::HalfOpen(fault, last) = std::mem::take(&mut self.state) else {
            // A file has succeeded meanwhile.
            return Verdict::default();
        };
        let busy = fault.kind() == Kind::StorageBusy;
        let many = if blames_no_file(&fault) || !self.is_streak() {
            fault
        } else {
            fault.at("many files in a row")
        };
        match proof {
            // The pause may be over: later files, or the probe at the end, show whose fault it was.
            ProbeResult::Well if busy && !last => Verdict::default(),
            ProbeResult::Well => Verdict {
                own: self.take(),
                stop: None,
            },
            ProbeResult::Ill(better) => Verdict {
                own: Vec::new(),
                stop: Some(better.unwrap_or(many)),
            },
            ProbeResult::Unknown => self.unproven(many, last),
        }
    }

    /// No known good file exists, so see whether other files succeed. At the end of the batch many failures stop it;
    /// few count as the files' own, unless their fault blames no file.
    fn unproven(&mut self, many: Fault, last: bool) -> Verdict {
        let suspects = self.suspects.len();
        self.unproven = suspects;
        let stop = suspects >= MOST_UNPROVEN || (last && suspects >= STREAK);
        if stop || !last {
            let stop = stop.then_some(many);
            let own = Vec::new();
            return Verdict { own, stop };
        }
        let (kept, own): (Vec<_>, Vec<_>) = self
            .suspects
            .drain(..)
            .partition(|(_, fault)| blames_no_file(fault));
        self.unproven = kept.len();
        self.suspects = kept;
        Verdict {
            own: own.into_iter().map(|(settled, _)| settled).collect(),
            stop: None,
        }
    }

    /// Ends the batch: files whose failure is unproven are released without using an attempt.
    pub(super) fn release(&mut self) -> Vec<Settled> {
        let released = |settled: Settled| Settled {
            id: settled.id,
            checksum: settled.checksum,
            outcome: Outcome::Released {
                upload: match settled.outcome {
                    Outcome::Failed { upload, .. } | Outcome::Released { upload } => upload,
                    _ => None,
                },
            },
        };
        self.take().into_iter().map(released).collect()
    }
}

/// Whether a fault of this kind blames no file until that is proved.
fn blames_no_file(fault: &Fault) -> bool {
    matches!(fault.kind(), Kind::SourceContent | Kind::SourceProxy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fault::Blame;

    fn failing(id: i64) -> Settled {
        Settled {
            id,
            checksum: None,
            outcome: Outcome::Failed {
                reason: Kind::SourceContent,
                blame: Blame::Source,
                message: "it failed".to_owned(),
                wait_s: 1.0,
                upload: None,
            },
        }
    }

    /// A breaker after this many failures.
    fn after(failures: i64, kind: Kind) -> Breaker {
        let mut breaker = Breaker::default();
        for id in 0..failures {
            let fault = Fault::new(kind, "it failed");
            assert_eq!(breaker.failed(&fault, failing(id)), None);
        }
        breaker
    }

    #[test]
    fn ten_alike_in_a_row_are_proved_and_if_nothing_can_be_had_none_has_used_an_attempt() {
        assert!(!after(9, Kind::SourceEmpty).probe(false));
        let mut breaker = after(10, Kind::SourceEmpty);
        assert!(breaker.is_open());
        assert!(breaker.probe(false));
        assert!(!breaker.probe(false), "one probe at a time");
        let verdict = breaker.proved(ProbeResult::Ill(None));
        assert!(verdict.own.is_empty() && verdict.stop.is_some());
        let released = breaker.release();
        assert_eq!(released.len(), 10);
        assert!(
            released
                .iter()
                .all(|settled| matches!(settled.outcome, Outcome::Released { .. }))
        );
    }

    #[test]
    fn one_that_is_asked_for_a_pause_for_ever_is_told_from_a_storage_that_is_busy() {
        let mut breaker = after(1, Kind::StorageBusy);
        assert!(breaker.probe(false), "at once: the others need not wait");
        assert!(breaker.proved(ProbeResult::Ill(None)).stop.is_some());
        assert_eq!(breaker.release().len(), 1);
        let mut breaker = after(1, Kind::StorageBusy);
        breaker.probe(false);
        let verdict = breaker.proved(ProbeResult::Well);
        assert!(verdict.own.is_empty() && verdict.stop.is_none() && !breaker.is_open());
        assert!(breaker.probe(true));
        assert_eq!(breaker.proved(ProbeResult::Well).own.len(), 1);
        // Ten in a row concern more than one file.
        let mut breaker = after(1, Kind::StorageBusy);
        breaker.probe(false);
        breaker.proved(ProbeResult::Well);
        for id in 1..10 {
            assert!(!breaker.is_streak() && !breaker.is_open());
            breaker.failed(&Fault::new(Kind::StorageBusy, "it failed"), failing(id));
        }
        assert!(breaker.is_streak() && breaker.is_open());
    }

    #[test]
    fn what_failed_beside_a_success_or_a_good_probe_failed_by_itself() {
        let mut breaker = after(10, Kind::SourceTimeout);
        assert_eq!(breaker.succeeded().len(), 10);
        assert!(!breaker.is_open());
        let mut breaker = after(12, Kind::SourceEmpty);
        breaker.probe(false);
        let verdict = breaker.proved(ProbeResult::Well);
        assert_eq!((verdict.own.len(), verdict.stop), (12, None));
        assert!(!breaker.is_open() && breaker.release().is_empty());
        // The success came before the end of the probe, whose result then no longer counts.
        let mut breaker = after(10, Kind::SourceEmpty);
        breaker.probe(false);
        assert_eq!(breaker.succeeded().len(), 10);
        let verdict = breaker.proved(ProbeResult::Ill(None));
        assert!(verdict.own.is_empty() && verdict.stop.is_none());
    }

    #[test]
    fn few_failures_are_proved_before_the_batch_ends() {
        let mut breaker = after(3, Kind::SourceEmpty);
        assert!(breaker.probe(true));
        assert_eq!(breaker.proved(ProbeResult::Unknown).own.len(), 3);
        let mut breaker = after(3, Kind::SourceEmpty);
        breaker.probe(true);
        let verdict = breaker.proved(ProbeResult::Ill(None));
        assert!(verdict.own.is_empty() && verdict.stop.is_some());
        assert!(!Breaker::default().probe(true));
    }

    #[test]
    fn where_nothing_is_known_to_be_good_others_are_tried_before_the_batch_stops() {
        let mut breaker = after(10, Kind::SourceEmpty);
        breaker.probe(false);
        let verdict = breaker.proved(ProbeResult::Unknown);
        assert!(verdict.own.is_empty() && verdict.stop.is_none() && !breaker.is_open());
        let fault = Fault::new(Kind::SourceEmpty, "it failed");
        for id in 10..19 {
            breaker.failed(&fault, failing(id));
            assert!(!breaker.probe(false));
        }
        // One success shows that the others failed by themselves.
        assert_eq!(breaker.succeeded().len(), 19);
        let mut breaker = after(10, Kind::SourceEmpty);
        breaker.probe(true);
        assert!(breaker.proved(ProbeResult::Unknown).stop.is_some());
        assert_eq!(breaker.release().len(), 10);
    }

    #[test]
    fn a_way_that_a_proxy_may_have_closed_is_probed_at_once_and_blames_no_file_without_proof() {
        let mut breaker = after(1, Kind::SourceContent);
        for last in [false, true] {
            let fault = Fault::new(Kind::SourceContent, "it failed");
            breaker.failed(&fault, failing(7));
            assert!(breaker.probe(last));
            let verdict = breaker.proved(ProbeResult::Unknown);
            assert!(verdict.own.is_empty() && verdict.stop.is_none());
        }
        assert!(!breaker.probe(true), "it was asked already");
        assert_eq!(breaker.release().len(), 3);
    }

    #[test]
    fn what_says_itself_whose_fault_it_is_needs_no_proof() {
        let mut breaker = Breaker::default();
        let fault = Fault::new(Kind::WrongBytes, "it failed");
        for id in 0..100 {
            assert!(breaker.failed(&fault, failing(id)).is_some());
        }
        assert!(!breaker.is_open());
    }
}
