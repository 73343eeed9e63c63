//! A simulated Odoo and Storage, a throw-away Postgres, stand-ins for missing extensions.
//!
//! What they answer was seen on the real software; where a behaviour is surprising, its fact is cited.

pub mod faults;
pub mod odoo;
pub mod postgres;
pub mod serve;
pub mod storage;
pub mod supabase;
