//! `POST /archive-batch` (`/functions/v1/archive-odoo-files`): one batch of the archive. And `POST /check`: one look at
//! everything that has to be right, here since this component has Odoo, Storage and Postgres at hand.

use http::StatusCode;
use platform::{
    Answer, Guard, Refusal, SpinClock, SpinHttp, SpinPostgres, SpinVariables, json, serve,
};
use spin_sdk::{http::Request, http_service};

#[http_service]
async fn handle(request: Request) -> Answer {
    if request.uri().path() != "/check" {
        return serve(&archive::ARCHIVE, request).await;
    }
    match Guard::receive("archive-batch", request).await {
        Ok(guard) => {
            let answered = check(&guard).await;
            guard.finish(answered)
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn check(guard: &Guard) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    guard.admit(&postgres).await?;
    // What is wrong is what is asked for: it is no failure of the call.
    let report = check::check(&SpinVariables, &SpinHttp, &SpinClock, &postgres).await;
    Ok(json(StatusCode::OK, &report))
}
