//! What a user may rely on of crm-sync: through the compiled component, with a real Postgres and a
//! simulated Odoo.

#![expect(
    clippy::indexing_slicing,
    reason = "a key that JSON lacks is null, and a test that reads past a list fails"
)]

mod callers;
mod changes;
mod cost;
mod cuts;
mod deletions;
mod everything;
mod faults;
mod html;
mod modes;
mod oddities;
mod records;
mod scene;
mod versions;
mod wire;
