//! What a person may rely on in the project's `sql/`, on a real Postgres with the real `pg_cron`
//! where it is installed, and stand-ins for what is missing.

#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod project;

#[cfg(test)]
mod diagnosis;
#[cfg(test)]
mod install;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod maintenance;
#[cfg(test)]
mod net_stand_in;
#[cfg(test)]
mod real_cron;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod server;
#[cfg(test)]
mod upgrade;
