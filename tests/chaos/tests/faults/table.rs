//! The table of faults: what the tests saw, held equal with what `faults.md` says.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

/// One fault at one place, and what was seen of it. That nothing was lost, doubled or stuck is no
/// column: the test fails where it is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was under way.
    pub place: String,
    /// What happened to it.
    pub fault: String,
    /// What the call was answered, and the log says.
    pub told: String,
    /// What `/status` says.
    pub status: String,
}

/// Set to write the table anew instead of comparing with it.
const REWRITE: &str = "REWRITE_FAULTS";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("faults.md")
}

/// Holds a section of `faults.md` equal with these rows, or writes it.
pub fn hold(section: &str, rows: &[Row]) -> Result<()> {
    static FILE: Mutex<()> = Mutex::new(());
    let _alone = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let file = std::fs::read_to_string(path()).context("faults.md cannot be read")?;
    let heading = format!("## {section}\n");
    let begin = file
        .find(&heading)
        .with_context(|| format!("faults.md has no section {section:?}"))?
        + heading.len();
    let rest = file.get(begin..).unwrap_or_default();
    let end = begin + rest.find("\n## ").map_or(rest.len(), |end| end + 1);
    let section_text = file.get(begin..end).unwrap_or_default();
    // What a person wrote stands before the table.
    let prose = section_text.split("\n| ").next().unwrap_or_default().trim();
    let table = render(rows);
    if std::env::var_os(REWRITE).is_some() {
        let mut text = file.get(..begin).unwrap_or_default().to_owned();
        if !prose.is_empty() {
            let _ = write!(text, "\n{prose}\n");
        }
        let _ = write!(text, "\n{table}");
        let after = file.get(end..).unwrap_or_default();
        if !after.is_empty() {
            let _ = write!(text, "\n{after}");
        }
        std::fs::write(path(), text)?;
        return Ok(());
    }
    for line in table.lines() {
        ensure!(
            section_text.lines().any(|written| written == line),
            "faults.md does not say under {section:?}:\n{line}\nIf this is as it should be, write the table anew: {REWRITE}=1 cargo test -p chaos --test faults"
        );
    }
    let written = section_text
        .lines()
        .filter(|line| line.starts_with('|'))
        .count();
    ensure!(
        written == table.lines().count(),
        "faults.md has rows under {section:?} that no test runs"
    );
    Ok(())
}

fn render(rows: &[Row]) -> String {
    let mut text =
        String::from("| place | fault | answer and log | /status |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.place, row.fault, row.told, row.status
        );
    }
    text
}
