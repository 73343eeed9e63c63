//! What a user may rely on of chatter-sync: through the compiled component, with a real Postgres and a
//! simulated Odoo.

#![expect(
    clippy::indexing_slicing,
    reason = "a key that JSON lacks is null, and a test that reads past a list fails"
)]

mod bodies;
mod cuts;
mod field_changes;
mod files;
mod internal;
mod keys;
mod kinds;
mod messages;
mod modes;
mod scene;
mod stale;
mod threads;
