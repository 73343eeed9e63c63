//! The bodies that callers send.

use ledger::status::Action;
use serde_json::Value;
use sync::chatter::CHATTER;
use sync::crm::CRM;

#[path = "../../../components/status-api/src/order.rs"]
mod order;

/// The body of a call to any of the four components.
pub fn requests(body: &[u8]) {
    // Keys that are not known change nothing.
    let with_more = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut keys)) => {
            keys.insert("time".to_owned(), "2026-11-21T20:22:17Z".into());
            Some(Value::Object(keys).to_string())
        }
        _ => None,
    };
    let is_document = with_more.is_some() || body.trim_ascii().is_empty();

    let archive = archive::Request::parse(body);
    match &archive {
        Ok(request) => {
            assert!(is_document);
            let ids = request.ids.as_deref().unwrap_or_default();
            assert!(ids.len() <= 1000 && ids.iter().all(|id| *id > 0));
            assert!(request.after_id >= 0);
            if let Some(part) = request.read_data {
                assert!((0..=255).any(|byte| part.holds(byte)));
            }
        }
        Err(error) => is_told(&error.to_string()),
    }
    for job in [&CRM, &CHATTER] {
        let request = sync::Request::parse(body, job);
        match &request {
            Ok(request) => {
                assert!(is_document);
                let known = |name: &String| job.entities.iter().any(|e| e.name == name);
                assert!(request.entities.iter().flatten().all(known));
            }
            Err(error) => is_told(&error.to_string()),
        }
        if let Some(more) = &with_more {
            assert_eq!(sync::Request::parse(more.as_bytes(), job), request);
        }
    }
    if let Some(more) = &with_more {
        assert_eq!(archive::Request::parse(more.as_bytes()), archive);
    }
    match order::order(Action::Retry, body, None) {
        Ok(order) => {
            assert!(is_document, "an order without a document");
            assert!((1..=100).contains(&order.job.len()));
            let ids = order.ids.unwrap_or_default();
            assert!(ids.len() <= 1000 && ids.iter().all(|id| *id > 0));
        }
        Err(words) => is_told(words),
    }
    let path = String::from_utf8_lossy(body);
    assert!(order::action(&path).is_none() || path.starts_with("/actions/"));
}

/// A refusal names what is wrong, and repeats nothing of what was sent.
fn is_told(words: &str) {
    assert!(
        (1..300).contains(&words.len()) && words.is_ascii(),
        "{words}"
    );
}
