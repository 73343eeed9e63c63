//! Jobs called by POST: how all of them are admitted, begun, answered and told in the log.

use std::cell::RefCell;

use fault::Blame;
use http::StatusCode;
use odoo::Known;
use serde::Serialize;
use serde_json::json;
use spin_sdk::http::Request;
use uuid::Uuid;

use crate::{
    Answer, Door, SpinClock, SpinHttp, SpinPostgres, Variables, blame_status, new_id, spawn,
};

/// What a component adds to it.
pub trait Job: 'static {
    /// Its name in the ledger.
    const NAME: &'static str;
    /// The variables that it needs beside those of its door.
    const VARIABLES: &'static [&'static str];
    /// What a body asks for.
    type Request;
    /// Work that has its slot.
    type Begun;
    /// What came of it.
    type Report: Serialize;

    /// Reads a body; an error names the key that is wrong.
    fn parse(body: &[u8]) -> Result<Self::Request, String>;

    /// Begins: quick, one statement. A report instead says why not.
    fn begin(
        postgres: SpinPostgres,
        variables: &Variables,
        request: Self::Request,
        run_id: Uuid,
    ) -> impl Future<Output = Result<Self::Begun, Self::Report>>;

    /// Works. `known` is what an earlier call learned of Odoo; it is brought up to date.
    fn work(begun: Self::Begun, known: &mut Known) -> impl Future<Output = Self::Report>;

    /// Whose fault it is that work stopped, if it did.
    fn stopped(report: &Self::Report) -> Option<Blame>;

    /// What came of it, as one line of the component's log.
    fn line(report: &Self::Report) -> String;
}

thread_local! {
    // What one call learned of Odoo saves the next one a few requests. A component has one job.
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Answers a call: with what came of it, or, where the caller would rather not wait, at once.
pub async fn serve<J: Job>(request: Request) -> Answer {
    match Door::receive(J::NAME, request, J::VARIABLES).await {
        Ok(mut door) => {
            let answered = answer::<J>(&mut door).await;
            door.open_to_browsers(answered.unwrap_or_else(|refusal| refusal))
        }
        Err(answer) => answer,
    }
}

async fn answer<J: Job>(door: &mut Door) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    let caller = door.admit_jobs(&postgres).await?;
    let postgres = door.ready(postgres).await?;
    let body = door.body().await?;
    let request = J::parse(&body).map_err(|words| {
        door.answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "error": words }))
    })?;
    door.only_as_scheduled(caller, &body, &postgres).await?;
    let run_id = new_id();
    let begun = match J::begin(postgres, door.variables(), request, run_id).await {
        Ok(begun) => begun,
        Err(report) => return Ok(tell::<J>(door, &report)),
    };
    if door.prefers_async() {
        spawn(async move {
            work::<J>(begun).await;
        });
        return Ok(door.accepted(&json!({ "status": "accepted", "run_id": run_id })));
    }
    Ok(tell::<J>(door, &work::<J>(begun).await))
}

async fn work<J: Job>(begun: J::Begun) -> J::Report {
    let mut known = KNOWN.with_borrow(Known::clone);
    let report = J::work(begun, &mut known).await;
    KNOWN.with_borrow_mut(|kept| *kept = known);
    println!("{}", J::line(&report));
    report
}

fn tell<J: Job>(door: &Door, report: &J::Report) -> Answer {
    let status = J::stopped(report).map_or(StatusCode::OK, blame_status);
    door.answer(status, report)
}

/// A job that copies records, by the engine of `sync`: only what it copies is its own.
pub trait Copies: 'static {
    /// What it copies.
    const JOB: &'static sync::Job;
    /// Its name, the same as the job's own.
    const NAME: &'static str;
    /// The variables that it needs beside those of its door.
    const VARIABLES: &'static [&'static str];

    /// How to copy; a fault names the variable.
    fn settings(variables: &Variables) -> Result<sync::Settings, fault::Fault>;
}

impl<T: Copies> Job for T {
    const NAME: &'static str = <T as Copies>::NAME;
    const VARIABLES: &'static [&'static str] = <T as Copies>::VARIABLES;
    type Request = sync::Request;
    type Begun = Box<sync::Run<SpinHttp, SpinClock, SpinPostgres>>;
    type Report = sync::Report;

    fn parse(body: &[u8]) -> Result<sync::Request, String> {
        sync::Request::parse(body, T::JOB).map_err(|error| error.to_string())
    }

    async fn begin(
        postgres: SpinPostgres,
        variables: &Variables,
        request: sync::Request,
        run_id: Uuid,
    ) -> Result<Self::Begun, sync::Report> {
        let environment = sync::Environment {
            http: SpinHttp,
            clock: SpinClock,
            postgres,
        };
        match sync::begin(T::JOB, environment, T::settings(variables), request, run_id).await {
            sync::Beginning::Begun(run) => Ok(run),
            sync::Beginning::Not(report) => Err(*report),
        }
    }

    async fn work(run: Self::Begun, known: &mut Known) -> sync::Report {
        run.work(known).await
    }

    fn stopped(report: &sync::Report) -> Option<Blame> {
        report.blame
    }

    fn line(report: &sync::Report) -> String {
        let written = &report.written;
        let stopped = report
            .errors
            .first()
            .map_or_else(String::new, |error| format!(", stopped: {error}"));
        format!(
            "{} read {} inserted {} updated {} deleted {} in {} s{stopped}",
            report.mode,
            report.read,
            written.inserted,
            written.updated,
            written.deleted,
            report.elapsed_s,
        )
    }
}
