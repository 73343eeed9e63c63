use std::cell::RefCell;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use outbound::{Request, Response, Secret, TransportError};
use serde_json::{Value, json};

use super::*;

/// An Odoo with one message that is too long, and that becomes hidden as soon as it is read without its text. The
/// next message is short.
#[derive(Default)]
struct World {
    /// The fields of each page that was read.
    asked: RefCell<Vec<Value>>,
}

impl World {
    fn answer(&self, call: &Value) -> Value {
        let method = call.pointer("/params/args/4").and_then(Value::as_str);
        if method == Some("search") {
            return json!([9]);
        }
        let Some(fields) = call.pointer("/params/args/5/1") else {
            // The login.
            return json!(2);
        };
        self.asked.borrow_mut().push(fields.clone());
        match self.asked.borrow().len() {
            1 => json!([{ "id": 7, "body": "x".repeat(5 * 1024 * 1024) }]),
            2 => json!([]),
            _ => json!([{ "id": 9, "body": "short" }]),
        }
    }
}

impl Http for World {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Some(call) = &request.body else {
            return Err(TransportError::Reset);
        };
        let call: Value = serde_json::from_slice(call).map_err(|_| TransportError::Reset)?;
        let answer = Bytes::from(json!({ "result": self.answer(&call) }).to_string());
        let json = HeaderValue::from_static("application/json");
        Ok(Response {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
            body: stream::iter([Ok(answer)]).boxed_local(),
        })
    }
}

impl Clock for World {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn unix_seconds(&self) -> i64 {
        0
    }
    async fn sleep(&self, _: Duration) {}
    fn chance(&self) -> f64 {
        0.5
    }
}

#[test]
fn what_one_record_was_read_without_is_asked_of_the_next() {
    let world = World::default();
    let settings = odoo::Settings {
        url: "http://odoo".into(),
        database: "odoo".into(),
        login: "admin".into(),
        password: Secret::new("of-the-admin"),
        ..odoo::Settings::default()
    };
    let odoo = Odoo::new(&world, &world, settings, odoo::Known::default()).unwrap();
    let clock = &world;
    let source = Source::new(&odoo, &clock, Duration::from_mins(1));
    source.page.set(1);
    source.bulk.set(Some("body"));
    let messages = Model {
        name: "mail.message",
        domain: &[],
        language: "",
        undated: None,
        links: &[],
    };
    let fields = ["subject", "body"].map(str::to_owned);
    let reading = source.records(messages, Window::default(), &fields);
    let (part, at_end) = reading
        .now_or_never()
        .expect("nothing is waited for")
        .unwrap();
    assert_eq!(part.found, 1);
    let body = part.records.first().unwrap().get("body");
    assert_eq!(body, Some(&json!("short")));
    assert_eq!(part.unreadable, []);
    assert!(!at_end);
    assert_eq!(
        *world.asked.borrow(),
        [
            json!(["subject", "body"]),
            json!(["subject"]),
            json!(["subject", "body"])
        ]
    );
}
