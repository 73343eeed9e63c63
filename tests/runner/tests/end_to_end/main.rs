//! The runner with a real component in it: `guest`, which does what its path says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod app;
mod inbound;
mod outbound;
mod postgres;
mod startup;
