//! What the libraries need from outside: HTTP, time and variables, as one small trait each.
//!
//! Components implement them with Spin; native tests and benchmarks with a plain HTTP client and the
//! machine's clock. The libraries are the same code in both. Nothing here is `Send`: a component has one
//! thread, and native users run on one too.

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
