//! The status card, looked at by a real browser: Chromium by `WebDriver`, accessibility by axe-core,
//! and scenes that a project can be in.

mod axe;
mod browser;
mod scene;

pub use axe::Axe;
pub use browser::{Browser, Chromium, Look};
pub use scene::{ARCHIVE_JOB, Scene};
