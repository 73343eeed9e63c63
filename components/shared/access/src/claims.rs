//! What a signed token claims, and whether that makes a user of ours.

use serde::Deserialize;
use uuid::Uuid;

/// How far two clocks may be apart, in seconds.
const LEEWAY_S: f64 = 30.0;

/// The claims that are heeded.
#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    sub: String,
    aud: Audience,
    /// In seconds since 1970; a fraction is allowed (RFC 7519, 2).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: Option<String>,
}

/// One, or any of several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

/// What a token must claim.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// For whom it must be meant.
    pub audience: &'a str,
    /// Who must have issued it, or `None` for anybody who has the key.
    pub issuer: Option<&'a str>,
    /// Now, in seconds since 1970.
    pub unix_seconds: i64,
}

impl Claims {
    /// The user, if the token is in time (30 s of leeway either way), meant for us, from the right
    /// issuer, and about a user at all: the legacy `anon` and `service_role` keys are not.
    pub fn user(&self, expected: &Expected<'_>) -> Option<Uuid> {
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
        let now = expected.unix_seconds as f64;
        let in_time = now < self.exp + LEEWAY_S && self.nbf.is_none_or(|nbf| nbf <= now + LEEWAY_S);
        let for_us = match &self.aud {
            Audience::One(audience) => audience == expected.audience,
            Audience::Any(audiences) => audiences.iter().any(|a| a == expected.audience),
        };
        let from_there = expected
            .issuer
            .is_none_or(|issuer| self.iss.as_deref() == Some(issuer));
        // Only the form that Supabase writes: 36 characters with hyphens.
        let user = (self.sub.len() == 36).then(|| Uuid::try_parse(&self.sub).ok())??;
        (in_time && for_us && from_there).then_some(user)
    }
}
