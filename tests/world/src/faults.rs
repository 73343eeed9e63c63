//! Faults that can be set from outside, at any endpoint of a simulated server, while it runs.
//!
//! A fault says *where* it strikes (path, method, RPC call, record id), *when* (the n-th match, the
//! first few, now and then, always) and *what* then happens:
//!
//! ```
//! use world::faults::{Fault, Faults};
//! let faults = Faults::default();
//! faults.add(Fault::on("/web/content").nth(3).truncate(1000));
//! faults.add(Fault::on_call("ir.attachment", "search_read").times(2).status(503));
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::serve::{Locked, Trace};

/// One fault: where, when and what. Made by [`Fault::on`] and its siblings, or read from JSON, as in
/// `{"path": "/web/content", "nth": 3, "what": {"truncate": 1000}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only requests whose path contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only requests of this HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only this RPC call, as `model/method`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Only requests that name this record id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The first match that is struck, counted from 1.
    #[serde(default = "one", alias = "from")]
    pub nth: u64,
    /// How many matches are struck; `null` is no end. JSON that leaves it out means one.
    #[serde(default = "once")]
    pub times: Option<u64>,
    /// The share of matches that is struck, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// What happens.
    pub what: What,
}

fn one() -> u64 {
    1
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn once() -> Option<u64> {
    Some(1)
}

fn always() -> f64 {
    1.0
}

/// What a fault does to a request that it strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The connection ends before anything was done or answered.
    Refuse,
    /// All is done as asked, but the connection ends before the answer.
    LoseAnswer,
    /// The answer is cut off by a TCP reset after this many bytes of its body.
    ResetAt(u64),
    /// The answer stops after this many bytes of its body, and the connection stays open.
    StallAt(u64),
    /// The answer's body ends cleanly after this many bytes, with a Content-Length to match.
    Truncate(u64),
    /// One byte in the middle of the answer's body is another.
    WrongBytes,
    /// The answer comes this many milliseconds later. Combines with any other fault.
    DelayMs(u64),
    /// Nothing is done before this fault is lifted; then all is as usual. Combines with any other fault.
    Hold,
    /// The server takes this many bytes of the request's body and then drops the connection.
    CutUploadAt(u64),
    /// Nothing is done; this is the answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
    },
    /// Nothing is done; an HTML page with status 500 is the answer, as from a crashed worker.
    Html500,
    /// Nothing is done; the answer is a 303 to the login page.
    RedirectToLogin,
}

/// A fault in the making: where and when are said, what is still to be said.
#[derive(Debug, Clone)]
#[must_use = "say what happens, for instance with `.refuse()`"]
pub struct Trigger(Fault);

impl Fault {
    /// A fault at requests whose path contains `path`, always, until told otherwise.
    pub fn on(path: &str) -> Trigger {
        Trigger(Self {
            path: Some(path.to_owned()),
            ..Self::unconditional()
        })
    }

    /// A fault at every request.
    pub fn on_any() -> Trigger {
        Trigger(Self::unconditional())
    }

    /// A fault at a method of a model, whichever protocol calls it.
    pub fn on_call(model: &str, method: &str) -> Trigger {
        Trigger(Self {
            call: Some(format!("{model}/{method}")),
            ..Self::unconditional()
        })
    }

    /// A fault at every request that names this record: its content, or a call on its id. It strikes the
    /// whole answer; for one file among many in a `read`, damage the attachment instead.
    pub fn on_id(id: i64) -> Trigger {
        Trigger(Self {
            id: Some(id),
            ..Self::unconditional()
        })
    }

    fn unconditional() -> Self {
        Self {
            path: None,
            method: None,
            call: None,
            id: None,
            nth: 1,
            times: None,
            probability: 1.0,
            what: What::Refuse,
        }
    }

    fn matches(&self, trace: &Trace) -> bool {
        self.path
            .as_ref()
            .is_none_or(|path| trace.path.contains(path.as_str()))
            && self
                .method
                .as_ref()
                .is_none_or(|method| trace.method.as_str().eq_ignore_ascii_case(method))
            && self
                .call
                .as_ref()
                .is_none_or(|call| trace.call.as_ref() == Some(call))
            && self.id.is_none_or(|id| trace.ids.contains(&id))
    }
}

impl Trigger {
    /// Narrows to one HTTP method.
    pub fn method(mut self, method: &str) -> Self {
        self.0.method = Some(method.to_owned());
        self
    }

    /// Narrows to requests that name this record id.
    pub fn id(mut self, id: i64) -> Self {
        self.0.id = Some(id);
        self
    }

    /// Strikes the `n`-th match alone, counted from 1 from now on.
    pub fn nth(mut self, n: u64) -> Self {
        self.0.nth = n.max(1);
        self.0.times = Some(1);
        self
    }

    /// Strikes the first `count` matches from now on.
    pub fn times(mut self, count: u64) -> Self {
        self.0.times = Some(count);
        self
    }

    /// Strikes the `n`-th match, counted from 1, and all that follow.
    pub fn from_nth(mut self, n: u64) -> Self {
        self.0.nth = n.max(1);
        self.0.times = None;
        self
    }

    /// Strikes this share of the matches, from 0 to 1, in an order that is the same in every run.
    pub fn probability(mut self, share: f64) -> Self {
        self.0.probability = share;
        self
    }

    /// The connection ends before anything is done or answered.
    pub fn refuse(self) -> Fault {
        self.does(What::Refuse)
    }

    /// All is done as asked, but the answer never comes: the connection ends.
    pub fn lose_answer(self) -> Fault {
        self.does(What::LoseAnswer)
    }

    /// A TCP reset after `bytes` of the answer's body.
    pub fn reset_at(self, bytes: u64) -> Fault {
        self.does(What::ResetAt(bytes))
    }

    /// Silence after `bytes` of the answer's body.
    pub fn stall_at(self, bytes: u64) -> Fault {
        self.does(What::StallAt(bytes))
    }

    /// A body of `bytes` only, with a Content-Length that says so.
    pub fn truncate(self, bytes: u64) -> Fault {
        self.does(What::Truncate(bytes))
    }

    /// One wrong byte in the middle of the body.
    pub fn wrong_bytes(self) -> Fault {
        self.does(What::WrongBytes)
    }

    /// The answer comes this many milliseconds later.
    pub fn delay_ms(self, ms: u64) -> Fault {
        self.does(What::DelayMs(ms))
    }

    /// Nothing is done before the fault is lifted: what is under way stays so for as long as a test
    /// likes, whatever the machine's pace.
    pub fn hold(self) -> Fault {
        self.does(What::Hold)
    }

    /// The connection drops after `bytes` of the request's body.
    pub fn cut_upload_at(self, bytes: u64) -> Fault {
        self.does(What::CutUploadAt(bytes))
    }

    /// An empty answer of this status.
    pub fn status(self, status: u16) -> Fault {
        self.answer(status, &[], "")
    }

    /// An empty answer of this status with `Retry-After`.
    pub fn retry_after(self, status: u16, seconds: u64) -> Fault {
        self.answer(status, &[("retry-after", &seconds.to_string())], "")
    }

    /// An answer of this status, with these headers and this body.
    pub fn answer(self, status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.does(What::Answer {
            status,
            headers,
            body: body.to_owned(),
        })
    }

    /// An HTML page with status 500.
    pub fn html_500(self) -> Fault {
        self.does(What::Html500)
    }

    /// A 303 to the login page.
    pub fn redirect_to_login(self) -> Fault {
        self.does(What::RedirectToLogin)
    }

    /// Any other effect, by value.
    pub fn does(mut self, what: What) -> Fault {
        self.0.what = what;
        self.0
    }
}

/// The name of a fault that was set, to ask after it or to lift it.
pub type FaultId = u64;

/// The faults of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Spares requests the lock while there is no fault.
    any: AtomicBool,
    set: Locked<Set>,
    /// Tells those who are held that a fault was lifted.
    lifted: Notify,
}

#[derive(Debug, Default)]
struct Set {
    last_id: FaultId,
    armed: Vec<Armed>,
}

/// A fault that is set, and what became of it so far.
#[derive(Debug, Clone, Serialize)]
pub struct Armed {
    /// Its name.
    pub id: FaultId,
    /// The fault itself.
    pub fault: Fault,
    /// How many requests matched.
    pub matched: u64,
    /// How many of them were struck.
    pub struck: u64,
    #[serde(skip)]
    dice: u64,
}

impl Faults {
    /// Sets a fault; it counts matches from now on.
    pub fn add(&self, fault: Fault) -> FaultId {
        let mut set = self.0.set.lock();
        set.last_id += 1;
        let id = set.last_id;
        set.armed.push(Armed {
            id,
            fault,
            matched: 0,
            struck: 0,
            dice: id,
        });
        self.0.any.store(true, Ordering::Release);
        id
    }

    /// Lifts one fault.
    pub fn remove(&self, id: FaultId) {
        let mut set = self.0.set.lock();
        set.armed.retain(|armed| armed.id != id);
        self.0.any.store(!set.armed.is_empty(), Ordering::Release);
        self.0.lifted.notify_waiters();
    }

    /// Lifts all faults.
    pub fn clear(&self) {
        let mut set = self.0.set.lock();
        set.armed.clear();
        self.0.any.store(false, Ordering::Release);
        self.0.lifted.notify_waiters();
    }

    /// Waits until a fault is lifted.
    pub(crate) async fn until_lifted(&self, id: FaultId) {
        loop {
            let mut lifted = std::pin::pin!(self.0.lifted.notified());
            // Before the look: what is lifted after it is heard of.
            lifted.as_mut().enable();
            if !self.0.set.lock().armed.iter().any(|armed| armed.id == id) {
                return;
            }
            lifted.await;
        }
    }

    /// How often a fault struck; 0 if it was lifted.
    pub fn struck(&self, id: FaultId) -> u64 {
        self.0
            .set
            .lock()
            .armed
            .iter()
            .find(|armed| armed.id == id)
            .map_or(0, |armed| armed.struck)
    }

    /// All faults that are set.
    pub fn list(&self) -> Vec<Armed> {
        self.0.set.lock().armed.clone()
    }

    /// What strikes this request: all delays and holds together, and the first other fault.
    pub(crate) fn strike(&self, trace: &Trace) -> Strike {
        let mut strike = Strike::default();
        if !self.0.any.load(Ordering::Acquire) {
            return strike;
        }
        for armed in &mut self.0.set.lock().armed {
            if !armed.fault.matches(trace) {
                continue;
            }
            armed.matched += 1;
            let spent = armed
                .fault
                .times
                .is_some_and(|times| armed.matched >= armed.fault.nth.saturating_add(times));
            if armed.matched < armed.fault.nth || spent || !armed.throw() {
                continue;
            }
            match &armed.fault.what {
                What::DelayMs(ms) => strike.delay_ms += ms,
                What::Hold => strike.held_by.push(armed.id),
                what if strike.what.is_none() => strike.what = Some(what.clone()),
                _ => continue,
            }
            armed.struck += 1;
        }
        strike
    }
}

impl Armed {
    fn throw(&mut self) -> bool {
        self.dice = crate::serve::scramble(self.dice);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more than a float's precision"
        )]
        let thrown = (self.dice >> 11) as f64 / (1_u64 << 53) as f64;
        thrown < self.fault.probability
    }
}

/// What strikes one request.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    pub delay_ms: u64,
    /// It waits until these are lifted.
    pub held_by: Vec<FaultId>,
    pub what: Option<What>,
}
