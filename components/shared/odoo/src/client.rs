//! One conversation with an Odoo.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fault::{Fault, Kind};
use futures::lock::Mutex;
use outbound::{Clock, Http, Request, Response, Secret, Timeouts, TransportError, broke_off};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::limiter::{Limiter, Permit};
use crate::{Protocol, Settings, answer, protocol};

/// Self-hosted Odoo gives a request 60 s of CPU and 120 s in all.
const CALL_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_mins(1),
    between_bytes: Duration::from_secs(20),
};

/// The largest listing that is held in memory.
const LISTING_BYTES: usize = 8 * 1024 * 1024;

/// What broke off after so long is not asked again: there may be no time for it.
const SOON: Duration = Duration::from_secs(10);

/// What was learned of a server, and may be kept from one conversation to the next.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) session: WebSession,
    /// It was asked for a part of a content, and gave the whole.
    pub(crate) no_ranges: bool,
    /// No call before this moment of the clock: the rate is kept from one conversation to the next.
    pub(crate) next_call: Duration,
}

/// The web session that streams large files.
#[derive(Debug, Clone, Default)]
pub(crate) enum WebSession {
    /// Not asked for yet.
    #[default]
    Untried,
    /// The session's cookie; it lives for seven days.
    Open(Secret),
    /// Odoo opens none, and why. It is not tried again: five failures lock the user out for a minute.
    Refused(Fault),
    /// Somebody else answered in Odoo's place. It is not tried again in this conversation.
    Blocked(Fault),
}

/// One conversation with an Odoo.
pub struct Odoo<H, C> {
    pub(crate) http: H,
    pub(crate) clock: C,
    pub(crate) settings: Settings,
    pub(crate) known: RefCell<Known>,
    /// Held while logging in: who wants a session meanwhile waits for the outcome of that one try.
    pub(crate) logging_in: Mutex<()>,
    /// The access tokens that were written, by attachment.
    pub(crate) tokens: RefCell<BTreeMap<i64, String>>,
    limiter: Rc<Limiter>,
    calls: Cell<u64>,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// A conversation that has not begun. `known` is what an earlier one learned.
    pub fn new(http: H, clock: C, settings: Settings, known: Known) -> Result<Self, Fault> {
        for (missing, words) in [
            (
                settings.url.is_empty() || settings.url.ends_with(".invalid"),
                "odoo_url is not set: give the address of your Odoo, such as https://my.odoo.com",
            ),
            (
                settings.api_key.is_empty() && settings.password.is_empty(),
                "neither odoo_api_key nor odoo_password is set",
            ),
        ] {
            if missing {
                return Err(Fault::new(Kind::Setting, words));
            }
        }
        let limiter = Rc::new(Limiter::new(
            settings.parallel_calls,
            settings.calls_per_second,
            known.next_call,
        ));
        Ok(Self {
            http,
            clock,
            settings,
            known: RefCell::new(known),
            logging_in: Mutex::new(()),
            tokens: RefCell::default(),
            limiter,
            calls: Cell::new(0),
        })
    }

    /// What was learned of the server so far.
    pub fn known(&self) -> Known {
        let mut known = self.known.borrow().clone();
        known.next_call = self.limiter.next();
        if matches!(known.session, WebSession::Blocked(_)) {
            known.session = WebSession::Untried;
        }
        known
    }

    /// How many requests were sent to Odoo.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// The most calls at once.
    pub fn parallel_calls(&self) -> usize {
        self.settings.parallel_calls.max(1)
    }

    /// Whether calls carry an API key, and not the password.
    pub fn has_api_key(&self) -> bool {
        !self.settings.api_key.is_empty()
    }

    /// Which protocol the server speaks, asking it if that is not known; the first call of a
    /// conversation, since it is where a wrong address, database or key shows.
    pub async fn connect(&self) -> Result<Protocol, Fault> {
        if let Some(protocol) = self.known.borrow().protocol {
            return Ok(protocol);
        }
        let ask = async |request| self.ask(request, Some(protocol::SMALL_ANSWER)).await;
        let protocol = protocol::negotiate(&self.settings, ask)
            .await
            .map_err(|fault| self.settings.hide_secrets_in(fault))?;
        self.known.borrow_mut().protocol = Some(protocol);
        Ok(protocol)
    }

    /// Calls a method with named arguments, on records if `ids` are given.
    pub async fn call<T: DeserializeOwned>(
        &self,
        model: &str,
        method: &str,
        ids: Option<&[i64]>,
        named: Map<String, Value>,
    ) -> Result<T, Fault> {
        let held = Some(LISTING_BYTES);
        let (response, _permit) = self.send(model, method, ids, named, held).await?;
        let result = match self.connect().await? {
            Protocol::Json2 => answer::json2(response, LISTING_BYTES).await,
            Protocol::JsonRpc { .. } => answer::json_rpc(response, LISTING_BYTES).await,
        };
        result.map_err(|fault| self.met(fault))
    }

    /// Sends a call; its answer, and the permit that its body needs. With `held`, the body of at most so many bytes is
    /// here too.
    pub(crate) async fn send(
        &self,
        model: &str,
        method: &str,
        ids: Option<&[i64]>,
        named: Map<String, Value>,
        held: Option<usize>,
    ) -> Result<(Response, Permit), Fault> {
        let request = self.request(model, method, ids, named).await?;
        let answer = if protocol::changes_nothing(method) {
            self.ask(request, held).await
        } else {
            let permit = self.permit().await;
            self.send_in(permit, request, held).await
        };
        answer.map_err(answer::transport)
    }

    /// The request that is a call.
    pub(crate) async fn request(
        &self,
        model: &str,
        method: &str,
        ids: Option<&[i64]>,
        named: Map<String, Value>,
    ) -> Result<Request, Fault> {
        let protocol = self.connect().await?;
        let request = protocol::call(protocol, &self.settings, model, method, ids, named);
        Ok(request.timeouts(CALL_TIMEOUTS))
    }

    /// Sends what changes nothing, once more where the connection broke off, or a proxy could not reach Odoo: an hour's run
    /// shall not end for a connection that was closed just before it was used again.
    pub(crate) async fn ask(
        &self,
        request: Request,
        held: Option<usize>,
    ) -> Result<(Response, Permit), TransportError> {
        let permit = self.permit().await;
        let began = self.clock.now();
        let first = self.send_in(permit, request.clone(), held).await;
        let is_soon = self.clock.now().saturating_sub(began) < SOON;
        if !(is_soon && broke_off(first.as_ref().map(|(answer, _)| answer))) {
            return first;
        }
        drop(first);
        let permit = self.permit().await;
        self.send_in(permit, request, held).await
    }

    async fn send_in(
        &self,
        permit: Permit,
        request: Request,
        held: Option<usize>,
    ) -> Result<(Response, Permit), TransportError> {
        let answer = self.http.send(request).await?;
        let answer = match held {
            Some(max_bytes) => answer.arrived(max_bytes).await?,
            None => answer,
        };
        Ok((answer, permit))
    }

    /// The fault that Odoo's answer is, without secrets. A refused key may mean that what is known is out
    /// of date: the next conversation asks again.
    pub(crate) fn met(&self, fault: Fault) -> Fault {
        if matches!(fault.kind(), Kind::SourceLogin | Kind::SourceProtocol) {
            self.known.borrow_mut().protocol = None;
        }
        self.settings.hide_secrets_in(fault)
    }

    /// A place and a moment to send one request.
    pub(crate) async fn permit(&self) -> Permit {
        let permit = self.limiter.permit(&self.clock).await;
        self.calls.set(self.calls.get() + 1);
        permit
    }
}
