//! Jobs as HTTP endpoints: authentication, begin, response and log, the same for all jobs.

use std::cell::RefCell;

use http::StatusCode;
use odoo::Known;
use run::{Environment, Job, Report, Run, begin};
use serde_json::json;
use spin_sdk::http::Request;

use crate::log::log_run;
use crate::{
    Answer, Guard, Refusal, SpinClock, SpinHttp, SpinPostgres, SpinVariables, answer, new_run_id,
    spawn,
};

thread_local! {
    // Caches what a call learned of Odoo, which saves the next one a few requests. A component has one job.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Handles a call: responds with the report, or at once if the caller prefers not to wait.
pub async fn serve<J: Job>(job: &'static J, request: Request) -> Answer {
    match Guard::receive(job.name(), request).await {
        Ok(mut guard) => {
            let answered = handle(job, &mut guard).await;
            guard.finish(answered)
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn handle<J: Job>(job: &'static J, guard: &mut Guard) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    let caller = guard.admit_jobs(&postgres).await?;
    let postgres = guard.ready(postgres).await?;
    let body = guard.body().await?;
    let request = job
        .parse(&body)
        .map_err(|error| Refusal::Request(error.to_string()))?;
    guard.only_as_scheduled(caller, &body, &postgres).await?;
    let run_id = new_run_id();
    let environment = Environment {
        http: SpinHttp,
        clock: SpinClock,
        postgres,
    };
    let settings = job.settings(&SpinVariables).await;
    let run = match begin(job, environment, settings, request, run_id).await {
        Ok(run) => run,
        Err(report) => return Ok(tell::<J>(&report)),
    };
    if guard.prefers_async() {
        spawn(async move {
            work(job.name(), run).await;
        });
        return Ok(answer::accepted(
            &json!({ "status": "accepted", "run_id": run_id }),
        ));
    }
    Ok(tell::<J>(&work(job.name(), run).await))
}

async fn work<J: Job>(
    job: &str,
    run: Run<J, SpinHttp, SpinClock, SpinPostgres>,
) -> Report<J::Figures> {
    let mut known = KNOWN.with_borrow(Known::clone);
    let report = run.work(&mut known).await;
    KNOWN.with_borrow_mut(|kept| *kept = known);
    log_run(job, &report).await;
    report
}

fn tell<J: Job>(report: &Report<J::Figures>) -> Answer {
    let status = report.blame.map_or(StatusCode::OK, answer::blame_status);
    answer::json(status, report)
}
