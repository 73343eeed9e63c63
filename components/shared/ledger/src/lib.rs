//! The destination of facts: every SQL statement of the components, beside the type it fills.
//!
//! Each statement takes one JSON document and returns one JSON document a row, so that a statement
//! and its types are all there is to read. Rules that hold for all of them (seen on Spin 4.1, whose
//! pool hands on a connection with its open transaction): one statement per write, no `begin`, no
//! session state. Statements are `&'static str`: none is built from input.

pub mod attachments;
pub mod chatter;
pub mod check;
pub mod connection;
pub mod dictionary;
pub mod erased;
pub mod identity;
pub mod keys;
pub mod login;
pub mod names;
pub mod objects;
pub mod pipeline;
mod postgres;
pub mod runs;
pub mod schema;
mod settings;
pub mod setup;
pub mod status;
pub mod sweep;
pub mod sync;
pub mod unreadable;
pub mod validation;

pub use postgres::{Postgres, PostgresError};
pub(crate) use postgres::{call, call_one, call_with, document};
pub use settings::Settings;
