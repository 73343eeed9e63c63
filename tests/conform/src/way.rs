//! What few servers do, or what few hosts have before them. Each way has exchanges of its own, which name it among
//! what they need.

use crate::table::Exchange;

/// Ways of an Odoo.
pub const OF_ODOO: [&str; 2] = ["x_sendfile", "call_limit"];

/// Ways of a Storage.
pub const OF_STORAGE: [&str; 11] = [
    "apikey_only",
    "no_key_fits",
    "full_as_too_large",
    "full_as_restricted",
    "full_as_disk",
    "whole_chunks",
    "cut_chunks_lost",
    "row_as_info",
    "headers_as_info",
    "no_codes",
    "nothing_in_pieces",
];

/// Keeps the exchanges of a server that has these ways alone, or those of any server and of the ways it has.
pub(crate) fn keep(table: &mut Vec<Exchange>, alone: Option<&str>, has: impl Fn(&str) -> bool) {
    table.retain(|exchange| {
        let is_way = |need: &&String| OF_ODOO.iter().chain(&OF_STORAGE).any(|way| way == *need);
        match (exchange.needs.iter().find(is_way), alone) {
            (None, alone) => alone.is_none(),
            (Some(way), Some(alone)) => way == alone,
            (Some(way), None) => has(way),
        }
    });
}
