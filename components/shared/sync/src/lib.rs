//! Keeps copies of Odoo's models in Postgres.
