//! What a user may rely on of crm-sync: through the compiled component, with a real Postgres and a
//! simulated Odoo.

mod callers;
mod changes;
mod cost;
mod cuts;
mod deletions;
mod faults;
mod modes;
mod scene;
mod versions;
mod wire;
