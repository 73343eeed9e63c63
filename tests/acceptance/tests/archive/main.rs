//! What a user may rely on of the archive: through the compiled component, with a real Postgres, a
//! simulated Odoo and a simulated Storage.

mod scene;

mod main_path;
mod modes;

