//! `POST /actions/…`: parses the actions that people ask for.

use ledger::status::{Action, Order};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Maximum number of files in one retry.
const MAX_IDS: usize = 1000;

/// The body of an action; every key has a default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    job: Option<String>,
    ids: Option<Vec<i64>>,
    read_data: bool,
    entity: Option<String>,
    kind: Option<String>,
    note: Option<String>,
}

/// The action for a path.
pub fn action(path: &str) -> Option<Action> {
    match path {
        "/actions/retry" => Some(Action::Retry),
        "/actions/pause" => Some(Action::Pause),
        "/actions/resume" => Some(Action::Resume),
        "/actions/run" => Some(Action::Run),
        "/actions/final-check" => Some(Action::FinalCheck),
        "/actions/acknowledge" => Some(Action::Acknowledge),
        _ => None,
    }
}

/// Parses a body; an error names the key.
pub fn order(action: Action, body: &[u8], user_id: Option<Uuid>) -> Result<Order, &'static str> {
    let body: Body = if body.trim_ascii().is_empty() {
        Body::default()
    } else {
        // Parse into a generic document first: directly, serde would also accept an array of the values, and
        // skip the values of unknown keys unchecked.
        let read = match serde_json::from_slice(body) {
            Ok(document @ Value::Object(_)) => serde_json::from_value(document).ok(),
            _ => None,
        };
        read.ok_or("the body must be a JSON object; job, entity, kind, note: texts, ids: a list of numbers, read_data: true or false")?
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
    let is_named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if action == Action::Acknowledge && !(is_named(&body.entity) && is_named(&body.kind)) {
        return Err("entity and kind: what is accepted, as the certificate names it");
    }
    let texts = [&body.entity, &body.kind, &body.note];
    if texts.into_iter().flatten().any(|text| text.len() > 1000) {
        return Err("entity, kind, note: at most 1000 characters");
    }
    Ok(Order {
        action,
        job,
        user_id,
        ids: body.ids,
        options: json!({
            "read_data": body.read_data, "entity": body.entity, "kind": body.kind, "note": body.note,
        }),
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
            (r#"{"read_data":"yes"}"#, "the body"),
        ] {
            let refusal = order(Action::Retry, body.as_bytes(), None).unwrap_err();
            assert!(refusal.starts_with(key), "{body}: {refusal}");
        }
    }

    #[test]
    fn what_is_accepted_has_to_be_named() {
        for body in [
            "",
            r#"{"entity":"attachments"}"#,
            r#"{"entity":"","kind":"dead"}"#,
        ] {
            let refusal = order(Action::Acknowledge, body.as_bytes(), None).unwrap_err();
            assert!(refusal.starts_with("entity and kind"), "{body}: {refusal}");
        }
        let body = br#"{"entity":"attachments","kind":"dead","ids":[77],"note":"a scan"}"#;
        let order = order(Action::Acknowledge, body, None).unwrap();
        assert_eq!(
            (order.ids, &order.options["note"]),
            (Some(vec![77]), &json!("a scan"))
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = order(Action::Run, &body, None);
        }
    }
}
