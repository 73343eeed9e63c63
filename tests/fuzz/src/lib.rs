//! What comes from outside, at every entry point of the program.
//!
//! Each target takes any bytes, must return, and asserts what must hold whatever they are. The tests
//! of this package run them over the seeds of `seeds/` and over values that proptest makes; the
//! cargo-fuzz project in `targets/` runs the very same functions for as long as one likes.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "here a panic is what is looked for"
)]

pub mod bodies;
pub mod contents;
pub mod odoo_answers;
mod outside;
pub mod records;
pub mod requests;
pub mod storage_answers;
pub mod tokens;

/// A target: its name, which is that of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("json_rpc", odoo_answers::json_rpc),
    ("json_2", odoo_answers::json_2),
    ("content", odoo_answers::content),
    ("datas", contents::datas),
    ("records", records::records),
    ("chatter_bodies", bodies::chatter_bodies),
    ("storage", storage_answers::storage),
    ("tokens", tokens::tokens),
    ("claims", tokens::claims),
    ("key_sets", tokens::key_sets),
    ("requests", requests::requests),
];
