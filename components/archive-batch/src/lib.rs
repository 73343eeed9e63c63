//! `POST /archive-batch` (`/functions/v1/archive-odoo-files`): one batch of the archive.

use platform::{Answer, serve};
use spin_sdk::{http::Request, http_service};

#[http_service]
async fn handle(request: Request) -> Answer {
    serve(&archive::ARCHIVE, request).await
}
