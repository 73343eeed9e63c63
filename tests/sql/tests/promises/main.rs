//! What a person may rely on in the project's `sql/`, on a real Postgres with the real `pg_cron`
//! where it is installed, and stand-ins for what is missing.

#![cfg(test)]

mod endpoint;
mod project;
mod released;

mod alarm;
mod check;
mod cut;
mod diagnosis;
mod hostile;
mod install;
mod keys;
mod maintenance;
mod majors;
mod net_stand_in;
mod real_cron;
mod restored;
mod rights;
mod schedules;
mod search;
mod server;
mod upgrade;
mod warnings;
