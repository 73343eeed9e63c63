//! Service keys, by their hashes.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger::keys::AcceptedKey;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::caller::Scope;

const NOT_VISIBLE: &str = "it is empty, or holds spaces or other characters than visible ASCII";
const PUBLISHABLE: &str = "it is the project's publishable key, which every visitor has";
const NOT_FOR_SERVICES: &str =
    "it is a token for users or visitors (anon, authenticated), not for services";
const SHORT: &str = "it is shorter than 32 characters, so that it could be guessed";

/// Why a key cannot be a service key (a public one, for example); `None` if it can. Same rule as
/// `odoo_sync.unfit_key()`.
pub fn unfit_key(key: &str) -> Option<&'static str> {
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(NOT_VISIBLE)
    } else if key.starts_with("sb_publishable_") {
        Some(PUBLISHABLE)
    } else if let Some(payload) = payload_of_jwt(key) {
        (!is_for_services(payload)).then_some(NOT_FOR_SERVICES)
    } else {
        (key.len() < 32).then_some(SHORT)
    }
}

/// Whether a key is public. It is never accepted, even if an older version has stored it as accepted.
pub(crate) fn is_public(key: &str) -> bool {
    matches!(unfit_key(key), Some(PUBLISHABLE | NOT_FOR_SERVICES))
}

fn payload_of_jwt(key: &str) -> Option<&str> {
    let is_base64url = |part: &str| {
        let mut bytes = part.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut parts = key.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let is_jwt = header.starts_with("eyJ")
        && parts.next().is_none()
        && [header, payload, signature].into_iter().all(is_base64url);
    is_jwt.then_some(payload)
}

fn is_for_services(payload: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok())
        .is_some_and(|claims| {
            claims
                .get("role")
                .is_some_and(|role| role == "service_role")
        })
}

/// The SHA-256 of a key. Comparing hashes reveals neither the key's length nor its first differing byte by
/// the time it takes.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(crate) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    fn from_hex(hex: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let decoded = base16ct::mixed::decode(hex, &mut hash).ok()?;
        (decoded.len() == hash.len()).then_some(Self(hash))
    }

    /// Whether it is one of these; always compares with all of them.
    pub(crate) fn is_among<'a>(&self, accepted: impl IntoIterator<Item = &'a Self>) -> bool {
        accepted
            .into_iter()
            .fold(Choice::from(0), |found, key| found | self.0.ct_eq(&key.0))
            .into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// The hashes that Postgres accepts.
#[derive(Debug, Default)]
pub(crate) struct AcceptedKeys(Vec<Accepted>);

#[derive(Debug)]
struct Accepted {
    hash: KeyHash,
    scope: Scope,
    /// Expiry, by the monotonic clock.
    until: Option<Duration>,
}

impl AcceptedKeys {
    /// Converts the rows of a query that was sent at `asked_at`. Expiry counts from the query, not from its
    /// answer, so that a key expires early rather than late.
    pub(crate) fn new(rows: &[AcceptedKey], asked_at: Duration) -> Self {
        let accepted = rows.iter().filter_map(|row| {
            let until = match row.expires_in_s {
                None => None,
                Some(seconds) if seconds <= 0.0 => return None,
                // A time too long for a Duration means never.
                Some(seconds) => Duration::try_from_secs_f64(seconds)
                    .ok()
                    .and_then(|left| asked_at.checked_add(left)),
            };
            let hash = KeyHash::from_hex(&row.sha256)?;
            let scope = Scope::named(&row.scope)?;
            Some(Accepted { hash, scope, until })
        });
        Self(accepted.collect())
    }

    /// The scope of this key at `now`; always compares with all of them.
    pub(crate) fn scope_of(&self, key: &KeyHash, now: Duration) -> Option<Scope> {
        let current = self
            .0
            .iter()
            .filter(|k| k.until.is_none_or(|until| now < until));
        current.fold(None, |found, k| {
            let is_same: bool = key.0.ct_eq(&k.hash.0).into();
            if is_same { Some(k.scope) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf %s key | sha256sum
    const KEY_IN_HEX: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

    fn row(sha256: &str, expires_in_s: Option<f64>) -> AcceptedKey {
        AcceptedKey {
            sha256: sha256.to_owned(),
            scope: "jobs".to_owned(),
            expires_in_s,
        }
    }

    #[test]
    fn a_key_is_accepted_by_its_hash_in_either_case_until_it_expires() {
        let asked_at = Duration::from_secs(100);
        for hex in [KEY_IN_HEX.to_owned(), KEY_IN_HEX.to_uppercase()] {
            let keys = AcceptedKeys::new(&[row(&hex, Some(2.5))], asked_at);
            assert_eq!(
                keys.scope_of(&KeyHash::of("key"), asked_at),
                Some(Scope::Jobs)
            );
            assert_eq!(
                keys.scope_of(&KeyHash::of("key"), Duration::from_millis(102_499)),
                Some(Scope::Jobs)
            );
            assert_eq!(
                keys.scope_of(&KeyHash::of("key"), Duration::from_millis(102_500)),
                None
            );
            assert_eq!(keys.scope_of(&KeyHash::of("Key"), asked_at), None);
        }
    }

    #[test]
    fn a_row_that_is_no_hash_or_has_expired_accepts_nothing() {
        for bad in [
            "",
            "2c",
            &KEY_IN_HEX[1..],
            &format!("{KEY_IN_HEX}00"),
            &KEY_IN_HEX.replace('2', "ü"),
        ] {
            assert!(
                AcceptedKeys::new(&[row(bad, None)], Duration::ZERO)
                    .0
                    .is_empty(),
                "{bad}"
            );
        }
        for ended in [0.0, -1.0, f64::NEG_INFINITY] {
            assert!(
                AcceptedKeys::new(&[row(KEY_IN_HEX, Some(ended))], Duration::ZERO)
                    .0
                    .is_empty()
            );
        }
    }

    #[test]
    fn a_scope_of_another_version_accepts_nothing() {
        let unknown = AcceptedKey {
            scope: "everything".to_owned(),
            ..row(KEY_IN_HEX, None)
        };
        assert!(AcceptedKeys::new(&[unknown], Duration::ZERO).0.is_empty());
    }

    #[test]
    fn a_time_beyond_all_times_does_not_overflow() {
        for far in [1e300, f64::INFINITY, f64::MAX] {
            let keys = AcceptedKeys::new(&[row(KEY_IN_HEX, Some(far))], Duration::MAX);
            assert_eq!(
                keys.scope_of(&KeyHash::of("key"), Duration::MAX),
                Some(Scope::Jobs)
            );
        }
    }
}
