//! Constructors of lines, and the format of sizes.

use fault::{Fault, remedy};
use ledger::setup::{Line, State};

pub(crate) fn ok(name: &str, found: impl Into<String>) -> Line {
    Line {
        name: name.to_owned(),
        state: State::Ok,
        found: found.into(),
        remedy: None,
    }
}

pub(crate) fn warning(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Line {
    Line {
        state: State::Warning,
        remedy: Some(remedy.into()),
        ..ok(name, found)
    }
}

pub(crate) fn wrong(name: &str, found: impl Into<String>, remedy: impl Into<String>) -> Line {
    Line {
        state: State::Failed,
        ..warning(name, found, remedy)
    }
}

/// A failed line for a fault, with the remedy of the fault's kind.
pub(crate) fn failed(name: &str, fault: &Fault) -> Line {
    let found = format!("{}.", fault.message().trim_end_matches('.'));
    let remedy = remedy(fault.kind().code());
    wrong(
        name,
        found,
        remedy.unwrap_or("Look again in a minute; if it stays so, look into the component's log."),
    )
}

/// A line that could not be checked because `first` failed.
pub(crate) fn not_tried(name: &str, first: &str) -> Line {
    Line {
        state: State::NotTried,
        remedy: None,
        ..ok(name, format!("Not tried: {first} comes first."))
    }
}

/// Formats a number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = bytes;
    // One decimal, rounded down, so that a file that does not fit never seems to fit.
    let mut tenths = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    match tenths {
        0 => format!("{whole} {unit}"),
        tenths => format!("{whole}.{tenths} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_largest_unit() {
        for (bytes, told) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (52_428_800, "50 MiB"),
            (52_428_799, "49.9 MiB"),
            (5_368_709_120, "5 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }
}
