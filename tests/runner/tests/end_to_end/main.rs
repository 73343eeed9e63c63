//! The runner with a real component in it: `guest`, which does what its path says.

mod app;
mod inbound;
mod outbound;
mod postgres;
mod startup;
