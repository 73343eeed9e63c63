//! The simulated Odoo and Storage, for use by hand.
fn main() {}
