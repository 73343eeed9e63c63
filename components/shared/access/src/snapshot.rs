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
pub(crate) struct Terms {
    /// An answer is used for so long.
    pub(crate) max_age: Duration,
    /// No two questions are begun within this time, however many want one. Less than `max_age`.
    pub(crate) min_interval: Duration,
    /// A question takes no longer than this.
    pub(crate) patience: Duration,
    /// What to say of one that does.
    pub(crate) late: Fault,
}

pub(crate) struct Snapshot<T> {
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
    pub(crate) const fn new(terms: Terms) -> Self {
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

    /// The newest answer that may be had: asks, joins the one who is asking, or takes the outcome of a
    /// question that was begun a moment ago. `ask` is given the time of the question.
    ///
    /// An asker that hangs or is dropped holds nobody up for longer than three times the patience,
    /// one's own question included.
    pub(crate) async fn renewed(
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
