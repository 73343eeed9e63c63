//! What came of it, for people.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::comparison::Comparison;
use crate::tally::Tally;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What everything followed from.
    pub seed: u64,
    /// How long there was trouble.
    pub length: Duration,
    /// How long it took until nothing was left to do.
    pub drained: Duration,
    /// Faults that struck.
    pub faults: Tally,
    /// Calls, by what came of them.
    pub ticks: Tally,
    /// Changes of Odoo's data.
    pub changes: u64,
    /// Runs by job and outcome.
    pub runs: Value,
    /// Odoo, Postgres and Storage, compared at last.
    pub comparison: Comparison,
}

impl Summary {
    /// Whether everything is as in Odoo, and every counter exact.
    pub fn good(&self) -> bool {
        self.comparison.differences.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = &self.comparison;
        writeln!(f, "seed         {}", self.seed)?;
        writeln!(
            f,
            "time         {:.1} min of faults, then {} s until all was done",
            self.length.as_secs_f64() / 60.0,
            self.drained.as_secs()
        )?;
        writeln!(f, "faults       {}", self.faults.total())?;
        for (name, count) in self.faults.by_name() {
            writeln!(f, "  {count:>6}  {name}")?;
        }
        writeln!(f, "calls        {}", self.ticks.total())?;
        for (name, count) in self.ticks.by_name() {
            writeln!(f, "  {count:>6}  {name}")?;
        }
        writeln!(f, "runs")?;
        for (name, count) in self.runs.as_object().into_iter().flatten() {
            writeln!(f, "  {count:>6}  {name}")?;
        }
        writeln!(f, "changes      {} in Odoo meanwhile", self.changes)?;
        writeln!(
            f,
            "files        {} with {} bytes, moved {} times; {} without content, {} not selected, {} gone",
            compared.files,
            compared.bytes,
            compared.moves,
            compared.skipped,
            compared.unselected,
            compared.deleted
        )?;
        writeln!(
            f,
            "objects      {}, {} of them of former contents; those of {} files were read, byte by byte",
            compared.objects, compared.former, compared.read
        )?;
        let rows: Vec<_> = compared
            .rows
            .iter()
            .map(|(table, rows)| format!("{rows} {}", table.trim_start_matches("odoo_")))
            .collect();
        writeln!(f, "rows         {}", rows.join(", "))?;
        writeln!(f, "compared     {} values", compared.values)?;
        if self.good() {
            write!(f, "differences  none")
        } else {
            write!(f, "differences  {}", compared.differences.len())?;
            for difference in &compared.differences {
                write!(f, "\n  {difference}")?;
            }
            Ok(())
        }
    }
}
