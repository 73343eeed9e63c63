//! What came of a run.

use std::fmt;

/// One exchange that did not go as the table says.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The exchange.
    pub name: String,
    /// What was expected, and what came.
    pub what: String,
}

/// What came of running a table against one server.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Exchanges that went as the table says.
    pub passed: Vec<String>,
    /// Those that did not.
    pub differences: Vec<Difference>,
    /// Those that could not be asked, and why.
    pub skipped: Vec<(String, String)>,
    /// What could not be removed again.
    pub left_behind: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.skipped {
            writeln!(f, "skipped  {name}: {why}")?;
        }
        for Difference { name, what } in &self.differences {
            writeln!(f, "differs  {name}: {what}")?;
        }
        for what in &self.left_behind {
            writeln!(f, "left     {what}")?;
        }
        write!(
            f,
            "{} as expected, {} different, {} skipped",
            self.passed.len(),
            self.differences.len(),
            self.skipped.len()
        )
    }
}
