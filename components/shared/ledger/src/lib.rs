//! The Postgres side: every SQL statement of the components, beside the type that it fills.
//!
//! Each statement takes one JSON document and returns one JSON document per row. Every write is a single
//! statement, without `begin` and without session state, because Spin's pool hands on a connection with its
//! open transaction (seen on Spin 4.1). Statements are `&'static str`: none is built from input.

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
mod table;
pub mod unreadable;
pub mod validation;

pub use postgres::{Postgres, PostgresError};
pub(crate) use postgres::{call, call_one, call_with, document};
pub use settings::Settings;
