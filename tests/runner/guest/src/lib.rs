//! A component that does what its path says, so that the runner's tests can look at the outcome.
#![cfg(target_family = "wasm")]

use std::{sync::Mutex, time::Duration};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use spin_sdk::{
    http::{self, IntoResponse, Request, StatusCode},
    http_service,
    pg::{Certificate, Connection, OpenOptions, ParameterValue},
    variables, wasip3,
};

/// What `/grow` took, kept for the life of the instance.
static GROWN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    match answer(request).await {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}

async fn answer(request: Request) -> Result<String> {
    let path = request.uri().path().to_owned();
    let (_, action) = path.rsplit_once('/').unwrap_or_default();
    let action = action.to_owned();
    let argument = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let uri = request.uri().clone();
    let body = request.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    match action.as_str() {
        "headers" => {
            let mut lines = vec![format!("uri: {uri}")];
            for (name, value) in &headers {
                lines.push(format!(
                    "{name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                ));
            }
            Ok(lines.join("\n"))
        }
        "variable" => Ok(variables::get(&argument).await?),
        "environment" => std::env::var(&argument).context("not set"),
        "execute" => {
            let count = database().await?.execute(body, Vec::new()).await?;
            Ok(count.to_string())
        }
        "query" => rows(&database().await?, &body, Vec::new()).await,
        "parameters" => rows(&database().await?, &body, parameters()).await,
        "connect" => {
            let options = OpenOptions {
                ca_root: (!body.is_empty()).then_some(Certificate::Text(body)),
            };
            let connection = Connection::open_with_options(&argument, options).await?;
            rows(&connection, "select 1", Vec::new()).await
        }
        "synchronous" => {
            use spin_sdk::pg::wit::postgres::Connection;
            Connection::open("host=x").map_err(|error| anyhow::anyhow!("{error:?}"))?;
            Ok("opened".to_owned())
        }
        "first-row" => {
            let mut result = database().await?.query(body, Vec::new()).await?;
            let first = result.next().await;
            drop(result);
            Ok(first.is_some().to_string())
        }
        "fetch" => fetch(&argument, body, None).await,
        "fetch-hastily" => fetch(&argument, body, Some(Duration::from_millis(100))).await,
        "print" => {
            println!("out: {argument}");
            eprintln!("err: {argument}");
            Ok(String::new())
        }
        "later" => {
            wasip3::spawn(async move {
                spin_sdk::time::sleep(Duration::from_millis(300)).await;
                println!("later: {argument}");
            });
            Ok("at once".to_owned())
        }
        "sleep" => {
            println!("sleeping");
            spin_sdk::time::sleep(Duration::from_millis(argument.parse()?)).await;
            println!("slept");
            Ok("slept".to_owned())
        }
        "grow" => {
            let mebibytes: usize = argument.parse()?;
            let mut grown = GROWN.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            grown.push(vec![1; mebibytes.saturating_mul(1024 * 1024)]);
            Ok(grown.len().to_string())
        }
        #[expect(clippy::panic, reason = "what is tried here")]
        "panic" => panic!("on purpose"),
        _ => anyhow::bail!("no such action: {action:?}"),
    }
}

async fn database() -> Result<Connection> {
    Ok(Connection::open(variables::get("database").await?).await?)
}

/// A value of each kind that the project sends.
fn parameters() -> Vec<ParameterValue> {
    vec![
        ParameterValue::Boolean(true),
        ParameterValue::Int16(-2),
        ParameterValue::Int32(-4),
        ParameterValue::Int64(-8),
        ParameterValue::Floating32(0.5),
        ParameterValue::Floating64(0.25),
        ParameterValue::Str("text".to_owned()),
        ParameterValue::Binary(vec![0, 255]),
        ParameterValue::Date((2024, 2, 29)),
        ParameterValue::Time((23, 59, 58, 123_456_000)),
        ParameterValue::Datetime((2024, 2, 29, 23, 59, 58, 123_456_000)),
        ParameterValue::Timestamp(1_700_000_000),
        ParameterValue::Uuid("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()),
        ParameterValue::Jsonb(br#"{"a":1}"#.to_vec()),
        ParameterValue::Decimal("12.50".to_owned()),
        ParameterValue::ArrayInt32(vec![Some(1), None]),
        ParameterValue::ArrayInt64(vec![Some(1), None]),
        ParameterValue::ArrayDecimal(vec![Some("1.5".to_owned()), None]),
        ParameterValue::ArrayStr(vec![Some("a,b".to_owned()), None]),
        ParameterValue::DbNull,
    ]
}

/// Names and values, a row a line.
async fn rows(
    connection: &Connection,
    statement: &str,
    parameters: Vec<ParameterValue>,
) -> Result<String> {
    let mut result = connection.query(statement, parameters).await?;
    let names: Vec<_> = result.columns().iter().map(|c| c.name.clone()).collect();
    let mut lines = vec![names.join(",")];
    while let Some(row) = result.rows().next().await {
        lines.push(format!("{row:?}"));
    }
    result.result().await?;
    Ok(lines.join("\n"))
}

async fn fetch(url: &str, body: String, limit: Option<Duration>) -> Result<String> {
    let request = ::http::Request::post(url).body(body)?;
    let response = match limit {
        None => http::send(request).await?,
        Some(limit) => {
            let options = wasip3::http::types::RequestOptions::new();
            let nanoseconds = limit.as_nanos().try_into()?;
            options
                .set_first_byte_timeout(Some(nanoseconds))
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            options
                .set_between_bytes_timeout(Some(nanoseconds))
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            let mut request = request;
            request
                .extensions_mut()
                .insert(wasip3::http_compat::RequestOptionsExtension(options));
            http::send(request).await?
        }
    };
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}
