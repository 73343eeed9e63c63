//! Simulated Postgres, Supabase Auth and clock that record what they are asked.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use access::{Cache, Caller, Policy, Refusal, Scope, identify};
use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use ledger::{Postgres, PostgresError};
use outbound::{Clock, Http, Request, Response, Secret, TransportError};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::tokens::{self, SECRET};

/// The caller for a key that Postgres accepts; all of these have the scope of the jobs.
pub const JOBS: Caller = Caller::Service(Scope::Jobs);

/// The caller for a key from a variable.
pub const ADMIN: Caller = Caller::Service(Scope::Admin);

pub const ORIGIN: &str = "https://project.supabase.co";
pub const JWKS_PATH: &str = "/auth/v1/.well-known/jwks.json";
pub const ISSUER: &str = "https://project.supabase.co/auth/v1";
/// The wall clock at the start of a test.
pub const UNIX_SECONDS: i64 = 1_800_000_000;

/// How a simulated service answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Behaviour {
    Well,
    Slowly(Duration),
    Refusing,
    Hanging,
}

pub struct World {
    now: Cell<Duration>,
    pub postgres: Cell<Behaviour>,
    pub auth: Cell<Behaviour>,
    /// SHA-256 in hex, and expiry.
    accepted: RefCell<Vec<(String, Option<Duration>)>>,
    pub admins: RefCell<HashSet<Uuid>>,
    pub key_set: RefCell<(StatusCode, Vec<u8>)>,
    /// When the accepted keys, the key set and an admin were asked for.
    pub keys_asked: RefCell<Vec<Duration>>,
    pub key_set_asked: RefCell<Vec<(Duration, String)>>,
    pub admin_asked: RefCell<Vec<(Duration, Uuid)>>,
}

impl World {
    pub fn new() -> Self {
        Self {
            now: Cell::new(Duration::from_secs(1)),
            postgres: Cell::new(Behaviour::Well),
            auth: Cell::new(Behaviour::Well),
            accepted: RefCell::default(),
            admins: RefCell::default(),
            key_set: RefCell::new((StatusCode::OK, tokens::key_set())),
            keys_asked: RefCell::default(),
            key_set_asked: RefCell::default(),
            admin_asked: RefCell::default(),
        }
    }

    pub fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    /// Simulates `odoo_sync.rotate_key()`: the old key stays valid for a while.
    pub fn rotate(&self, key: &str, old_good_for: Duration) {
        let mut accepted = self.accepted.borrow_mut();
        for (_, until) in accepted.iter_mut() {
            *until = Some(
                until
                    .unwrap_or(Duration::MAX)
                    .min(self.now.get() + old_good_for),
            );
        }
        let hash = Bytes::copy_from_slice(&Sha256::digest(key.as_bytes()));
        accepted.push((format!("{hash:x}"), None));
    }

    /// Revokes every key.
    pub fn accept_no_key(&self) {
        self.accepted.borrow_mut().clear();
    }

    pub fn keys_asked(&self) -> usize {
        self.keys_asked.borrow().len()
    }

    pub fn key_set_asked(&self) -> usize {
        self.key_set_asked.borrow().len()
    }

    /// Whether no service was asked anything.
    pub fn is_untouched(&self) -> bool {
        self.keys_asked() + self.key_set_asked() + self.admin_asked.borrow().len() == 0
    }

    async fn answer(&self, behaviour: Behaviour) -> bool {
        match behaviour {
            Behaviour::Well => true,
            Behaviour::Refusing => false,
            Behaviour::Slowly(time) => {
                self.sleep(time).await;
                true
            }
            Behaviour::Hanging => std::future::pending().await,
        }
    }
}

impl Postgres for World {
    async fn run(
        &self,
        statement: &'static str,
        argument: Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, PostgresError> {
        let argument: serde_json::Value = serde_json::from_slice(&argument).unwrap();
        let about_keys = statement.contains("odoo_sync.accepted_keys");
        let asked_at = self.now.get();
        if about_keys {
            self.keys_asked.borrow_mut().push(asked_at);
        } else {
            assert!(statement.contains("public.has_role"), "{statement}");
            let user = argument["user"].as_str().unwrap().parse().unwrap();
            self.admin_asked.borrow_mut().push((asked_at, user));
        }
        if !self.answer(self.postgres.get()).await {
            return Err(PostgresError::Unreachable("connection refused".into()));
        }
        let rows = if about_keys {
            let accepted = self.accepted.borrow();
            let left = |until: Duration| until.checked_sub(self.now.get()).filter(|d| !d.is_zero());
            accepted
                .iter()
                .filter(|(_, until)| until.is_none_or(|until| left(until).is_some()))
                .map(|(hex, until)| {
                    json!({ "sha256": hex, "scope": "jobs", "expires_in_s": until.and_then(left).map(|d| d.as_secs_f64()) })
                })
                .collect()
        } else {
            let user: Uuid = argument["user"].as_str().unwrap().parse().unwrap();
            vec![json!(self.admins.borrow().contains(&user))]
        };
        Ok(rows
            .iter()
            .map(|row| row.to_string().into_bytes())
            .collect())
    }
}

impl Http for World {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.key_set_asked
            .borrow_mut()
            .push((self.now.get(), request.url.clone()));
        if !self.answer(self.auth.get()).await {
            return Err(TransportError::Refused);
        }
        let (status, body) = self.key_set.borrow().clone();
        let chunks: Vec<_> = body
            .chunks(1000)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        Ok(Response {
            status,
            headers: HeaderMap::new(),
            body: stream::iter(chunks).boxed_local(),
        })
    }
}

/// Time passes only while somebody sleeps: each poll of a sleep advances it by a millisecond.
impl Clock for World {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn unix_seconds(&self) -> i64 {
        UNIX_SECONDS + i64::try_from(self.now.get().as_secs()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        let mut until = None;
        std::future::poll_fn(move |context| {
            let until = *until.get_or_insert(self.now.get() + duration);
            if self.now.get() >= until {
                return std::task::Poll::Ready(());
            }
            self.pass(Duration::from_millis(1));
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

/// An instance of a component in a world: its settings and its cache.
pub struct Instance {
    pub world: World,
    pub cache: Cache,
    pub policy: Policy,
}

impl Instance {
    /// An instance that accepts all kinds of credentials.
    pub fn new() -> Self {
        Self::with(
            Policy::new()
                .jwt_secret(Secret::new(SECRET))
                .jwks(ORIGIN, JWKS_PATH)
                .audience("authenticated")
                .issuer(ISSUER, ORIGIN),
        )
    }

    pub fn with(policy: Policy) -> Self {
        Self {
            world: World::new(),
            cache: Cache::new(),
            policy,
        }
    }

    pub async fn call(
        &self,
        authorization: Option<&str>,
        apikey: Option<&str>,
    ) -> Result<Caller, Refusal> {
        let Self {
            world,
            cache,
            policy,
        } = self;
        identify(authorization, apikey, policy, cache, world, world, world).await
    }

    pub async fn bearer_call(&self, token: &str) -> Result<Caller, Refusal> {
        self.call(Some(&format!("Bearer {token}")), None).await
    }

    pub fn headers(
        &self,
        authorization: Option<&str>,
        apikey: Option<&str>,
    ) -> Result<Caller, Refusal> {
        block_on(self.call(authorization, apikey))
    }

    pub fn bearer(&self, token: &str) -> Result<Caller, Refusal> {
        block_on(self.bearer_call(token))
    }
}

pub fn is_unavailable(outcome: &Result<Caller, Refusal>) -> bool {
    matches!(outcome, Err(Refusal::Unavailable(_)))
}
