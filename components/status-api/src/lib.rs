//! Everything that people look at: `GET /status`, `/status/files`, `/status/files/{id}`, `/certificate.json`,
//! `/metrics`, `/healthz`, and the card's pages and files; and what they do about it: `POST /actions/…`.

mod assets;
mod document;
mod files;
mod metrics;
mod order;
mod shared;
mod stranger;
mod throughput;
mod verdict;

use access::Caller;
use document::Document;
use fault::Fault;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use ledger::status::{self, Reading};
use outbound::Variables;
use platform::{
    Answer, Guard, Level, Refusal, SpinPostgres, SpinVariables, Use, json as json_answer, log,
    unless_known,
};
use serde_json::json;
use spin_sdk::http_service;
use stranger::for_strangers;

/// The name under which refused calls are logged.
const JOB: &str = "status-api";

/// The clock of Postgres. It is also sent with a 304, for the document that the client has already.
const SERVER_TIME: HeaderName = HeaderName::from_static("x-server-time");

/// Whether a page of another site led to the call, as browsers report it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path == "/healthz" {
        return json_answer(StatusCode::OK, &json!({ "status": "ok" }));
    }
    match Guard::receive(JOB, request).await {
        Ok(mut guard) => {
            if let Some(asset) = assets::asset(&path) {
                let file = file_of_the_card(&guard, asset).await;
                return file.unwrap_or_else(|refusal| guard.finish(Err(refusal)));
            }
            let answered = answer(&mut guard, &path, &query).await;
            guard.finish(answered)
        }
        Err(refusal) => refusal.answer(),
    }
}

async fn file_of_the_card(guard: &Guard, asset: assets::Asset) -> Result<Answer, Refusal> {
    guard.check_method(Use::Look)?;
    let visit = assets::AssetRequest {
        frame_ancestors: &SpinVariables.text("frame_ancestors").await?,
        token_origins: SpinVariables.list("allowed_origins").await?,
        site: guard.header(&SITE),
        known: guard.header(&IF_NONE_MATCH),
    };
    Ok(assets::answer(asset, &visit))
}

async fn answer(guard: &mut Guard, path: &str, query: &str) -> Result<Answer, Refusal> {
    if let Some(action) = order::action(path) {
        return act(guard, action).await;
    }
    if let Some(id) = path.strip_prefix("/status/files/") {
        return file(guard, id).await;
    }
    match path {
        "/status" => status(guard).await,
        "/status/files" => files(guard, query).await,
        "/metrics" => metrics(guard).await,
        "/certificate.json" => certificate(guard).await,
        _ => Err(Refusal::NotFound(
            json!({ "error": "there is nothing here; see /status" }),
        )),
    }
}

async fn status(guard: &Guard) -> Result<Answer, Refusal> {
    let (reading, caller) = look(guard).await?;
    let server_time = reading.server_time.to_rfc3339();
    let document = Document::of(reading, caller.is_some());
    let tag = document.tag();
    let answer = json_answer(StatusCode::OK, &document);
    let mut answer = unless_known(answer, &tag, guard.header(&IF_NONE_MATCH));
    if let Ok(server_time) = HeaderValue::from_str(&server_time) {
        answer.headers_mut().insert(SERVER_TIME, server_time);
    }
    Ok(answer)
}

async fn metrics(guard: &Guard) -> Result<Answer, Refusal> {
    let (reading, _) = look(guard).await?;
    Ok(platform::document(
        metrics::CONTENT_TYPE,
        metrics::metrics(&reading),
    ))
}

/// Reads the status for the caller, as far as the caller may see it. What Postgres says about a failure is
/// only for admins and the log.
async fn look(guard: &Guard) -> Result<(Reading, Option<Caller>), Refusal> {
    let postgres = SpinPostgres::configured().await;
    let caller = guard.admit_to_look(is_open().await?, &postgres).await?;
    // Strangers do not learn of problems with the tables.
    let postgres = match caller {
        Some(_) => guard.ready(postgres).await?,
        None => postgres?,
    };
    let read = match caller {
        // Holders of a service key cause no flood and may need the current state, so they bypass the shared
        // reading.
        Some(Caller::Service(_)) => status::read(&postgres).await,
        Some(Caller::User { .. }) | None => {
            drop(postgres);
            let shared = shared::read().await;
            shared.map(|reading| Reading::clone(&reading))
        }
    };
    match (read, caller) {
        (Ok(reading), Some(_)) => Ok((reading, caller)),
        (Ok(reading), None) => Ok((for_strangers(reading), None)),
        (Err(fault), Some(_)) => Err(fault.into()),
        (Err(fault), None) => {
            let words = format!("the status could not be read: {fault}");
            log(Level::Error, JOB, &words).await;
            let told = "the status cannot be read just now: the component's log says why";
            Err(Fault::new(fault.kind(), told).into())
        }
    }
}

/// The state of one file. Never public, because files have names.
async fn file(guard: &Guard, id: &str) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    guard.admit_to(Use::Look, &postgres).await?;
    let postgres = guard.ready(postgres).await?;
    let id = id
        .parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or(Refusal::Malformed(
            "the id of an attachment in Odoo is a positive number",
        ))?;
    match status::file(&postgres, id).await? {
        Some(file) => Ok(json_answer(StatusCode::OK, &file)),
        None => Err(Refusal::NotFound(
            json!({ "error": "no attachment of this id was found in Odoo so far", "id": id }),
        )),
    }
}

/// The files that wait for a person. Never public, as [`file`].
async fn files(guard: &Guard, query: &str) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    guard.admit_to_look(false, &postgres).await?;
    let postgres = guard.ready(postgres).await?;
    let page = files::Page::parse(query).map_err(Refusal::Malformed)?;
    let read = status::files_for_people(&postgres, page.kind, page.after_id, page.most).await?;
    Ok(json_answer(StatusCode::OK, &page.of(read)))
}

/// The result of the newest final check. Never public, because it names what is missing.
async fn certificate(guard: &Guard) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    guard.admit_to(Use::Look, &postgres).await?;
    let postgres = guard.ready(postgres).await?;
    Ok(json_answer(
        StatusCode::OK,
        &status::certificate(&postgres).await?,
    ))
}

async fn act(guard: &mut Guard, action: status::Action) -> Result<Answer, Refusal> {
    let postgres = SpinPostgres::configured().await;
    let caller = guard.admit(&postgres).await?;
    let postgres = guard.ready(postgres).await?;
    let body = guard.body().await?;
    let user_id = match caller {
        Caller::Service(_) => None,
        Caller::User { id, .. } => Some(id),
    };
    let order = order::order(action, &body, user_id)
        .map_err(|words| Refusal::Request(words.to_string()))?;
    let done = status::act(&postgres, &order).await?;
    shared::forget();
    // A failed action conflicts with the current state; the request itself was valid.
    let status = if done.ok {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    Ok(json_answer(status, &done))
}

async fn is_open() -> Result<bool, Refusal> {
    Ok(SpinVariables
        .value("status_public", "true or false")
        .await?)
}
