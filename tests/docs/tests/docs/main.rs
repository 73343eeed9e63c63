//! What the documents say is true: each module holds one kind of statement against the program.

#![cfg(test)]

mod akamai;
mod blocks;
mod deployment;
mod followed;
mod from_zero;
mod gateway;
mod interface;
mod licences;
mod links;
mod pages;
mod queries;
mod running;
mod signed;
mod tables;
mod variables;
