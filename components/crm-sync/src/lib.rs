//! `POST /crm-sync` (`/functions/v1/odoo-crm-sync`): one run of the pipeline's copy.

use fault::Fault;
use platform::{Answer, Copies, Variables, crm_settings, serve};
use spin_sdk::http_service;
use sync::crm::CRM;

struct Pipeline;

impl Copies for Pipeline {
    const JOB: &'static sync::Job = &CRM;
    const NAME: &'static str = "crm-sync";
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
        "crm_batch_seconds",
        "crm_overlap_minutes",
        "crm_language",
    ];

    fn settings(variables: &Variables) -> Result<sync::Settings, Fault> {
        crm_settings(variables)
    }
}

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    serve::<Pipeline>(request).await
}
