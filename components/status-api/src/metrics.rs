//! `GET /metrics`: the status in the text format of Prometheus.

use std::fmt::Write;

use ledger::status::{Moment, Reading};

use crate::throughput::throughput;
use crate::verdict::{needs_somebody, phase, remaining, state};

/// The content type that Prometheus expects.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of a reading.
pub fn metrics(reading: &Reading) -> String {
    let mut page = Page::default();
    archive(&mut page, reading);
    states(&mut page, reading);
    syncs(&mut page, reading);
    page.0
}

fn archive(page: &mut Page, reading: &Reading) {
    let archive = &reading.archive;
    page.describe("odoo_sync_archive_files", "Attachments by state.");
    for (bucket, amount) in &archive.progress {
        page.sample(
            "odoo_sync_archive_files",
            &[("state", bucket)],
            amount.files,
        );
    }
    page.describe(
        "odoo_sync_archive_bytes",
        "Bytes of attachments by state, as Odoo says.",
    );
    for (bucket, amount) in &archive.progress {
        page.sample(
            "odoo_sync_archive_bytes",
            &[("state", bucket)],
            amount.bytes,
        );
    }
    page.describe(
        "odoo_sync_archive_remaining_files",
        "Attachments still to be moved.",
    );
    page.sample(
        "odoo_sync_archive_remaining_files",
        &[],
        remaining(archive).files,
    );
    if let Some(rate) = throughput(archive, reading.server_time).rate {
        page.describe("odoo_sync_archive_files_per_minute", "Speed, smoothed.");
        page.sample(
            "odoo_sync_archive_files_per_minute",
            &[],
            rate.files_per_minute,
        );
    }
}

fn states(page: &mut Page, reading: &Reading) {
    let phase = phase(&reading.archive, &reading.jobs, reading.server_time);
    page.describe("odoo_sync_state", "1 for the state that the card shows.");
    page.sample(
        "odoo_sync_state",
        &[("state", &word(&state(reading, phase)))],
        1,
    );
    page.describe(
        "odoo_sync_archive_phase",
        "1 for the phase that the archive is in.",
    );
    page.sample("odoo_sync_archive_phase", &[("phase", &word(&phase))], 1);

    page.describe(
        "odoo_sync_last_tick_timestamp_seconds",
        "When the archive last gave a sign of life.",
    );
    page.moment(
        "odoo_sync_last_tick_timestamp_seconds",
        &[],
        reading.last_tick,
    );

    page.describe(
        "odoo_sync_job_ok",
        "0 where somebody has to do something about a scheduled job.",
    );
    for job in &reading.jobs {
        let labels = [("job", job.name.as_str()), ("state", job.state.as_str())];
        page.sample("odoo_sync_job_ok", &labels, u8::from(!needs_somebody(job)));
    }
    page.describe(
        "odoo_sync_job_last_success_timestamp_seconds",
        "When a job's component last succeeded.",
    );
    for job in &reading.jobs {
        page.moment(
            "odoo_sync_job_last_success_timestamp_seconds",
            &[("job", &job.name)],
            job.last_success,
        );
    }
}

fn syncs(page: &mut Page, reading: &Reading) {
    page.describe(
        "odoo_sync_fresh_as_of_timestamp_seconds",
        "As of when Postgres has what Odoo has.",
    );
    for (component, sync) in &reading.syncs {
        page.moment(
            "odoo_sync_fresh_as_of_timestamp_seconds",
            &[("component", component)],
            sync.fresh_as_of,
        );
    }
    page.describe(
        "odoo_sync_validation_differences",
        "Records that differ, by entity and how.",
    );
    for (component, sync) in &reading.syncs {
        for validation in &sync.validations {
            for (how, count) in [
                ("missing", validation.missing),
                ("extra", validation.extra),
                ("stale", validation.stale),
            ] {
                let labels = [
                    ("component", component.as_str()),
                    ("entity", &validation.entity),
                    ("how", how),
                ];
                page.sample("odoo_sync_validation_differences", &labels, count);
            }
        }
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn describe(&mut self, name: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn moment(&mut self, name: &str, labels: &[(&str, &str)], moment: Option<Moment>) {
        if let Some(moment) = moment {
            self.sample(name, labels, moment.timestamp());
        }
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The value's serialized name, as the card uses it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut page = Page::default();
        page.sample("m", &[("job", "a\"} 1\nevil{b=\"\\")], 0);
        assert_eq!(page.0, "m{job=\"a\\\"} 1\\nevil{b=\\\"\\\\\"} 0\n");
    }
}
