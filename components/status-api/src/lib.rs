//! `GET /status`, `/healthz` and the card: only `/healthz` is built yet; the others say so.

use http::StatusCode;
use platform::{Answer, plain_json};
use serde_json::json;
use spin_sdk::http_service;

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    if request.uri().path() == "/healthz" {
        return plain_json(StatusCode::OK, &json!({ "status": "ok" }));
    }
    plain_json(
        StatusCode::NOT_IMPLEMENTED,
        &json!({ "error": "the status and its card are not part of this version yet" }),
    )
}
