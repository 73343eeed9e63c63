//! The source: Odoo 14 to 19, by JSON-2 or JSON-RPC, whichever the server supports.
//!
//! [`Odoo`] is one conversation: it negotiates the protocol, logs in, keeps to the rate limit, and turns Odoo's
//! answers into values or [`fault::Fault`]s. Its assumptions were seen on real servers; where a rule is surprising,
//! its comment says on which.

pub mod about;
mod access_token;
mod answer;
pub mod attachment;
mod client;
mod content;
mod datas;
mod decoder;
pub mod identity;
mod lenient;
mod limiter;
mod links;
pub mod presence;
mod protocol;
pub mod records;
pub mod rights;
pub mod salvage;
mod settings;
pub mod value;
mod window;

pub use client::{Known, Odoo};
pub use content::Content;
pub use datas::{Datas, File};
pub use decoder::{DatasDecoder, DatasError, Event};
pub use protocol::Protocol;
pub use settings::{ProtocolChoice, Settings};
pub use window::Window;
