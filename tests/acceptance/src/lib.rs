//! What a user may rely on, through the compiled components: a folder of `tests/` for each of them, and for what concerns
//! them all. Here is what several of these need.

pub mod card;

use std::io::Write;

/// Says by name what a test leaves out, also where the test's own output is not shown.
pub fn skipped(test: &str, why: &str) {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
