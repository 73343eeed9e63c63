//! `/object/list-v2`: the keys of a bucket, flat or by folders, from a cursor on.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use http::StatusCode;
use serde_json::{Value, json};

use super::access::Caller;
use super::answers::{Refusal, written};
use super::objects::{json_body, limit_of, sort_of};
use super::site::{Answer, Site};
use super::stock::{Entry, iso};

/// By what it can be sorted.
const SORTABLE: [&str; 3] = ["name", "updated_at", "created_at"];
/// It shows no more than this at once.
const PAGE: usize = 1000;

impl Site {
    /// `POST /object/list-v2/<bucket>`.
    pub(super) fn list_from(&self, caller: Caller, bucket: &str, body: &[u8]) -> Answer {
        let body = json_body(body)?;
        let limit = limit_of(&body)?.unwrap_or(PAGE).min(PAGE);
        let delimited = match body.get("with_delimiter") {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(Refusal::request("body/with_delimiter must be boolean")),
        };
        let (column, descending) = sort_of(&body, &SORTABLE)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let order = match text("cursor") {
            "" => Order {
                column: column.map(str::to_owned),
                descending,
                after: None,
            },
            cursor => {
                Order::of(cursor, column).ok_or_else(|| Refusal::parameter("continuation token"))?
            }
        };
        let stock = self.stock.lock();
        // A missing bucket, and one that is out of bounds, look empty.
        let mut entries = match caller {
            Caller::Anonymous => Vec::new(),
            Caller::Service => stock.entries(bucket, text("prefix"), delimited),
        };
        order.apply(&mut entries);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let (objects, folders): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.object.is_some());
        let level = text("prefix").matches('/').count();
        let show = |entries: &[&Entry<'_>]| -> Vec<Value> {
            let shown = entries
                .iter()
                .map(|entry| order.shown(entry, delimited.then_some(level)));
            shown.collect()
        };
        let mut answer =
            json!({"hasNext": more, "folders": show(&folders), "objects": show(&objects)});
        if let (true, Some(last), Some(answer)) = (more, entries.last(), answer.as_object_mut()) {
            answer.insert("nextCursor".to_owned(), order.cursor(last).into());
            answer.insert("nextCursorKey".to_owned(), last.name.clone().into());
        }
        Ok(written(StatusCode::OK, &answer))
    }
}

/// In which order a listing is, and after which entry it begins.
struct Order {
    column: Option<String>,
    descending: bool,
    /// A name, and a time in milliseconds where it is sorted by one.
    after: Option<(String, i64)>,
}

impl Order {
    /// Goes on from a cursor, which names the column if the first page did.
    fn of(cursor: &str, column: Option<&str>) -> Option<Self> {
        let text = String::from_utf8(BASE64_STANDARD.decode(cursor).ok()?).ok()?;
        let (mut name, mut ms) = (String::new(), 0);
        let mut order = Self {
            column: column.map(str::to_owned),
            descending: false,
            after: None,
        };
        for line in text.split('\n') {
            match line.split_once(':')? {
                ("l", after) => after.clone_into(&mut name),
                ("o", direction) => order.descending = direction == "desc",
                ("c", column) => order.column = Some(column.to_owned()),
                ("a", at) => ms = DateTime::parse_from_rfc3339(at).ok()?.timestamp_millis(),
                _ => return None,
            }
        }
        order.after = Some((name, ms));
        Some(order)
    }

    /// The cursor after this entry.
    fn cursor(&self, last: &Entry<'_>) -> String {
        let mut lines = vec![format!("l:{}", last.name)];
        if self.descending {
            lines.push("o:desc".to_owned());
        }
        if let Some(column) = &self.column {
            lines.push(format!("c:{column}"));
        }
        if let Some(us) = self.time_us(last) {
            lines.push(format!("a:{}", iso(us)));
        }
        BASE64_STANDARD.encode(lines.join("\n"))
    }

    /// The time that it is sorted by, if it is by one.
    fn time_us(&self, entry: &Entry<'_>) -> Option<i64> {
        match self.column.as_deref() {
            Some("created_at") => Some(entry.created_us),
            Some("updated_at") => Some(entry.updated_us),
            _ => None,
        }
    }

    /// Sorts entries, which come in the order of their names, and keeps those after the cursor.
    fn apply(&self, entries: &mut Vec<Entry<'_>>) {
        let ms = |entry: &Entry<'_>| self.time_us(entry).unwrap_or_default() / 1000;
        entries.sort_by_key(ms);
        if let Some((after, after_ms)) = &self.after {
            // The name of a folder is one with a slash at its end, but not in a cursor.
            let folder = format!("{after}/");
            let is_folder = entries.iter().any(|entry| entry.sorted_as() == folder);
            let after = (*after_ms, if is_folder { &folder } else { after }.as_str());
            let is_after = |entry: &Entry<'_>| {
                let sorted_as = entry.sorted_as();
                let at = (ms(entry), sorted_as.as_str());
                if self.descending {
                    at < after
                } else {
                    at > after
                }
            };
            entries.retain(is_after);
        }
        if self.descending {
            entries.reverse();
        }
    }

    /// An entry as it is shown: where folders are, with what it is called in its own.
    fn shown(&self, entry: &Entry<'_>, level: Option<usize>) -> Value {
        let time = |us| self.time_us(entry).map(|_| iso(us));
        let mut shown = match entry.object {
            Some(object) => object.entry(&entry.name),
            None => json!({
                "name": format!("{}/", entry.name), "id": null, "updated_at": time(entry.created_us),
                "created_at": time(entry.created_us), "last_accessed_at": null, "metadata": null,
            }),
        };
        let key = level.and_then(|level| entry.name.split('/').nth(level));
        if let (Some(key), Some(shown)) = (key, shown.as_object_mut()) {
            shown.insert("key".to_owned(), key.into());
        }
        shown
    }
}
