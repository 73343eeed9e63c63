//! Every fault at every place where work becomes durable: what is told of it is what `faults.md` says,
//! and afterwards nothing is lost, nothing is there twice, nothing is held, and every count is exact.

mod bench;
mod statements;
mod table;

mod lease;
mod net;
mod oddities;
mod postgres;
mod process;
mod requests;
