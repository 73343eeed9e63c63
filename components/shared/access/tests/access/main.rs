//! The guarantees of authentication that the rest of the program relies on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; what clippy knows to be a test is only the functions with #[test]"
)]

mod admins;
mod configuration;
mod floods;
mod properties;
mod refusals;
mod service_keys;
mod signing_keys;
mod tokens;
mod user_tokens;
mod world;
