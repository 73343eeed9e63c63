//! The status card, looked at by a real browser: Chromium by `WebDriver`, accessibility by axe-core,
//! and scenes that a project can be in.

mod axe;
mod browser;
mod scene;

pub use axe::Axe;
pub use browser::{Browser, Chromium, Look};
pub use scene::{ARCHIVE_JOB, Scene};

use std::io::Write;

/// Says by name what a test leaves out, also where the test's own output is not shown.
pub fn skipped(test: &str, why: &str) {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
