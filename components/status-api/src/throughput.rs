//! The throughput of the archive, and the estimated time for the rest.
//!
//! Each batch reports its end, its duration and what it moved, and is assumed to have moved that evenly.
//! Newer work has more weight, so that the figures follow a change within minutes without jumping at each
//! batch.

use chrono::TimeDelta;
use ledger::status::{Amount, Archive, Moment};
use serde::Serialize;

/// Length of a step of the history, in seconds.
pub const STEP_S: u16 = 30;

/// Number of steps in the history: half an hour.
const STEPS: usize = 60;

/// Half-life of the weights, in seconds.
const HALF_LIFE_S: f64 = 300.0;

/// Minimum observation time and number of files for a rate.
const LEAST_SEEN_S: f64 = 20.0;
const LEAST_FILES: f64 = 5.0;

/// If nothing moved for this long, the archive has stalled and there is no rate.
const STALLED_S: f64 = 600.0;

/// The smoothed throughput.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Files a minute.
    pub files_per_minute: f64,
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// Uncertainty of the rate, as a fraction of it.
    #[serde(skip)]
    spread: f64,
}

/// The estimated time for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "units are part of names")]
pub struct Eta {
    /// The likely time, in seconds.
    pub likely_s: u64,
    /// The lower bound, in seconds.
    pub low_s: u64,
    /// The upper bound, in seconds.
    pub high_s: u64,
}

/// The throughput of the last half hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Throughput {
    /// Files per minute in each step, oldest first. The last step ends now.
    pub history: Vec<u32>,
    /// The current rate, if there is enough data.
    pub rate: Option<Rate>,
}

/// Work between two times, both in seconds before now.
#[derive(Debug, Clone, Copy)]
struct Interval {
    from_s: f64,
    to_s: f64,
    files: f64,
    bytes: f64,
}

/// The throughput of the archive.
pub fn throughput(archive: &Archive, now: Moment) -> Throughput {
    let intervals = intervals(archive, now);
    let mut files = [0.0; STEPS];
    let mut bytes = [0.0; STEPS];
    for interval in &intervals {
        for (step, (files, bytes)) in files.iter_mut().zip(&mut bytes).enumerate() {
            let share = interval.share_of(step);
            *files += interval.files * share;
            *bytes += interval.bytes * share;
        }
    }
    let history = files.iter().rev().map(|files| per_minute(*files)).collect();
    Throughput {
        history,
        rate: rate(&intervals, &files, &bytes),
    }
}

/// Estimates the time for the rest, by files and by bytes: small and large files do not come in order, so a
/// disagreement of the two widens the range.
pub fn eta(rate: Option<Rate>, rest: Amount) -> Option<Eta> {
    let rate = rate?;
    let by_files = positive(rest.files) * 60.0 / rate.files_per_minute;
    let by_bytes = if rate.bytes_per_s > 0.0 && rest.bytes > 0 {
        positive(rest.bytes) / rate.bytes_per_s
    } else {
        by_files
    };
    let (least, most) = (by_files.min(by_bytes), by_files.max(by_bytes));
    Some(Eta {
        likely_s: whole(by_files.midpoint(by_bytes)),
        low_s: whole(least * (1.0 - rate.spread)),
        high_s: whole(most * (1.0 + rate.spread)),
    })
}

impl Interval {
    /// The share of this work that lies in a step; step 0 is the newest.
    fn share_of(&self, step: usize) -> f64 {
        let step_s = f64::from(STEP_S);
        let newest_s = f64::from(u32::try_from(step).unwrap_or(u32::MAX)) * step_s;
        let overlap_s = self.from_s.min(newest_s + step_s) - self.to_s.max(newest_s);
        (overlap_s / (self.from_s - self.to_s)).clamp(0.0, 1.0)
    }
}

fn intervals(archive: &Archive, now: Moment) -> Vec<Interval> {
    let ago = |moment: Moment| seconds(now - moment).max(0.0);
    let interval = |from_s: f64, to_s: f64, files: i64, bytes: i64| Interval {
        // At least a moment long, so that a batch of zero duration does not divide by zero.
        from_s: from_s.max(to_s + 0.1),
        to_s,
        files: positive(files),
        bytes: positive(bytes),
    };
    let over = archive.batches.iter().map(|batch| {
        let to_s = ago(batch.ended_at);
        interval(
            to_s + batch.elapsed_s.max(0.0),
            to_s,
            batch.files,
            batch.bytes,
        )
    });
    let running = archive
        .running
        .iter()
        .map(|run| interval(ago(run.started_at), 0.0, run.files, run.bytes));
    over.chain(running)
        .filter(|interval| interval.files > 0.0)
        .collect()
}

fn rate(intervals: &[Interval], files: &[f64; STEPS], bytes: &[f64; STEPS]) -> Option<Rate> {
    let newest_s = intervals
        .iter()
        .map(|interval| interval.to_s)
        .reduce(f64::min)?;
    let horizon_s = f64::from(STEP_S) * 60.0;
    let seen_s = intervals
        .iter()
        .map(|interval| interval.from_s)
        .reduce(f64::max)?
        .min(horizon_s);
    if newest_s > STALLED_S || seen_s < LEAST_SEEN_S || files.iter().sum::<f64>() < LEAST_FILES {
        return None;
    }
    let (mut weights_s, mut weighted_files, mut weighted_bytes) = (0.0, 0.0, 0.0);
    let mut steps = Vec::new();
    let mut begin_s = 0.0;
    for (files, bytes) in files.iter().zip(bytes) {
        let length_s = f64::from(STEP_S).min(seen_s - begin_s);
        if length_s <= 0.0 {
            break;
        }
        let weight = (-(begin_s / HALF_LIFE_S)).exp2();
        weights_s += weight * length_s;
        weighted_files += weight * files;
        weighted_bytes += weight * bytes;
        steps.push((weight, files / length_s));
        begin_s += f64::from(STEP_S);
    }
    let files_per_s = weighted_files / weights_s;
    let bytes_per_s = weighted_bytes / weights_s;
    let files_per_minute = rounded(files_per_s * 60.0);
    // A rate that rounds to zero counts as none, because the rest would take forever.
    (files_per_minute.is_finite() && files_per_minute > 0.0).then(|| Rate {
        files_per_minute,
        bytes_per_s: bytes_per_s.round(),
        spread: spread(&steps, files_per_s, seen_s),
    })
}

/// Twice the standard error of the mean, as a fraction of it, limited to between 0.1 and 0.6. The lower limit
/// is 0.3 while less than two minutes were observed.
fn spread(steps: &[(f64, f64)], mean: f64, seen_s: f64) -> f64 {
    let weights: f64 = steps.iter().map(|(weight, _)| weight).sum();
    let squares: f64 = steps.iter().map(|(weight, _)| weight * weight).sum();
    let variance: f64 = steps
        .iter()
        .map(|(weight, rate)| weight * (rate - mean).powi(2))
        .sum::<f64>()
        / weights;
    let error = 2.0 * (variance * squares).sqrt() / weights / mean;
    let least = if seen_s < 120.0 { 0.3 } else { 0.1 };
    // `max` first, because it also replaces a NaN.
    error.max(least).min(0.6)
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of files and bytes stay below 2^53"
)]
fn positive(count: i64) -> f64 {
    count.max(0) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds.round().max(0.0) as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates"
)]
fn per_minute(files: f64) -> u32 {
    (files * 60.0 / f64::from(STEP_S)).round() as u32
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::status::{BatchRow, Running};
    use proptest::prelude::*;

    fn now() -> Moment {
        Moment::from_timestamp(1_795_000_000, 0).unwrap()
    }

    fn ago(seconds: i64) -> Moment {
        now() - TimeDelta::seconds(seconds)
    }

    /// A batch of 45 s in each of the last `minutes` minutes.
    fn steady(minutes: i64, files: i64, bytes: i64) -> Archive {
        let batches = (0..minutes)
            .map(|minute| BatchRow {
                ended_at: ago(15 + 60 * minute),
                elapsed_s: 45.0,
                files,
                bytes,
            })
            .collect();
        Archive {
            batches,
            ..Archive::default()
        }
    }

    #[test]
    fn a_steady_archive_has_the_rate_of_its_batches_pauses_included() {
        let throughput = throughput(&steady(20, 600, 60_000_000), now());
        let rate = throughput.rate.unwrap();
        assert!((rate.files_per_minute - 600.0).abs() < 30.0, "{rate:?}");
        assert!(
            (rate.bytes_per_s - 1_000_000.0).abs() < 50_000.0,
            "{rate:?}"
        );
        let eta = eta(
            Some(rate),
            Amount {
                files: 6_000,
                bytes: 600_000_000,
            },
        )
        .unwrap();
        assert!((540..660).contains(&eta.likely_s), "{eta:?}");
        assert!(
            eta.low_s < eta.likely_s && eta.likely_s < eta.high_s,
            "{eta:?}"
        );
    }

    #[test]
    fn the_history_holds_what_was_moved() {
        let throughput = throughput(&steady(30, 600, 0), now());
        let files: u32 = throughput
            .history
            .iter()
            .map(|per_minute| per_minute / 2)
            .sum();
        assert!((17_000..=18_100).contains(&files), "{files}");
        assert_eq!(throughput.history.len(), 60);
    }

    #[test]
    fn the_run_under_way_counts() {
        let archive = Archive {
            running: vec![Running {
                started_at: ago(30),
                files: 300,
                bytes: 3_000,
            }],
            ..Archive::default()
        };
        let rate = throughput(&archive, now()).rate.unwrap();
        assert!((rate.files_per_minute - 600.0).abs() < 1.0, "{rate:?}");
    }

    #[test]
    fn too_little_says_nothing_and_neither_does_what_is_long_over() {
        assert_eq!(throughput(&Archive::default(), now()).rate, None);
        let mut archive = Archive {
            running: vec![Running {
                started_at: ago(5),
                files: 300,
                bytes: 0,
            }],
            ..Archive::default()
        };
        assert_eq!(throughput(&archive, now()).rate, None, "seen for 5 s only");
        archive.running = vec![Running {
            started_at: ago(60),
            files: 2,
            bytes: 0,
        }];
        assert_eq!(throughput(&archive, now()).rate, None, "two files");
        archive.running.clear();
        archive.batches = vec![BatchRow {
            ended_at: ago(900),
            elapsed_s: 45.0,
            files: 600,
            bytes: 0,
        }];
        assert_eq!(
            throughput(&archive, now()).rate,
            None,
            "a quarter of an hour ago"
        );
    }

    #[test]
    fn a_rate_that_rounds_to_nothing_is_none() {
        let mut archive = steady(1, 1, 0);
        archive.batches[0].ended_at = ago(590);
        let earlier = BatchRow {
            ended_at: ago(1_780),
            elapsed_s: 10.0,
            files: 4,
            bytes: 0,
        };
        archive.batches.push(earlier);
        assert_eq!(throughput(&archive, now()).rate, None);
    }

    #[test]
    fn a_change_is_followed_within_minutes() {
        let mut archive = steady(20, 600, 0);
        for batch in archive.batches.iter_mut().take(10) {
            batch.files = 60;
        }
        let rate = throughput(&archive, now()).rate.unwrap();
        assert!(rate.files_per_minute < 250.0, "{rate:?}");
    }

    #[test]
    fn large_files_that_are_left_for_the_end_make_the_range_wide() {
        let rate = throughput(&steady(20, 600, 6_000_000), now()).rate;
        let small = eta(
            rate,
            Amount {
                files: 600,
                bytes: 6_000_000,
            },
        )
        .unwrap();
        let large = eta(
            rate,
            Amount {
                files: 600,
                bytes: 600_000_000,
            },
        )
        .unwrap();
        assert_eq!(small.low_s, large.low_s);
        assert!(large.high_s > 50 * small.high_s, "{small:?} {large:?}");
    }

    proptest! {
        #[test]
        fn no_reading_makes_a_range_that_is_upside_down(
            batches in prop::collection::vec((-100i64..5_000, -10.0f64..4_000.0, -5i64..1_000_000, -5i64..i64::MAX), 0..20),
            rest in (any::<i64>(), any::<i64>()),
        ) {
            let batches = batches
                .into_iter()
                .map(|(ended, elapsed_s, files, bytes)| BatchRow { ended_at: ago(ended), elapsed_s, files, bytes })
                .collect();
            let throughput = throughput(&Archive { batches, ..Archive::default() }, now());
            if let Some(eta) = eta(throughput.rate, Amount { files: rest.0, bytes: rest.1 }) {
                prop_assert!(eta.low_s <= eta.likely_s && eta.likely_s <= eta.high_s, "{:?}", eta);
            }
        }
    }
}
