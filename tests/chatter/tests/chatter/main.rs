//! What a user may rely on of chatter-sync: through the compiled component, with a real Postgres and a
//! simulated Odoo.

mod bodies;
mod cuts;
mod field_changes;
mod files;
mod messages;
mod modes;
mod scene;
