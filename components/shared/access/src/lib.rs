//! Authentication: service keys and user tokens.
//!
//! [`identify`] turns two headers of a call into a [`Caller`] or a [`Refusal`]. Every token is first compared
//! with the accepted service keys, because Supabase's legacy `service_role` key is itself a JWT, without a
//! user. Then a token of three parts is verified as a user's JWT. All reasons for a refusal give the same
//! response; only an unavailable dependency is reported differently, so that a valid key is never called
//! invalid because Postgres is down.
//!
//! Answers of external services are kept for seconds in a [`Cache`] that all requests of an instance share. A
//! component has one thread, and so the cache is thread-local:
//!
//! ```
//! use std::rc::Rc;
//! thread_local! {
//!     static CACHE: Rc<access::Cache> = Rc::default();
//! }
//! let cache = CACHE.with(Rc::clone); // held across awaits by as many requests as there are
//! ```
//!
//! The rate limits (one refresh a second for unknown keys, one in ten seconds for unknown signing keys) hold
//! per cache, that is, per instance.

mod admins;
mod caller;
mod claims;
mod identify;
mod jwt;
mod key_set;
mod policy;
mod service_key;
mod signature;
mod snapshot;
mod timeout;

pub use caller::{Caller, MAX_TOKEN_BYTES, Refusal, Scope, TokenRejection, refusal_words};
pub use claims::{Claims, Expected};
pub use identify::{Cache, identify};
pub use jwt::{UntrustedJwt, parse_jwt_untrusted};
pub use key_set::{KeySet, MAX_KEY_SET_BYTES, parse_key_set};
pub use policy::Policy;
pub use service_key::unfit_key;
pub use signature::{Algorithm, VerifyingKey};
pub use snapshot::{Snapshot, Timing};
