//! The decision.

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
use crate::snapshot::{Snapshot, Terms};

/// A key that was taken back is accepted for so long at most.
const KEYS: Terms = Terms {
    max_age: Duration::from_secs(5),
    min_interval: Duration::from_secs(1),
    patience: Duration::from_secs(5),
    late: Fault::new(
        Kind::LedgerUnreachable,
        "Postgres did not give the accepted keys within 5 s",
    ),
};

const KEY_SET: Terms = Terms {
    max_age: Duration::from_mins(10),
    min_interval: Duration::from_secs(10),
    patience: Duration::from_secs(10),
    late: Fault::new(
        Kind::StorageTimeout,
        "Supabase Auth did not give its key set within 10 s",
    ),
};

/// Shorter than the minute that Postgres keeps between two rows, since others write them too.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// What was asked of the outside a moment ago: the accepted keys (5 s), the key set of Supabase Auth
/// (10 min), and who is an admin (30 s, 256 users). For one [`Policy`].
pub struct Cache {
    keys: Snapshot<AcceptedKeys>,
    key_set: Snapshot<KeySet>,
    admins: Admins,
    refusal_recorded: Cell<Option<Duration>>,
}

impl Cache {
    /// Empty.
    pub fn new() -> Self {
        Self {
            keys: Snapshot::new(KEYS),
            key_set: Snapshot::new(KEY_SET),
            admins: Admins::default(),
            refusal_recorded: Cell::new(None),
        }
    }

    /// Whether to put a refusal on record now: yes at most once in ten seconds, so that a flood of
    /// refused calls does not go to Postgres one by one to be told that its minute is not over.
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

/// Who calls, by the headers `Authorization` and `apikey`.
///
/// A key given by variable needs nobody to be asked, and works while Postgres is down. A call that
/// shows nothing, or something too long, costs nothing at all.
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
    // A key that everybody has is none, whoever accepted its hash.
    let is_public = is_public(presented.token);
    if policy.accepts_key(&key) {
        return Ok(Caller::Service(Scope::Admin));
    }
    let held = cache.keys.held(now).filter(|_| !is_public);
    if let Some(scope) = held.and_then(|keys| keys.scope_of(&key, now)) {
        return Ok(Caller::Service(scope));
    }

    // Before Postgres is asked for keys, since most tokens of this form are those of users.
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

/// The user whose token this is.
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

/// What the token claims, once its signature is found to be one of ours.
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
        // Supabase Auth always names the key.
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
