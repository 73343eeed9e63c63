//! What nobody can do to the program from outside: through the compiled components, with a real
//! Postgres, a simulated Odoo and a simulated Storage.

mod raw;
mod scene;

mod bodies;
mod configuration;
mod destinations;
mod floods;
mod hostile_text;
mod keys;
mod logs;
mod secrets;
mod statements;
mod tokens;
