//! How an Odoo spells its answers: JSON as Python writes it, and dates as naive UTC.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::serve::{Part, Payload, Shown, Source};

/// Python's `json.dumps`: a space after each comma and colon, and everything beyond ASCII as it is.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A JSON text in the making. Contents of files are encoded when they are sent, not before.
#[derive(Default)]
pub(crate) struct Json {
    parts: Vec<Part>,
    text: Vec<u8>,
    shown: Shown,
}

impl Json {
    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.text, Python);
        // Writing plain values into memory cannot fail.
        let _ = value.serialize(&mut serializer);
    }

    /// The content of a file as a string of base64.
    pub(crate) fn base64(&mut self, source: Arc<dyn Source>) {
        self.raw("\"");
        self.flush();
        self.parts.push(Part::base64(source));
        self.raw("\"");
    }

    /// What was written to another text.
    pub(crate) fn append(&mut self, mut other: Self) {
        if !other.parts.is_empty() {
            self.flush();
            self.parts.append(&mut other.parts);
        }
        self.text.append(&mut other.text);
        self.shown += other.shown;
    }

    /// A record with so many values stands in it.
    pub(crate) fn shows(&mut self, values: usize) {
        self.shown += Shown {
            records: 1,
            values: u32::try_from(values).unwrap_or(u32::MAX),
        };
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts
                .push(Part::Bytes(Bytes::from(std::mem::take(&mut self.text))));
        }
    }

    pub(crate) fn finish(mut self) -> Payload {
        self.flush();
        Payload::of(self.parts).showing(self.shown)
    }
}

/// The time of the server, in microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    chrono_now().timestamp_micros()
}

fn chrono_now() -> DateTime<chrono::Utc> {
    DateTime::from(std::time::SystemTime::now())
}

/// A date as RPC shows it: naive UTC, cut off at the second.
pub(crate) fn datetime(us: i64) -> String {
    let Some(at) = DateTime::from_timestamp_micros(us) else {
        return String::new();
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// A date as HTTP headers show it.
pub(crate) fn http_date(us: i64) -> String {
    DateTime::from_timestamp_micros(us)
        .map(|at| at.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

/// Microseconds since 1970 of `2026-11-21 20:21:22`, with or without a fraction.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"));
    Some(parsed.ok()?.and_utc().timestamp_micros())
}
