//! A part of a model, read page by page.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::value::format_datetime;

/// A part of a model, read page by page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// Only ids above this.
    pub after_id: i64,
    /// Only rows written at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Only rows written at this moment or earlier. The comparison sees microseconds that the answer
    /// cuts off, so the bound is the end of its second.
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
