//! `POST /chatter-sync` (`/functions/v1/odoo-chatter-sync`): one run of the copy of what was said.

use fault::Fault;
use platform::{Answer, Copies, Variables, chatter_settings, serve};
use spin_sdk::http_service;
use sync::chatter::CHATTER;

struct Chatter;

impl Copies for Chatter {
    const JOB: &'static sync::Job = &CHATTER;
    const NAME: &'static str = "chatter-sync";
    const VARIABLES: &'static [&'static str] = &[
        "odoo_url",
        "odoo_database",
        "odoo_login",
        "odoo_api_key",
        "odoo_password",
        "odoo_protocol",
        "odoo_calls_per_second",
        "odoo_parallel_calls",
        "odoo_access_tokens",
        "chatter_batch_seconds",
        "chatter_overlap_minutes",
        "chatter_language",
        "chatter_models",
        "archive_max_file_bytes",
        "archive_domain",
        "archive_models",
        "archive_fields",
        "archive_mimetypes",
        "archive_companies",
    ];

    fn settings(variables: &Variables) -> Result<sync::Settings, Fault> {
        chatter_settings(variables)
    }
}

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    serve::<Chatter>(request).await
}
