//! A cached answer of an external service, shared by all requests of an instance and refreshed by one of them
//! at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fault::Fault;
use outbound::Clock;

use crate::timeout::within;

/// How often requests that wait for another one's refresh check whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long after its timeout a refresh counts as stuck. The request that runs it has the same timeout and
/// should report it first.
const GRACE: Duration = Duration::from_secs(1);

/// Timing of a snapshot.
pub struct Timing {
    /// Maximum age of an answer.
    pub max_age: Duration,
    /// Minimum time between the beginnings of two refreshes, however many requests want one. Less than
    /// `max_age`.
    pub min_interval: Duration,
    /// Timeout of a refresh.
    pub timeout: Duration,
    /// The fault of a refresh that times out.
    pub late: Fault,
}

/// The last answer, and the state of the last refresh.
pub struct Snapshot<T> {
    timing: Timing,
    state: RefCell<State<T>>,
}

struct State<T> {
    /// The last answer, and when it was asked for.
    held: Option<(Duration, Rc<T>)>,
    /// The last refresh.
    refresh: Option<Refresh>,
}

struct Refresh {
    begun: Duration,
    outcome: Outcome,
}

enum Outcome {
    /// A request is running it.
    Open,
    /// The request that ran it was dropped before the end.
    Abandoned,
    Answered,
    Failed(Fault),
}

enum NextStep<T> {
    Refresh,
    /// Wait for the refresh that began then.
    Wait(Duration),
    Done(Result<Rc<T>, Fault>),
}

impl<T> Snapshot<T> {
    /// An empty snapshot.
    pub const fn new(timing: Timing) -> Self {
        let state = State {
            held: None,
            refresh: None,
        };
        Self {
            timing,
            state: RefCell::new(state),
        }
    }

    /// The last answer, unless it is too old.
    pub(crate) fn held(&self, now: Duration) -> Option<Rc<T>> {
        let state = self.state.borrow();
        let (asked_at, answer) = state.held.as_ref()?;
        (now.saturating_sub(*asked_at) < self.timing.max_age).then(|| Rc::clone(answer))
    }

    /// The last answer, if nobody has to wait for a newer one: it is younger than `min_interval`, or a
    /// refresh is under way and it is not too old.
    pub fn at_hand(&self, now: Duration) -> Option<Rc<T>> {
        let state = self.state.borrow();
        let (asked_at, answer) = state.held.as_ref()?;
        let age = now.saturating_sub(*asked_at);
        let refresh = state.refresh.as_ref();
        let is_asked = refresh.is_some_and(|refresh| matches!(refresh.outcome, Outcome::Open));
        let suffices = age < self.timing.min_interval || (is_asked && age < self.timing.max_age);
        suffices.then(|| Rc::clone(answer))
    }

    /// Drops the last answer, so that the next request refreshes it. A refresh under way is ignored.
    pub fn forget(&self) {
        let mut state = self.state.borrow_mut();
        state.held = None;
        state.refresh = None;
    }

    /// Gets the newest answer: refreshes it, joins a refresh under way, or takes the result of one that began
    /// within `min_interval`. `ask` gets the time at which the refresh begins.
    ///
    /// A refresh that hangs or is dropped delays no request by more than three times the timeout, the
    /// request's own refresh included.
    pub async fn renewed(
        &self,
        clock: &impl Clock,
        ask: impl AsyncFnOnce(Duration) -> Result<T, Fault>,
    ) -> Result<Rc<T>, Fault> {
        let come = clock.now();
        let mut awaited = None;
        let begun = loop {
            let now = clock.now();
            if now.saturating_sub(come) >= self.timing.timeout * 2 {
                return Err(self.timing.late.clone());
            }
            match self.next_step(now, awaited) {
                NextStep::Refresh => break now,
                NextStep::Done(outcome) => return outcome,
                NextStep::Wait(begun) => {
                    awaited = Some(begun);
                    clock.sleep(LOOK_EVERY).await;
                }
            }
        };
        let guard = RefreshGuard {
            snapshot: self,
            begun,
        };
        let outcome = within(clock, self.timing.timeout, &self.timing.late, ask(begun)).await;
        guard.end(outcome.map(Rc::new))
    }

    /// The next step of a request that has waited for the refresh begun at `awaited`. `Refresh` also marks a
    /// refresh as begun, so only one request gets it.
    fn next_step(&self, now: Duration, awaited: Option<Duration>) -> NextStep<T> {
        let mut state = self.state.borrow_mut();
        if let Some(refresh) = &state.refresh {
            let age = now.saturating_sub(refresh.begun);
            let is_recent = age < self.timing.min_interval;
            // Requests that waited take the result, however long it took; otherwise a slow service would be
            // asked by one after another.
            let is_news = is_recent || awaited.is_some_and(|awaited| awaited <= refresh.begun);
            match (&refresh.outcome, &state.held) {
                (Outcome::Failed(fault), _) if is_news => {
                    return NextStep::Done(Err(fault.clone()));
                }
                (Outcome::Answered, Some((_, answer))) if is_news => {
                    return NextStep::Done(Ok(Rc::clone(answer)));
                }
                (Outcome::Open, _) if age < self.timing.timeout + GRACE => {
                    return NextStep::Wait(refresh.begun);
                }
                (Outcome::Open | Outcome::Abandoned, _) if is_recent => {
                    return NextStep::Wait(refresh.begun);
                }
                _ => {}
            }
        }
        state.refresh = Some(Refresh {
            begun: now,
            outcome: Outcome::Open,
        });
        NextStep::Refresh
    }

    fn settle(&self, begun: Duration, outcome: Outcome) {
        let mut state = self.state.borrow_mut();
        // Ignore a refresh that another one has replaced.
        if let Some(refresh) = &mut state.refresh
            && refresh.begun == begun
            && matches!(refresh.outcome, Outcome::Open)
        {
            refresh.outcome = outcome;
        }
    }
}

/// The request that runs a refresh. If it is dropped early, another one may refresh.
struct RefreshGuard<'a, T> {
    snapshot: &'a Snapshot<T>,
    begun: Duration,
}

impl<T> RefreshGuard<'_, T> {
    fn end(self, outcome: Result<Rc<T>, Fault>) -> Result<Rc<T>, Fault> {
        match &outcome {
            Ok(answer) => {
                let mut state = self.snapshot.state.borrow_mut();
                if state
                    .held
                    .as_ref()
                    .is_none_or(|(asked_at, _)| *asked_at <= self.begun)
                {
                    state.held = Some((self.begun, Rc::clone(answer)));
                }
                drop(state);
                self.snapshot.settle(self.begun, Outcome::Answered);
            }
            Err(fault) => self
                .snapshot
                .settle(self.begun, Outcome::Failed(fault.clone())),
        }
        outcome
    }
}

impl<T> Drop for RefreshGuard<'_, T> {
    fn drop(&mut self) {
        self.snapshot.settle(self.begun, Outcome::Abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;

    use fault::Kind;
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    const TIMING: Timing = Timing {
        max_age: Duration::from_secs(20),
        min_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        late: Fault::new(Kind::OutOfTime, "late"),
    };
    const BROKEN: Fault = Fault::new(Kind::Program, "broken");

    /// A clock that is advanced by hand; sleeping never ends.
    #[derive(Default)]
    struct ManualClock(Cell<Duration>);

    impl ManualClock {
        fn pass(&self, seconds: u64) {
            self.0.set(self.0.get() + Duration::from_secs(seconds));
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Duration {
            self.0.get()
        }
        fn unix_seconds(&self) -> i64 {
            0
        }
        fn sleep(&self, _: Duration) -> impl Future<Output = ()> {
            std::future::pending()
        }
        fn chance(&self) -> f64 {
            0.0
        }
    }

    /// Yields once, then returns the answer.
    async fn on_second_look<T>(answer: T) -> T {
        let mut looked = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut looked, true) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        answer
    }

    #[test]
    fn an_answer_that_comes_after_a_newer_one_does_not_replace_it() {
        let (clock, snapshot) = (ManualClock::default(), Snapshot::new(TIMING));
        let mut slow = pin!(snapshot.renewed(&clock, async |_| on_second_look(Ok("old")).await));
        assert!(slow.as_mut().now_or_never().is_none());
        clock.pass(6);
        let quick = block_on(snapshot.renewed(&clock, async |_| Ok("new")));
        assert_eq!(quick.as_deref(), Ok(&"new"));
        assert_eq!(
            block_on(slow).as_deref(),
            Ok(&"old"),
            "its own caller gets what it asked for"
        );
        assert_eq!(snapshot.held(clock.now()).as_deref(), Some(&"new"));
    }

    #[test]
    fn one_who_fails_late_has_no_say_on_the_question_that_is_open_now() {
        let (clock, snapshot) = (ManualClock::default(), Snapshot::new(TIMING));
        let mut slow = pin!(snapshot.renewed(&clock, async |_| on_second_look(Err(BROKEN)).await));
        assert!(slow.as_mut().now_or_never().is_none());
        clock.pass(6);
        let mut second = pin!(snapshot.renewed(&clock, async |_| on_second_look(Ok("new")).await));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(block_on(slow), Err(BROKEN));
        let unasked = snapshot.renewed(&clock, async |_| Err(BROKEN));
        assert_eq!(unasked.now_or_never(), None, "waits for the second");
        assert_eq!(block_on(second).as_deref(), Ok(&"new"));
    }

    #[test]
    fn while_one_asks_the_others_take_what_is_at_hand_until_it_is_too_old_or_forgotten() {
        let (clock, snapshot) = (ManualClock::default(), Snapshot::new(TIMING));
        assert_eq!(snapshot.at_hand(clock.now()), None);
        assert!(block_on(snapshot.renewed(&clock, async |_| Ok("one"))).is_ok());
        assert_eq!(snapshot.at_hand(clock.now()).as_deref(), Some(&"one"));
        clock.pass(2);
        assert_eq!(snapshot.at_hand(clock.now()), None, "nobody asks yet");
        let mut asking = pin!(snapshot.renewed(&clock, async |_| on_second_look(Ok("two")).await));
        assert!(asking.as_mut().now_or_never().is_none());
        assert_eq!(snapshot.at_hand(clock.now()).as_deref(), Some(&"one"));
        clock.pass(18);
        assert_eq!(snapshot.at_hand(clock.now()), None, "too old");
        assert_eq!(block_on(asking).as_deref(), Ok(&"two"));
        snapshot.forget();
        assert_eq!(snapshot.at_hand(clock.now()), None);
        let anew = block_on(snapshot.renewed(&clock, async |_| Ok("three")));
        assert_eq!(anew.as_deref(), Ok(&"three"));
    }

    #[test]
    fn a_failure_leaves_the_answer_at_hand_until_it_is_too_old() {
        let (clock, snapshot) = (ManualClock::default(), Snapshot::new(TIMING));
        assert!(block_on(snapshot.renewed(&clock, async |_| Ok("one"))).is_ok());
        clock.pass(19);
        assert_eq!(
            block_on(snapshot.renewed(&clock, async |_| Err(BROKEN))),
            Err(BROKEN)
        );
        assert_eq!(snapshot.held(clock.now()).as_deref(), Some(&"one"));
        clock.pass(1);
        assert_eq!(snapshot.held(clock.now()), None);
    }
}
