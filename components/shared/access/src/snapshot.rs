//! Something that lies outside, as it was when we last asked: shared by all requests of an instance,
//! and asked for by one of them at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fault::Fault;
use outbound::Clock;

use crate::patience::within;

/// How often those who wait for somebody else's question look whether it is answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long after its patience a question counts as stuck: its asker, who has the same patience, is to
/// be the first to say so.
const GRACE: Duration = Duration::from_secs(1);

/// How old an answer may be, and how often we may ask.
pub struct Terms {
    /// An answer is used for so long.
    pub max_age: Duration,
    /// No two questions are begun within this time, however many want one. Less than `max_age`.
    pub min_interval: Duration,
    /// A question takes no longer than this.
    pub patience: Duration,
    /// What to say of one that does.
    pub late: Fault,
}

/// What was answered last, and who is asking.
pub struct Snapshot<T> {
    terms: Terms,
    state: RefCell<State<T>>,
}

struct State<T> {
    /// The last answer, and when it was asked for.
    held: Option<(Duration, Rc<T>)>,
    /// The last question.
    question: Option<Question>,
}

struct Question {
    begun: Duration,
    outcome: Outcome,
}

enum Outcome {
    /// Somebody is asking.
    Open,
    /// Whoever asked was dropped in the middle.
    Abandoned,
    Answered,
    Failed(Fault),
}

enum Turn<T> {
    Ask,
    /// For the question that was begun then.
    Wait(Duration),
    Known(Result<Rc<T>, Fault>),
}

impl<T> Snapshot<T> {
    /// Nothing was asked so far.
    pub const fn new(terms: Terms) -> Self {
        let state = State {
            held: None,
            question: None,
        };
        Self {
            terms,
            state: RefCell::new(state),
        }
    }

    /// The answer at hand, if it is not too old.
    pub(crate) fn held(&self, now: Duration) -> Option<Rc<T>> {
        let state = self.state.borrow();
        let (asked_at, answer) = state.held.as_ref()?;
        (now.saturating_sub(*asked_at) < self.terms.max_age).then(|| Rc::clone(answer))
    }

    /// The answer at hand, where nobody has to wait for a newer one: it is of a moment ago, or somebody asks already
    /// and it is not too old.
    pub fn at_hand(&self, now: Duration) -> Option<Rc<T>> {
        let state = self.state.borrow();
        let (asked_at, answer) = state.held.as_ref()?;
        let age = now.saturating_sub(*asked_at);
        let question = state.question.as_ref();
        let is_asked = question.is_some_and(|question| matches!(question.outcome, Outcome::Open));
        let suffices = age < self.terms.min_interval || (is_asked && age < self.terms.max_age);
        suffices.then(|| Rc::clone(answer))
    }

    /// Forgets the answer at hand, so that the next one is asked for anew. Who is asking now does not count.
    pub fn forget(&self) {
        let mut state = self.state.borrow_mut();
        state.held = None;
        state.question = None;
    }

    /// The newest answer that may be had: asks, joins the one who is asking, or takes the outcome of a
    /// question that was begun a moment ago. `ask` is given the time of the question.
    ///
    /// An asker that hangs or is dropped holds nobody up for longer than three times the patience,
    /// one's own question included.
    pub async fn renewed(
        &self,
        clock: &impl Clock,
        ask: impl AsyncFnOnce(Duration) -> Result<T, Fault>,
    ) -> Result<Rc<T>, Fault> {
        let come = clock.now();
        let mut awaited = None;
        let begun = loop {
            let now = clock.now();
            if now.saturating_sub(come) >= self.terms.patience * 2 {
                return Err(self.terms.late.clone());
            }
            match self.turn(now, awaited) {
                Turn::Ask => break now,
                Turn::Known(outcome) => return outcome,
                Turn::Wait(question) => {
                    awaited = Some(question);
                    clock.sleep(LOOK_EVERY).await;
                }
            }
        };
        let asker = Asker {
            snapshot: self,
            begun,
        };
        let outcome = within(clock, self.terms.patience, &self.terms.late, ask(begun)).await;
        asker.end(outcome.map(Rc::new))
    }

    /// What to do now, for one who has waited for the question begun at `awaited`. `Ask` marks the
    /// question as begun, so it is said to one only.
    fn turn(&self, now: Duration, awaited: Option<Duration>) -> Turn<T> {
        let mut state = self.state.borrow_mut();
        if let Some(question) = &state.question {
            let age = now.saturating_sub(question.begun);
            let is_recent = age < self.terms.min_interval;
            // Those who waited take the outcome, however long it took: else a slow answer would have
            // them ask one after another.
            let is_news = is_recent || awaited.is_some_and(|awaited| awaited <= question.begun);
            match (&question.outcome, &state.held) {
                (Outcome::Failed(fault), _) if is_news => return Turn::Known(Err(fault.clone())),
                (Outcome::Answered, Some((_, answer))) if is_news => {
                    return Turn::Known(Ok(Rc::clone(answer)));
                }
                (Outcome::Open, _) if age < self.terms.patience + GRACE => {
                    return Turn::Wait(question.begun);
                }
                (Outcome::Open | Outcome::Abandoned, _) if is_recent => {
                    return Turn::Wait(question.begun);
                }
                _ => {}
            }
        }
        state.question = Some(Question {
            begun: now,
            outcome: Outcome::Open,
        });
        Turn::Ask
    }

    fn settle(&self, begun: Duration, outcome: Outcome) {
        let mut state = self.state.borrow_mut();
        // One that was overtaken has no say any more.
        if let Some(question) = &mut state.question
            && question.begun == begun
            && matches!(question.outcome, Outcome::Open)
        {
            question.outcome = outcome;
        }
    }
}

/// The one whose turn it is. Dropped before the end, it gives the turn back.
struct Asker<'a, T> {
    snapshot: &'a Snapshot<T>,
    begun: Duration,
}

impl<T> Asker<'_, T> {
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

impl<T> Drop for Asker<'_, T> {
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

    const TERMS: Terms = Terms {
        max_age: Duration::from_secs(20),
        min_interval: Duration::from_secs(1),
        patience: Duration::from_secs(5),
        late: Fault::new(Kind::OutOfTime, "late"),
    };
    const BROKEN: Fault = Fault::new(Kind::Program, "broken");

    /// Time passes by hand, and nobody ever wakes by it.
    #[derive(Default)]
    struct ByHand(Cell<Duration>);

    impl ByHand {
        fn pass(&self, seconds: u64) {
            self.0.set(self.0.get() + Duration::from_secs(seconds));
        }
    }

    impl Clock for ByHand {
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

    /// Gives way once, and then answers.
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
        let (clock, snapshot) = (ByHand::default(), Snapshot::new(TERMS));
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
        let (clock, snapshot) = (ByHand::default(), Snapshot::new(TERMS));
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
        let (clock, snapshot) = (ByHand::default(), Snapshot::new(TERMS));
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
        let (clock, snapshot) = (ByHand::default(), Snapshot::new(TERMS));
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
