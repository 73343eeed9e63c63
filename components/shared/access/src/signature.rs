//! The three signature algorithms of Supabase Auth.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use outbound::Secret;
use p256::ecdsa::signature::Verifier;
use rsa::{BoxedUint, RsaPublicKey};
use sha2::Sha256;

/// A supported signature algorithm; all others are rejected, `none` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: the project's legacy JWT secret.
    Hs256,
    /// ECDSA on P-256 with SHA-256: a signing key of the key set.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: a signing key of the key set.
    Rs256,
}

impl Algorithm {
    /// Parses the name that tokens and key sets use (`alg`).
    pub fn named(alg: &str) -> Option<Self> {
        match alg {
            "HS256" => Some(Self::Hs256),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A key for one algorithm and no other, so that no token can have an RSA key used as an HMAC secret.
#[derive(Clone)]
pub struct VerifyingKey(Key);

#[derive(Clone)]
enum Key {
    Hs256(Secret),
    Es256(p256::ecdsa::VerifyingKey),
    Rs256(Box<rsa::pkcs1v15::VerifyingKey<Sha256>>),
}

/// Smaller RSA keys can be broken, and larger ones only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

impl VerifyingKey {
    /// Verifies HS256 with this secret.
    pub fn hs256(secret: Secret) -> Self {
        Self(Key::Hs256(secret))
    }

    /// Verifies ES256 with the public key at the affine coordinates `x` and `y`, 32 bytes each, big-endian.
    /// `None` if they are not a point on the curve.
    pub fn es256(x: &[u8], y: &[u8]) -> Option<Self> {
        if x.len() != 32 || y.len() != 32 {
            return None;
        }
        let uncompressed = [&[4], x, y].concat();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&uncompressed).ok()?;
        Some(Self(Key::Es256(key)))
    }

    /// Verifies RS256 with the public key of `modulus` and `exponent`, big-endian. `None` if they are not an
    /// RSA key of 2048 to 4096 bits.
    pub fn rs256(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let max_bytes = RSA_BITS.end() / 8;
        if !(1..=max_bytes).contains(&modulus.len()) || !(1..=8).contains(&exponent.len()) {
            return None;
        }
        let key = RsaPublicKey::new_with_size_limits(
            BoxedUint::from_be_slice_vartime(modulus),
            BoxedUint::from_be_slice_vartime(exponent),
            RSA_BITS,
        );
        Some(Self(Key::Rs256(Box::new(
            rsa::pkcs1v15::VerifyingKey::new(key.ok()?),
        ))))
    }

    /// The algorithm that it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Key::Hs256(_) => Algorithm::Hs256,
            Key::Es256(_) => Algorithm::Es256,
            Key::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Whether `signature` is this key's signature of `message` with `algorithm`.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.0, algorithm) {
            (Key::Hs256(secret), Algorithm::Hs256) => {
                Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
                    .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
            }
            (Key::Es256(key), Algorithm::Es256) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            (Key::Rs256(key), Algorithm::Rs256) => rsa::pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            _ => false,
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?})", self.algorithm())
    }
}
