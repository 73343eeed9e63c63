//! `POST /chatter-sync` (`/functions/v1/odoo-chatter-sync`): one run of the copy of what was said.

use platform::{Answer, serve};
use spin_sdk::{http::Request, http_service};

#[http_service]
async fn handle(request: Request) -> Answer {
    serve(&sync::chatter::CHATTER, request).await
}
