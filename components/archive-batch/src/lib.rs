//! `POST /archive-batch` (`/functions/v1/archive-odoo-files`): one batch of the archive.

use std::cell::RefCell;

use archive::{Batch, Beginning, Environment, JOB, Report, Request, Status, begin};
use http::StatusCode;
use platform::{
    Answer, Door, SpinClock, SpinHttp, SpinPostgres, archive_settings, blame_status, new_id, spawn,
};
use serde_json::json;
use spin_sdk::http_service;

/// The variables of this component beside those of its door.
const VARIABLES: [&str; 24] = [
    "odoo_url",
    "odoo_database",
    "odoo_login",
    "odoo_api_key",
    "odoo_password",
    "odoo_protocol",
    "odoo_calls_per_second",
    "odoo_parallel_calls",
    "odoo_access_tokens",
    "storage_path",
    "storage_key",
    "storage_bucket",
    "archive_batch_seconds",
    "archive_lease_seconds",
    "archive_parallel_runs",
    "archive_parallel_uploads",
    "archive_max_file_bytes",
    "archive_max_rpc_bytes",
    "archive_domain",
    "archive_models",
    "archive_fields",
    "archive_mimetypes",
    "archive_companies",
    "archive_max_deleted_share",
];

thread_local! {
    // What a batch learned of Odoo saves the next one a few calls.
    static KNOWN: RefCell<odoo::Known> = RefCell::default();
}

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    match Door::receive(JOB, request, &VARIABLES).await {
        Ok(mut door) => {
            let answered = answer(&mut door).await;
            door.open_to_browsers(answered.unwrap_or_else(|refusal| refusal))
        }
        Err(answer) => answer,
    }
}

async fn answer(door: &mut Door) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    door.admit(&postgres).await?;
    let postgres = postgres.map_err(|fault| door.fault(&fault))?;
    let body = door.body().await?;
    let request = Request::parse(&body).map_err(|error| {
        door.answer(
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!({ "error": error.to_string() }),
        )
    })?;
    let environment = Environment {
        http: SpinHttp,
        clock: SpinClock,
        postgres,
    };
    let settings = archive_settings(door.variables());
    match begin(environment, settings, request, new_id()).await {
        Beginning::Begun(batch) if door.prefers_async() => {
            let accepted = json!({ "status": "accepted", "run_id": batch.run_id() });
            spawn(async move {
                work(*batch).await;
            });
            Ok(door.accepted(&accepted))
        }
        Beginning::Begun(batch) => Ok(report(door, &work(*batch).await)),
        Beginning::Not(told) => Ok(report(door, &told)),
    }
}

async fn work(batch: Batch<SpinHttp, SpinClock, SpinPostgres>) -> Report {
    let mut known = KNOWN.with_borrow(odoo::Known::clone);
    let report = batch.work(&mut known).await;
    KNOWN.with_borrow_mut(|kept| *kept = known);
    println!(
        "migrated {} failed {} skipped {} in {} s{}",
        report.migrated,
        report.failed,
        report.skipped,
        report.elapsed_s,
        report
            .fault
            .as_ref()
            .and_then(|fault| fault.get("message"))
            .map_or_else(String::new, |message| format!(", stopped: {message}")),
    );
    report
}

fn report(door: &Door, report: &Report) -> Answer {
    let status = match report.status {
        Status::Error => report
            .blame
            .map_or(StatusCode::INTERNAL_SERVER_ERROR, blame_status),
        Status::Success | Status::Running | Status::Paused => StatusCode::OK,
    };
    door.answer(status, report)
}
