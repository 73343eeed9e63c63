//! A conversation with an Odoo server.

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

/// Self-hosted Odoo limits a request to 60 s of CPU and 120 s in all.
const CALL_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_mins(1),
    between_bytes: Duration::from_secs(20),
};

/// The largest listing that is held in memory.
const LISTING_BYTES: usize = 8 * 1024 * 1024;

/// A request that breaks off later than this is not retried: there may be no time for it.
const SOON: Duration = Duration::from_secs(10);

/// What was learned about a server, to be kept between conversations.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) session: WebSession,
    /// The server answered a range request with the whole content.
    pub(crate) no_ranges: bool,
    /// No call before this moment: the rate limit spans conversations.
    pub(crate) next_call: Duration,
}

/// The web session that streams large files.
#[derive(Debug, Clone, Default)]
pub(crate) enum WebSession {
    /// Not tried yet.
    #[default]
    Untried,
    /// The session's cookie, which is valid for seven days.
    Open(Secret),
    /// Odoo refused a session. Do not retry: five failures lock the user out for a minute.
    Refused(Fault),
    /// A proxy answered in Odoo's place. Not retried in this conversation.
    Blocked(Fault),
}

/// A conversation with an Odoo server.
pub struct Odoo<H, C> {
    pub(crate) http: H,
    pub(crate) clock: C,
    pub(crate) settings: Settings,
    pub(crate) known: RefCell<Known>,
    /// Held while logging in, so that concurrent callers wait for the outcome of one try.
    pub(crate) logging_in: Mutex<()>,
    /// The access tokens written so far, by attachment.
    pub(crate) tokens: RefCell<BTreeMap<i64, String>>,
    limiter: Rc<Limiter>,
    calls: Cell<u64>,
}

impl<H: Http, C: Clock> Odoo<H, C> {
    /// Starts a conversation. `known` is what an earlier one learned.
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

    /// What has been learned about the server.
    pub fn known(&self) -> Known {
        let mut known = self.known.borrow().clone();
        known.next_call = self.limiter.next();
        if matches!(known.session, WebSession::Blocked(_)) {
            known.session = WebSession::Untried;
        }
        known
    }

    /// How many requests were sent.
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// The most concurrent calls.
    pub fn parallel_calls(&self) -> usize {
        self.settings.parallel_calls.max(1)
    }

    /// Whether calls carry an API key rather than the password.
    pub fn has_api_key(&self) -> bool {
        !self.settings.api_key.is_empty()
    }

    /// The server's protocol, negotiated if unknown. Call this first: it shows a wrong address, database or key.
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

    /// Sends a call. Returns the answer and the permit needed until its body is read. `held` reads the body now, up
    /// to that many bytes.
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

    /// Builds the request for a call.
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

    /// Sends a read-only request. Retries once if the connection broke off or a proxy could not reach Odoo: a stale
    /// kept-alive connection must not end an hour's run.
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

    /// Hides secrets in a fault. If the login or protocol failed, forgets the protocol, so that it is negotiated
    /// again.
    pub(crate) fn met(&self, fault: Fault) -> Fault {
        if matches!(fault.kind(), Kind::SourceLogin | Kind::SourceProtocol) {
            self.known.borrow_mut().protocol = None;
        }
        self.settings.hide_secrets_in(fault)
    }

    /// Waits for the limiter's permit to send one request.
    pub(crate) async fn permit(&self) -> Permit {
        let permit = self.limiter.permit(&self.clock).await;
        self.calls.set(self.calls.get() + 1);
        permit
    }
}
