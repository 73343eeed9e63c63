//! `POST /crm-sync` (`/functions/v1/odoo-crm-sync`): one run of the pipeline's copy.

use platform::{Answer, serve};
use spin_sdk::{http::Request, http_service};

#[http_service]
async fn handle(request: Request) -> Answer {
    serve(&sync::crm::CRM, request).await
}
