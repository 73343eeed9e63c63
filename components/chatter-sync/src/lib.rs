//! `POST /chatter-sync` (`/functions/v1/odoo-chatter-sync`): not built yet; it says so.

use http::StatusCode;
use platform::{Answer, Door};
use serde_json::json;
use spin_sdk::http_service;

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    match Door::receive("chatter-sync", request, &[]).await {
        Ok(door) => {
            let postgres = door.postgres();
            let answered = match door.admit(&postgres).await {
                Ok(_) => door.answer(
                    StatusCode::NOT_IMPLEMENTED,
                    &json!({ "error": "chatter-sync is not part of this version yet" }),
                ),
                Err(refusal) => refusal,
            };
            door.open_to_browsers(answered)
        }
        Err(answer) => answer,
    }
}
