//! `GET /status`, `/status/files/{id}`, `/metrics`, `/healthz`, the card with its files, and
//! `POST /actions/…`: everything that people look at, and what they do about it.

mod assets;
mod document;
mod metrics;
mod order;
mod pace;
mod remedy;
mod stranger;
mod verdict;

use access::Caller;
use document::Document;
use fault::Fault;
use http::header::{HeaderValue, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use ledger::Postgres;
use ledger::status::{self, Reading};
use platform::{Answer, Door, Use, plain_json, unless_known};
use serde_json::json;
use spin_sdk::http_service;
use stranger::for_strangers;

/// The name under which refused calls are on record.
const JOB: &str = "status-api";

/// The variables of this component beside those of its door.
const VARIABLES: [&str; 2] = ["status_public", "frame_ancestors"];

/// Postgres' clock, also on a 304, whose document the caller has from before.
const SERVER_TIME: HeaderName = HeaderName::from_static("x-server-time");

#[http_service]
async fn handle(request: spin_sdk::http::Request) -> Answer {
    let path = request.uri().path().to_owned();
    if path == "/healthz" {
        return plain_json(StatusCode::OK, &json!({ "status": "ok" }));
    }
    match Door::receive(JOB, request, &VARIABLES).await {
        Ok(mut door) => {
            if let Some(asset) = assets::asset(&path) {
                return door.check_method(Use::Look).map_or_else(
                    |answer| answer,
                    |()| {
                        assets::answer(
                            asset,
                            door.variables().text("frame_ancestors"),
                            door.header(&IF_NONE_MATCH),
                        )
                    },
                );
            }
            let answered = answer(&mut door, &path).await;
            door.open_to_browsers(answered.unwrap_or_else(|refusal| refusal))
        }
        Err(answer) => answer,
    }
}

async fn answer(door: &mut Door, path: &str) -> Result<Answer, Answer> {
    if let Some(action) = order::action(path) {
        return act(door, action).await;
    }
    if let Some(id) = path.strip_prefix("/status/files/") {
        return file(door, id).await;
    }
    match path {
        "/status" => status(door).await,
        "/metrics" => metrics(door).await,
        _ => Err(door.answer(
            StatusCode::NOT_FOUND,
            &json!({ "error": "there is nothing here; see /status" }),
        )),
    }
}

async fn status(door: &Door) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    let caller = door.admit_to_look(is_open(door)?, &postgres).await?;
    // What is wrong with the tables is nothing to strangers.
    let postgres = match caller {
        Some(_) => door.ready(postgres).await?,
        None => postgres.map_err(|fault| door.fault(&fault))?,
    };
    let reading = read(door, &postgres, caller).await?;
    let server_time = reading.server_time.to_rfc3339();
    let document = Document::of(reading, caller.is_some());
    let tag = document.tag();
    let answer = door.answer(StatusCode::OK, &document);
    let mut answer = unless_known(answer, &tag, door.header(&IF_NONE_MATCH));
    if let Ok(server_time) = HeaderValue::from_str(&server_time) {
        answer.headers_mut().insert(SERVER_TIME, server_time);
    }
    Ok(answer)
}

async fn metrics(door: &Door) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    let caller = door.admit_to_look(is_open(door)?, &postgres).await?;
    // What is wrong with the tables is nothing to strangers.
    let postgres = match caller {
        Some(_) => door.ready(postgres).await?,
        None => postgres.map_err(|fault| door.fault(&fault))?,
    };
    let reading = read(door, &postgres, caller).await?;
    Ok(platform::document(
        metrics::CONTENT_TYPE,
        metrics::metrics(&reading),
    ))
}

/// How things stand, as far as the caller may see it. What Postgres says of a failure is for admins,
/// and in the log.
async fn read(
    door: &Door,
    postgres: &impl Postgres,
    caller: Option<Caller>,
) -> Result<Reading, Answer> {
    match (status::read(postgres).await, caller) {
        (Ok(reading), Some(_)) => Ok(reading),
        (Ok(reading), None) => Ok(for_strangers(reading)),
        (Err(fault), Some(_)) => Err(door.fault(&fault)),
        (Err(fault), None) => {
            println!("the status could not be read: {fault}");
            let told = "the status cannot be read just now: the component's log says why";
            Err(door.fault(&Fault::new(fault.kind(), told)))
        }
    }
}

/// Where a file is. Names of files are nothing for anyone: this is never open.
async fn file(door: &Door, id: &str) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    door.admit_to(Use::Look, &postgres).await?;
    let postgres = door.ready(postgres).await?;
    let id = id.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
        door.answer(
            StatusCode::BAD_REQUEST,
            &json!({ "error": "the id of an attachment in Odoo is a positive number" }),
        )
    })?;
    match status::file(&postgres, id).await {
        Ok(Some(file)) => Ok(door.answer(StatusCode::OK, &file)),
        Ok(None) => Err(door.answer(
            StatusCode::NOT_FOUND,
            &json!({ "error": "no attachment of this id was found in Odoo so far", "id": id }),
        )),
        Err(fault) => Err(door.fault(&fault)),
    }
}

async fn act(door: &mut Door, action: status::Action) -> Result<Answer, Answer> {
    let postgres = door.postgres();
    let caller = door.admit(&postgres).await?;
    let postgres = door.ready(postgres).await?;
    let body = door.body().await?;
    let user_id = match caller {
        Caller::Service(_) => None,
        Caller::User { id, .. } => Some(id),
    };
    let order = order::order(action, &body, user_id).map_err(|words| {
        door.answer(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "error": words }))
    })?;
    let done = status::act(&postgres, &order)
        .await
        .map_err(|fault| door.fault(&fault))?;
    // What stands against it is the state of things, not the call.
    let status = if done.ok {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    Ok(door.answer(status, &done))
}

fn is_open(door: &Door) -> Result<bool, Answer> {
    door.variables()
        .value("status_public", "true or false")
        .map_err(|fault| door.fault(&fault))
}
