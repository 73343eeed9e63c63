//! `POST /archive-batch` (`/functions/v1/archive-odoo-files`): one batch of the archive. And `POST /check`: one look at
//! everything that has to be right, here since this component has Odoo, Storage and Postgres at hand.

use http::StatusCode;
use platform::{
    Answer, Guard, Level, Refusal, SpinClock, SpinHttp, SpinPostgres, SpinVariables, accepted,
    json, log, serve, spawn,
};
use spin_sdk::{http::Request, http_service};

#[http_service]
async fn handle(request: Request) -> Answer {
    if request.uri().path() != "/check" {
        return serve(&archive::ARCHIVE, request).await;
    }
    match Guard::receive("archive-batch", request).await {
        Ok(mut guard) => {
            let answered = check(&mut guard).await;
            guard.finish(answered)
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn check(guard: &mut Guard) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    let caller = guard.admit_jobs(&postgres).await?;
    let asked = check::Request::parse(&guard.body().await?);
    let asked = asked.map_err(|error| Refusal::Request(error.to_string()))?;
    if asked.daily {
        // By the key of the jobs, which lies in clear text in pg_net's queue: whoever has it learns nothing.
        spawn(async move {
            let looked = match postgres {
                Ok(postgres) => {
                    check::check_daily(&SpinVariables, &SpinHttp, &SpinClock, postgres).await
                }
                Err(fault) => Err(fault),
            };
            if let Err(fault) = looked {
                let words = format!("the look of the day: {fault}");
                log(Level::Error, "archive-batch", &words).await;
            }
        });
        return Ok(accepted(&serde_json::json!({ "status": "accepted" })));
    }
    if !caller.is_trusted() {
        return Err(Refusal::Forbidden(caller));
    }
    // What is wrong is what is asked for: it is no failure of the call.
    let report = check::check(
        &SpinVariables,
        &SpinHttp,
        &SpinClock,
        &postgres,
        asked.create_bucket,
    )
    .await;
    Ok(json(StatusCode::OK, &report))
}
