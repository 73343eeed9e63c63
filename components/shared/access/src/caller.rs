//! The credentials of a call, and the caller or refusal that they lead to.

use std::fmt;

use fault::Fault;
use uuid::Uuid;

/// Longer tokens are refused without parsing. A user token of Supabase is about 1 KB.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The scope of a service key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Call the jobs with the bodies of `odoo_sync.jobs`: the key that is in the queue of `pg_net`.
    Jobs,
    /// Read the status and the metrics.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    /// Parses the scope's name in `odoo_sync.accepted_keys`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "jobs" => Some(Self::Jobs),
            "read" => Some(Self::Read),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A holder of a service key: the scheduled jobs, a person, a program.
    Service(Scope),
    /// A Supabase user, by a token with a valid signature, lifetime and audience.
    User {
        /// The user's id (`sub`).
        id: Uuid,
        /// Whether `public.has_role(id, 'admin')` returned true, at most 30 s ago.
        admin: bool,
    },
}

impl Caller {
    /// Whether this caller may start any work and read what admins read.
    pub fn is_trusted(self) -> bool {
        match self {
            Self::Service(scope) => scope == Scope::Admin,
            Self::User { admin, .. } => admin,
        }
    }

    /// Whether this caller may read status and metrics.
    pub fn may_look(self) -> bool {
        self.is_trusted() || self == Self::Service(Scope::Read)
    }

    /// Whether this caller may run jobs as they are scheduled.
    pub fn may_run_jobs(self) -> bool {
        self.is_trusted() || self == Self::Service(Scope::Jobs)
    }
}

/// Why a call is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It has no accepted credentials (401). The response gives no reason, because that would help to guess.
    Unauthorized,
    /// It has a valid token of the project that does not belong to an accepted user (401). The response is
    /// the same; only the log of refused calls gives the reason.
    TokenRejection(TokenRejection),
    /// Its credentials may be valid, but the service that verifies them cannot be asked (503).
    Unavailable(Fault),
}

/// Why a valid token of the project is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRejection {
    /// It is from another issuer.
    Issuer,
    /// Its role is not `authenticated`.
    Role,
    /// It was issued to an OAuth app.
    Client,
    /// It lacks a second factor.
    SecondFactor,
    /// Its subject is not a user id of Supabase Auth.
    Subject,
}

impl TokenRejection {
    /// The problem and its remedy, for the log of refused calls.
    const fn words(self) -> &'static str {
        match self {
            Self::Issuer => {
                "a call came with a user token of another issuer (iss) than /auth/v1 on storage_url: set jwt_issuer to the issuer of your tokens"
            }
            Self::Role => {
                "a call came with a user token whose role is not authenticated: sign in as a user"
            }
            Self::Client => {
                "a call came with a user token that was issued to an OAuth app (client_id): sign in to the project itself, or list the app in jwt_clients"
            }
            Self::SecondFactor => {
                "a call came with a user token without a second factor: sign in with one (aal2)"
            }
            Self::Subject => {
                "a call came with a user token whose subject (sub) is no user id of Supabase Auth, as with third-party auth: sign in as a user of the project, or use a service key"
            }
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("Unauthorized"),
            Self::TokenRejection(reason) => f.write_str(reason.words()),
            Self::Unavailable(fault) => write!(f, "who calls could not be checked: {fault}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The message for the `auth_error` row of a refused call: which kind of credential it had, for the person
/// who has to fix it. It quotes nothing from the call. `odoo_sync.purge()` recognises it by its beginning,
/// `a call came with`, which an older application's rows do not have.
pub fn refusal_words(
    refusal: &Refusal,
    authorization: Option<&str>,
    apikey: Option<&str>,
) -> &'static str {
    if let Refusal::TokenRejection(reason) = refusal {
        return reason.words();
    }
    match Presented::new(authorization, apikey) {
        // With a missing vault secret the header is NULL, and pg_net drops it (seen on 0.20.4).
        None => {
            "a call came without a usable key: where it was a scheduled job, the key is missing from the vault"
        }
        Some(Presented {
            bearer: true,
            token,
        }) if is_three_parts(token) => {
            "a call came with a user token, or a key of that form, that is not accepted here"
        }
        Some(_) => "a call came with a key that is not accepted: is it the one in the vault?",
    }
}

/// The credential of a call.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) token: &'a str,
    /// Whether it is a bearer token. A token in `apikey` can only be a service key, because Supabase's
    /// clients send the public `anon` key there.
    pub(crate) bearer: bool,
}

impl<'a> Presented<'a> {
    /// Takes the bearer token, otherwise the `apikey` header: if both are sent, as Supabase's clients do, the
    /// bearer token identifies the caller.
    pub(crate) fn new(authorization: Option<&'a str>, apikey: Option<&'a str>) -> Option<Self> {
        let bearer = authorization.and_then(bearer_token);
        let presented = match bearer {
            Some(token) => Self {
                token,
                bearer: true,
            },
            None => Self {
                token: apikey?.trim(),
                bearer: false,
            },
        };
        (1..=MAX_TOKEN_BYTES)
            .contains(&presented.token.len())
            .then_some(presented)
    }

    /// Whether it may be a user token.
    pub(crate) fn may_be_jwt(self) -> bool {
        self.bearer && is_three_parts(self.token)
    }
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn is_three_parts(token: &str) -> bool {
    token.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_purge_knows_a_refusal_by_its_words() {
        for (authorization, apikey) in [
            (None, None),
            (Some("Bearer a.b.c"), None),
            (Some("Bearer ots_1"), None),
            (None, Some("a.b.c")),
        ] {
            let words = refusal_words(&Refusal::Unauthorized, authorization, apikey);
            assert!(words.starts_with("a call came with"));
        }
        for unfit in [
            TokenRejection::Issuer,
            TokenRejection::Role,
            TokenRejection::Client,
            TokenRejection::SecondFactor,
            TokenRejection::Subject,
        ] {
            assert!(unfit.words().starts_with("a call came with a user token"));
        }
    }
}
