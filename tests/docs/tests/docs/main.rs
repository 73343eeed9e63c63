//! What the documents say is true: each module holds one kind of statement against the program.

#[cfg(test)]
mod akamai;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod from_zero;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod licences;
#[cfg(test)]
mod links;
#[cfg(test)]
mod queries;
#[cfg(test)]
mod running;
#[cfg(test)]
mod tables;
