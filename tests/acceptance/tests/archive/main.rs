//! What a user may rely on of the archive: through the compiled component, with a real Postgres, a
//! simulated Odoo and a simulated Storage.

mod scene;

mod alarm;
mod answers;
mod attempts;
mod bounds;
mod certificate;
mod connection;
mod edge_cases;
mod erase;
mod faults;
mod final_check;
mod flood;
mod integrity;
mod keys;
mod large_files;
mod main_path;
mod modes;
mod oddities;
mod overlap;
mod proxies;
mod read_only;
mod rights;
mod stops;
mod sweep;
mod throughput;
mod upgrade;
mod uploads;
mod verification;
mod writes;
