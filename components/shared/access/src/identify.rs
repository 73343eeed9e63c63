//! Identifies the caller.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use fault::{Fault, Kind};
use ledger::Postgres;
use outbound::{Clock, Http};
use uuid::Uuid;

use crate::admins::Admins;
use crate::caller::{Caller, Presented, Refusal, Scope};
use crate::claims::{Claims, Expected};
use crate::jwt::{UntrustedJwt, parse_jwt_untrusted};
use crate::key_set::{self, KeySet};
use crate::policy::Policy;
use crate::service_key::{AcceptedKeys, KeyHash, is_public};
use crate::signature::{Algorithm, VerifyingKey};
use crate::snapshot::{Snapshot, Timing};

/// A revoked key is accepted for at most 5 s.
const KEYS: Timing = Timing {
    max_age: Duration::from_secs(5),
    min_interval: Duration::from_secs(1),
    timeout: Duration::from_secs(5),
    late: Fault::new(
        Kind::LedgerUnreachable,
        "Postgres did not give the accepted keys within 5 s",
    ),
};

const KEY_SET: Timing = Timing {
    max_age: Duration::from_mins(10),
    min_interval: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
    late: Fault::new(
        Kind::StorageTimeout,
        "Supabase Auth did not give its key set within 10 s",
    ),
};

/// Shorter than the minute that Postgres enforces between two rows, because other instances write them too.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// Cached answers of external services: the accepted keys (5 s), the key set of Supabase Auth (10 min), and
/// who is an admin (30 s, 256 users). Belongs to one [`Policy`].
pub struct Cache {
    keys: Snapshot<AcceptedKeys>,
    key_set: Snapshot<KeySet>,
    admins: Admins,
    refusal_recorded: Cell<Option<Duration>>,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self {
            keys: Snapshot::new(KEYS),
            key_set: Snapshot::new(KEY_SET),
            admins: Admins::default(),
            refusal_recorded: Cell::new(None),
        }
    }

    /// Whether to log a refusal now: at most once in ten seconds, so that a flood of refused calls does not
    /// send one statement each to Postgres.
    pub fn should_record_refusal(&self, clock: &impl Clock) -> bool {
        let now = clock.now();
        let last = self.refusal_recorded.get();
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= RECORD_EVERY);
        if is_due {
            self.refusal_recorded.set(Some(now));
        }
        is_due
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache(…)")
    }
}

/// Identifies the caller by the headers `Authorization` and `apikey`.
///
/// A service key from a variable needs no request and works while Postgres is down. A call without
/// credentials, or with too long ones, is refused without any work.
pub async fn identify(
    authorization: Option<&str>,
    apikey: Option<&str>,
    policy: &Policy,
    cache: &Cache,
    postgres: &impl Postgres,
    http: &impl Http,
    clock: &impl Clock,
) -> Result<Caller, Refusal> {
    let presented = Presented::new(authorization, apikey).ok_or(Refusal::Unauthorized)?;
    let key = KeyHash::of(presented.token);
    let now = clock.now();
    // A public key is never accepted, even if its hash is in the list.
    let is_public = is_public(presented.token);
    if policy.accepts_key(&key) {
        return Ok(Caller::Service(Scope::Admin));
    }
    let held = cache.keys.held(now).filter(|_| !is_public);
    if let Some(scope) = held.and_then(|keys| keys.scope_of(&key, now)) {
        return Ok(Caller::Service(scope));
    }

    // Before asking Postgres for keys, because most tokens of this form are user tokens.
    let refusal = match user(presented, policy, cache, http, clock).await {
        Ok(id) => {
            let admin = cache.admins.is_admin(id, postgres, clock).await?;
            return Ok(Caller::User { id, admin });
        }
        Err(refusal) => refusal,
    };
    if is_public {
        return Err(refusal);
    }

    let ask = async |asked_at| {
        let rows = ledger::keys::accepted(postgres).await?;
        Ok(AcceptedKeys::new(&rows, asked_at))
    };
    let keys = cache.keys.renewed(clock, ask).await?;
    keys.scope_of(&key, clock.now())
        .map(Caller::Service)
        .ok_or(refusal)
}

/// Verifies a user token and returns the user.
async fn user(
    presented: Presented<'_>,
    policy: &Policy,
    cache: &Cache,
    http: &impl Http,
    clock: &impl Clock,
) -> Result<Uuid, Refusal> {
    if !presented.may_be_jwt() {
        return Err(Refusal::Unauthorized);
    }
    let jwt = parse_jwt_untrusted(presented.token).ok_or(Refusal::Unauthorized)?;
    let audience = policy.expected_audience().ok_or(Refusal::Unauthorized)?;
    let claims = signed_claims(&jwt, policy, cache, http, clock).await?;
    let expected = Expected {
        audience,
        issuer: policy.expected_issuer(),
        clients: policy.accepted_clients(),
        second_factor: policy.wants_second_factor(),
        unix_seconds: clock.unix_seconds(),
    };
    claims.user(&expected)
}

/// The claims of the token, if its signature is valid.
async fn signed_claims(
    jwt: &UntrustedJwt<'_>,
    policy: &Policy,
    cache: &Cache,
    http: &impl Http,
    clock: &impl Clock,
) -> Result<Claims, Refusal> {
    let algorithm = jwt.algorithm();
    let claims = if algorithm == Algorithm::Hs256 {
        let secret = policy.hs256_secret().ok_or(Refusal::Unauthorized)?;
        jwt.signed_by(&VerifyingKey::hs256(secret.clone()))
    } else {
        let url = policy.key_set_url().ok_or(Refusal::Unauthorized)?;
        // Supabase Auth always sets the key id.
        let key_id = jwt.key_id().ok_or(Refusal::Unauthorized)?;
        let held = cache.key_set.held(clock.now());
        let keys = if let Some(keys) = held
            && keys.find(key_id, algorithm).is_some()
        {
            keys
        } else {
            let ask = async |_| key_set::fetch(http, url).await;
            cache.key_set.renewed(clock, ask).await?
        };
        keys.find(key_id, algorithm)
            .and_then(|key| jwt.signed_by(key))
    };
    claims.ok_or(Refusal::Unauthorized)
}
