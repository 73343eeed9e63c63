//! What the libraries need of the world outside: HTTP, time and variables, as one small trait each.
//!
//! In a component they are Spin's; in native tests and benchmarks they are a plain HTTP client and
//! the machine's clock. The libraries are the same code in both. Nothing here is `Send`: a
//! component has one thread, and native users run on one.

mod body;
mod error;
mod http_client;
mod origin;
mod secret;
mod variables;

pub use body::{ByteStream, collect};
pub use error::TransportError;
pub use http_client::{Clock, Http, Request, Response, Timeouts, broke_off};
pub use origin::{OriginError, parse_origin};
pub use secret::Secret;
pub use variables::Variables;
