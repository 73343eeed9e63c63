//! `POST /actions/…`: what a person asks for.

use ledger::status::{Action, Order};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The most files that one retry may name.
const MAX_IDS: usize = 1000;

/// What an action's body may hold; empty is all of it by default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    job: Option<String>,
    ids: Option<Vec<i64>>,
}

/// The action of a path.
pub fn action(path: &str) -> Option<Action> {
    match path {
        "/actions/retry" => Some(Action::Retry),
        "/actions/pause" => Some(Action::Pause),
        "/actions/resume" => Some(Action::Resume),
        "/actions/run" => Some(Action::Run),
        _ => None,
    }
}

/// Reads a body. What is wrong with it names the key.
pub fn order(action: Action, body: &[u8], user_id: Option<Uuid>) -> Result<Order, &'static str> {
    let body: Body = if body.trim_ascii().is_empty() {
        Body::default()
    } else {
        // By way of a document: by itself, serde would take an array of the values too, and not look
        // at what stands under other keys.
        let read = match serde_json::from_slice(body) {
            Ok(document @ Value::Object(_)) => serde_json::from_value(document).ok(),
            _ => None,
        };
        read.ok_or("the body must be a JSON object; job: a text, ids: a list of numbers")?
    };
    let job = body.job.unwrap_or_else(|| "archive-batch".to_owned());
    if job.is_empty() || job.len() > 100 {
        return Err("job: the name of a job, or of a component");
    }
    if body
        .ids
        .as_ref()
        .is_some_and(|ids| ids.len() > MAX_IDS || ids.iter().any(|id| *id <= 0))
    {
        return Err("ids: at most 1000 positive numbers");
    }
    Ok(Order {
        action,
        job,
        user_id,
        ids: body.ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_at_all_means_the_archive_and_all_dead_files() {
        for body in ["", " \n", "{}", r#"{"job":null}"#] {
            let order = order(Action::Retry, body.as_bytes(), None).unwrap();
            assert_eq!(
                (order.job.as_str(), order.ids),
                ("archive-batch", None),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_order_is_refused_by_name() {
        for (body, key) in [
            ("[1", "the body"),
            ("[]", "the body"),
            (r#"["archive-batch", [1]]"#, "the body"),
            (r#"{"job":""}"#, "job"),
            (r#"{"ids":[0]}"#, "ids"),
            (r#"{"ids":"1"}"#, "the body"),
        ] {
            let refusal = order(Action::Retry, body.as_bytes(), None).unwrap_err();
            assert!(refusal.starts_with(key), "{body}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = order(Action::Run, &body, None);
        }
    }
}
