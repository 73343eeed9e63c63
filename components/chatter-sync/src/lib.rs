//! `POST /chatter-sync` (`/functions/v1/odoo-chatter-sync`): one run of the copy of what was said.

use std::cell::RefCell;

use http::StatusCode;
use platform::{
    Answer, Door, SpinClock, SpinHttp, SpinPostgres, blame_status, chatter_settings, new_id, spawn,
};
use serde_json::json;
use spin_sdk::http_service;
use sync::chatter::CHATTER;
use sync::{Beginning, Environment, Report, Request, Run, Status, begin};

/// The variables of this component beside those of its door.
const VARIABLES: [&str; 14] = [
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
];

thread_local! {
    // What a run learned of Odoo saves the next one a few calls.
    static KNOWN: RefCell<odoo::Known> = RefCell::default();
}

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    match Door::receive(CHATTER.name, request, &VARIABLES).await {
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
    let request = Request::parse(&body, &CHATTER).map_err(|error| {
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
    let settings = chatter_settings(door.variables());
    match begin(&CHATTER, environment, settings, request, new_id()).await {
        Beginning::Begun(run) if door.prefers_async() => {
            let accepted = json!({ "status": "accepted", "run_id": run.run_id() });
            spawn(async move {
                work(*run).await;
            });
            Ok(door.accepted(&accepted))
        }
        Beginning::Begun(run) => Ok(report(door, &work(*run).await)),
        Beginning::Not(told) => Ok(report(door, &told)),
    }
}

async fn work(run: Run<SpinHttp, SpinClock, SpinPostgres>) -> Report {
    let mut known = KNOWN.with_borrow(odoo::Known::clone);
    let report = run.work(&mut known).await;
    KNOWN.with_borrow_mut(|kept| *kept = known);
    println!(
        "{} read {} inserted {} updated {} deleted {} in {} s{}",
        report.mode,
        report.read,
        report.written.inserted,
        report.written.updated,
        report.written.deleted,
        report.elapsed_s,
        report
            .errors
            .first()
            .map_or_else(String::new, |error| format!(", stopped: {error}")),
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
