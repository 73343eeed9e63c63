//! A part of a model that is read page by page.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::value::format_datetime;

/// A part of a model that is read page by page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Only ids above this.
    pub after_id: i64,
    /// Only rows written at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Only rows written at or before this moment. The database compares microseconds that answers cut off, so the
    /// bound is the end of the second.
    pub until: Option<DateTime<Utc>>,
}

impl Window {
    /// The window as terms of a domain.
    pub fn domain(&self) -> Vec<Value> {
        let mut domain = vec![json!(["id", ">", self.after_id])];
        if let Some(since) = self.since {
            domain.push(json!(["write_date", ">=", format_datetime(since)]));
        }
        if let Some(until) = self.until {
            let end = until + TimeDelta::seconds(1);
            domain.push(json!(["write_date", "<", format_datetime(end)]));
        }
        domain
    }
}
