//! A simulated Odoo and Storage, a throw-away Postgres, stand-ins for missing extensions.
