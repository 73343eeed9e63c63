//! What the runs say together: medians, and ratios taken round by round.

use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::mover::{Moved, Way};

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The case's name.
    pub case: String,
    /// Whether its files are large, so that bytes count and not files.
    #[serde(skip)]
    pub large: bool,
    /// The way.
    pub way: Way,
    /// Which round, from 1.
    pub round: usize,
    /// How many files were moved.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests to Odoo.
    pub odoo_calls: u64,
    /// Requests to Storage.
    pub storage_calls: u64,
    /// Of copying: how many connections it had.
    pub connections: Option<usize>,
    /// What the moving process told.
    #[serde(flatten)]
    pub moved: Moved,
}

impl Run {
    /// Files a second.
    pub fn files_per_s(&self) -> f64 {
        real(self.files) / self.moved.elapsed_s
    }

    /// Millions of bytes a second.
    pub fn mb_per_s(&self) -> f64 {
        real(self.bytes) / 1e6 / self.moved.elapsed_s
    }

    /// CPU seconds for a thousand files.
    pub fn cpu_s_per_1000(&self) -> f64 {
        self.moved.cpu_s * 1000.0 / real(self.files)
    }

    /// A count, for a thousand files.
    pub fn per_1000(&self, count: u64) -> f64 {
        real(count) * 1000.0 / real(self.files)
    }
}

/// Counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn real(count: u64) -> f64 {
    count as f64
}

/// A figure over several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one; of an even number the mean of the middle two.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of some figures; `None` if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            sorted
                .get(middle - 1)
                .map_or(upper, |lower| f64::midpoint(*lower, upper))
        };
        Some(Self { min, median, max })
    }
}

/// A ratio of two ways in one case.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// The case's name.
    pub case: String,
    /// What is compared.
    pub what: &'static str,
    /// The ratio, over the rounds.
    pub spread: Spread,
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Measured {
    /// On what.
    pub machine: Machine,
    /// Variables that were other than in `spin.toml`.
    pub variables: Vec<(String, String)>,
    /// All runs, in their order.
    pub runs: Vec<Run>,
}

impl Measured {
    /// Nothing yet.
    pub fn new(machine: Machine, variables: Vec<(String, String)>) -> Self {
        Self {
            machine,
            variables,
            runs: Vec::new(),
        }
    }

    /// The runs of each case and way, in the order in which they came.
    pub fn groups(&self) -> Vec<Vec<&Run>> {
        let mut groups: Vec<Vec<&Run>> = Vec::new();
        for run in &self.runs {
            let group = groups.iter_mut().find(|group| {
                group
                    .first()
                    .is_some_and(|first| first.case == run.case && first.way == run.way)
            });
            match group {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        groups
    }

    /// How the component stands beside the other ways. Both sides of a ratio are of one round.
    pub fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        let mut cases: Vec<&Run> = Vec::new();
        for run in &self.runs {
            if cases.iter().all(|known| known.case != run.case) {
                cases.push(run);
            }
        }
        let rate: fn(&Run) -> f64 = Run::mb_per_s;
        let files: fn(&Run) -> f64 = Run::files_per_s;
        let cpu: fn(&Run) -> f64 = Run::cpu_s_per_1000;
        for of_case in cases {
            let speed = if of_case.large { rate } else { files };
            for (what, other, figure) in [
                ("component : naive, speed", Way::Naive, speed),
                ("component : native, speed", Way::Native, speed),
                ("component : native, CPU", Way::Native, cpu),
                ("component : copying, speed", Way::Copying, speed),
            ] {
                let pairs = self.of(&of_case.case, Way::Component).filter_map(|ours| {
                    let theirs = self
                        .of(&of_case.case, other)
                        .find(|run| run.round == ours.round)?;
                    Some(figure(ours) / figure(theirs))
                });
                if let Some(spread) = Spread::of(pairs) {
                    ratios.push(Ratio {
                        case: of_case.case.clone(),
                        what,
                        spread,
                    });
                }
            }
        }
        ratios
    }

    fn of<'a>(&'a self, case: &'a str, way: Way) -> impl Iterator<Item = &'a Run> {
        self.runs
            .iter()
            .filter(move |run| run.case == case && run.way == way)
    }

    /// All of it as JSON.
    pub fn document(&self) -> Value {
        json!({
            "machine": self.machine, "variables": self.variables,
            "ratios": self.ratios(), "runs": self.runs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(way: Way, round: usize, elapsed_s: f64) -> Run {
        Run {
            case: "mixed, 0 ms".into(),
            large: false,
            way,
            round,
            files: 100,
            bytes: 1_000_000,
            odoo_calls: 5,
            storage_calls: 100,
            connections: None,
            moved: Moved {
                elapsed_s,
                cpu_s: 1.0,
                ..Moved::default()
            },
        }
    }

    #[test]
    fn a_spread_has_the_middle_of_odd_and_even_numbers() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]).map(|s| (s.min, s.median, s.max)),
            Some((1.0, 2.0, 3.0))
        );
        assert_eq!(Spread::of([1.0, 2.0]).map(|s| s.median), Some(1.5));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let machine = crate::machine::machine();
        let mut measured = Measured::new(machine, Vec::new());
        // The machine was half as fast in the second round, for both.
        measured.runs = vec![
            run(Way::Component, 1, 1.0),
            run(Way::Naive, 1, 5.0),
            run(Way::Component, 2, 2.0),
            run(Way::Naive, 2, 10.0),
        ];
        let ratios = measured.ratios();
        assert_eq!(ratios.len(), 1);
        assert_eq!(
            ratios.first().map(|ratio| ratio.spread),
            Spread::of([5.0, 5.0])
        );
    }
}
