//! Who may call: service keys and user tokens.
//!
//! [`identify`] turns the two headers of a call into a [`Caller`] or a [`Refusal`]. A token is first
//! compared, whatever it looks like, with the accepted service keys: the legacy `service_role` key
//! of Supabase is itself a JWT, without a user in it. Then a token of three parts is verified as the
//! JWT of a user. Every reason for a refusal gives the same refusal; only a dependency that could
//! not be asked is told apart, so that a valid key is never called stale because Postgres is down.
//!
//! What is asked of the outside is kept for seconds, in a [`Cache`] that all requests of an instance
//! share. A component has one thread, so the cache is made for one:
//!
//! ```
//! use std::rc::Rc;
//! thread_local! {
//!     static CACHE: Rc<access::Cache> = Rc::default();
//! }
//! let cache = CACHE.with(Rc::clone); // held across awaits by as many requests as there are
//! ```
//!
//! The bounds on asking (one refresh a second for unknown keys, one in ten seconds for unknown
//! signing keys) hold for one cache, that is, for one instance.

mod admins;
mod caller;
mod claims;
mod identify;
mod jwt;
mod key_set;
mod patience;
mod policy;
mod service_key;
mod signature;
mod snapshot;

pub use caller::{Caller, MAX_TOKEN_BYTES, Refusal, Scope, Unfit, refusal_words};
pub use claims::{Claims, Expected};
pub use identify::{Cache, identify};
pub use jwt::{UntrustedJwt, parse_jwt_untrusted};
pub use key_set::{KeySet, MAX_KEY_SET_BYTES, parse_key_set};
pub use policy::Policy;
pub use service_key::unfit_key;
pub use signature::{Algorithm, VerifyingKey};
pub use snapshot::{Snapshot, Terms};
