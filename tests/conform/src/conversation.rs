//! How an exchange goes: each step is filled, asked and compared.

use std::time::{Duration, Instant};

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::client::{Answer, Ask};
use crate::fixtures::Fixtures;
use crate::pattern::{differs, like, shorten};
use crate::report::{Difference, Report};
use crate::table::{Caller, Exchange, Expect, Step};

/// What came back.
#[derive(Debug)]
pub(crate) enum Came {
    /// An HTTP answer.
    Http(Answer),
    /// An answer of JSON-RPC.
    Rpc(Answer),
    /// An answer of JSON-2.
    Json2(Answer),
    /// The rows of a statement, all as text.
    Rows(Vec<Vec<Option<String>>>),
    /// A statement was refused.
    Refused {
        code: String,
        message: String,
        hint: String,
    },
    /// The connection ended.
    Dropped(String),
}

/// Whom exchanges are asked of.
pub(crate) trait Target {
    /// Asks one step. The inner error: it cannot be asked here, and why.
    fn ask(
        &self,
        caller: Caller,
        step: &Step,
    ) -> impl Future<Output = Result<Result<Came, String>>>;
}

/// Runs exchanges in their order, and adds to the report what came of them.
pub(crate) async fn run(
    target: &impl Target,
    exchanges: &[Exchange],
    fixtures: &Fixtures,
    read_only: bool,
    report: &mut Report,
) -> Result<()> {
    for exchange in exchanges {
        let name = exchange.name.clone();
        if read_only && exchange.writes {
            report.skipped.push((name, "it writes".to_owned()));
            continue;
        }
        match one(target, exchange, fixtures.clone()).await? {
            Outcome::Passed => report.passed.push(name),
            Outcome::Differs(what) => report.differences.push(Difference { name, what }),
            Outcome::Skipped(why) => report.skipped.push((name, why)),
        }
    }
    Ok(())
}

enum Outcome {
    Passed,
    Differs(String),
    Skipped(String),
}

async fn one(target: &impl Target, exchange: &Exchange, mut fixtures: Fixtures) -> Result<Outcome> {
    for need in &exchange.needs {
        if let Err(why) = fixtures.fill_text(&format!("${{{need}}}")) {
            return Ok(Outcome::Skipped(why));
        }
    }
    let turns = |step: &Value| step.get("times").and_then(Value::as_u64).unwrap_or(1);
    let steps = exchange.steps.iter().enumerate();
    for (number, step, turn) in
        steps.flat_map(|(number, step)| (1..=turns(step)).map(move |turn| (number, step, turn)))
    {
        fixtures.set("turn", turn);
        let step = match fixtures.fill(step) {
            Ok(step) => serde_json::from_value::<Step>(step)?,
            Err(why) => return Ok(Outcome::Skipped(why)),
        };
        let caller = step.caller.unwrap_or(exchange.caller);
        let began = Instant::now();
        let came = loop {
            let at_once = (0..step.together.unwrap_or(1).max(1)).map(|_| target.ask(caller, &step));
            let came = try_join_all(at_once).await?.into_iter().collect();
            let (came, differs) = match came {
                Ok(came) => foremost(&step, came),
                Err(why) => return Ok(Outcome::Skipped(why)),
            };
            match differs {
                None => break came,
                Some(_) if began.elapsed() < Duration::from_secs(step.until) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Some(what) => {
                    let place = if exchange.steps.len() > 1 {
                        format!("step {}: ", number + 1)
                    } else {
                        String::new()
                    };
                    return Ok(Outcome::Differs(format!("{place}{what}")));
                }
            }
        };
        for (name, path) in &step.keep {
            match kept(&came, path) {
                Some(value) => fixtures.set(name, value),
                None => {
                    return Ok(Outcome::Differs(format!(
                        "step {}: the answer has no {path}",
                        number + 1
                    )));
                }
            }
        }
    }
    Ok(Outcome::Passed)
}

/// Of answers to the same question at the same time the one that is as expected, and how any of them is not what it
/// may be.
fn foremost(step: &Step, mut came: Vec<Came>) -> (Came, Option<String>) {
    let differs: Vec<_> = (came.iter().map(|came| compare(&step.expect, came))).collect();
    let first = differs.iter().position(Option::is_none).unwrap_or_default();
    let may_be = |came: &Came| {
        step.others
            .iter()
            .any(|other| compare(other, came).is_none())
    };
    let other = (came.iter().zip(&differs).enumerate())
        .filter(|(number, (came, differs))| *number != first && differs.is_some() && !may_be(came))
        .find_map(|(_, (_, differs))| differs.clone());
    let what = differs.get(first).cloned().flatten().or(other);
    (came.swap_remove(first), what)
}

fn kept(came: &Came, path: &str) -> Option<Value> {
    if let Some((path, mark)) = path.split_once(" after ") {
        let whole = kept(came, path)?;
        return Some(whole.as_str()?.split_once(mark)?.1.into());
    }
    match came {
        Came::Http(answer) | Came::Rpc(answer) | Came::Json2(answer) => {
            match path.strip_prefix("header ") {
                Some(name) => answer.header(name).map(Value::String),
                None => answer.json()?.pointer(path).cloned(),
            }
        }
        Came::Rows(rows) => rows.first()?.first()?.clone().map(Value::String),
        _ => None,
    }
}

/// How an answer is not what is expected; `None`: it is.
fn compare(expect: &Expect, came: &Came) -> Option<String> {
    match came {
        Came::Dropped(_) if expect.dropped => None,
        Came::Dropped(why) => Some(format!("expected an answer, {why}")),
        _ if expect.dropped => Some(format!(
            "expected the connection to end, came {}",
            told(came)
        )),
        Came::Http(answer) => head(expect, answer).or_else(|| content(expect, answer)),
        Came::Rpc(answer) => head(expect, answer).or_else(|| envelope(expect, answer)),
        Came::Json2(answer) => head(expect, answer).or_else(|| bare(expect, answer)),
        Came::Rows(rows) => rows_differ(expect, rows),
        Came::Refused {
            code,
            message,
            hint,
        } => {
            let Some(error) = &expect.error else {
                return Some(format!("expected rows, came {}", told(came)));
            };
            if !like(error, code) {
                return Some(format!("expected {error}, came {}", told(came)));
            }
            [
                ("message", &expect.message, message),
                ("hint", &expect.hint, hint),
            ]
            .into_iter()
            .find_map(|(what, expected, text)| text_differs(what, expected.as_deref(), text))
        }
    }
}

/// What came, on one line.
fn told(came: &Came) -> String {
    match came {
        Came::Http(answer) | Came::Rpc(answer) | Came::Json2(answer) => {
            format!("HTTP {} {}", answer.status, shorten(&answer.text()))
        }
        Came::Rows(rows) => shorten(&format!("rows {}", json!(rows))),
        Came::Refused {
            code,
            message,
            hint,
        } => shorten(&format!("{code} {message} {hint}")),
        Came::Dropped(why) => why.clone(),
    }
}

fn text_differs(what: &str, expected: Option<&str>, text: &str) -> Option<String> {
    let expected = expected.filter(|expected| !like(expected, text))?;
    Some(format!(
        "{what}: expected {expected:?}, came {:?}",
        shorten(text)
    ))
}

fn head(expect: &Expect, answer: &Answer) -> Option<String> {
    let status = expect.status.clone().unwrap_or_else(|| json!(200));
    if differs(&status, Some(&json!(answer.status))).is_some() {
        return Some(format!(
            "expected HTTP {status}, came {} {}",
            answer.status,
            shorten(&answer.text())
        ));
    }
    let content_type = expect
        .content_type
        .as_ref()
        .map(|pattern| ("content-type", pattern));
    let headers = expect
        .headers
        .iter()
        .map(|(name, pattern)| (name.as_str(), pattern));
    content_type
        .into_iter()
        .chain(headers)
        .find_map(|(name, pattern)| {
            let value = answer.header(name).map(Value::String);
            differs(&Value::String(pattern.clone()), value.as_ref())
                .map(|what| format!("{name}: {what}"))
        })
}

fn content(expect: &Expect, answer: &Answer) -> Option<String> {
    if let Some(expected) = &expect.json {
        let came = answer.json();
        if let Some(what) = differs(expected, came.as_ref()) {
            let body = if came.is_none() {
                shorten(&answer.text())
            } else {
                String::new()
            };
            return Some(format!("{what} {body}"));
        }
    }
    if let Some(expected) = &expect.length
        && let Some(what) = differs(expected, Some(&json!(answer.body.len())))
    {
        return Some(format!("length: {what}"));
    }
    if let Some(expected) = &expect.sha1 {
        let came = hex(&Sha1::digest(&answer.body));
        if *expected != came {
            return Some(format!(
                "expected the content {expected}, came {came} of {} bytes",
                answer.body.len()
            ));
        }
    }
    text_differs("body", expect.body.as_deref(), &answer.text())
}

/// Whether an error with this name and message was expected.
fn error_differs(expect: &Expect, name: &str, message: &str) -> Option<String> {
    let Some(expected) = &expect.error else {
        return Some(format!(
            "expected a result, came {name}: {}",
            shorten(message)
        ));
    };
    if !like(expected, name) {
        return Some(format!(
            "expected {expected}, came {name}: {}",
            shorten(message)
        ));
    }
    text_differs("message", expect.message.as_deref(), message)
}

fn result_differs(expect: &Expect, result: Option<&Value>) -> Option<String> {
    if let Some(error) = &expect.error {
        let came = result.map(Value::to_string).unwrap_or_default();
        return Some(format!(
            "expected {error}, came the result {}",
            shorten(&came)
        ));
    }
    match &expect.result {
        Some(expected) => differs(expected, result),
        None => None,
    }
}

/// An answer of JSON-RPC: an envelope with a result or an error, whatever went wrong.
fn envelope(expect: &Expect, answer: &Answer) -> Option<String> {
    if expect.body.is_some() || expect.json.is_some() {
        return content(expect, answer);
    }
    let Some(body) = answer.json() else {
        return Some(format!("expected JSON, came {}", shorten(&answer.text())));
    };
    if let Some(what) = differs(&json!({"jsonrpc": "2.0", "id": "$any"}), Some(&body)) {
        return Some(what);
    }
    let Some(error) = body.get("error") else {
        return result_differs(expect, body.get("result"));
    };
    let shape = json!({
        "message": "$text", "code": "$int", "data": {"name": "$text", "message": "$string", "debug": "$string", "arguments": "$list"}
    });
    if let Some(what) = differs(&shape, Some(error)) {
        return Some(what);
    }
    if let Some(code) = &expect.code
        && let Some(what) = differs(code, error.get("code"))
    {
        return Some(format!("code: {what}"));
    }
    let text = |name: &str| {
        error
            .pointer(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    error_differs(expect, text("/data/name"), text("/data/message"))
}

/// An answer of JSON-2: a bare value, or an error with a real status.
fn bare(expect: &Expect, answer: &Answer) -> Option<String> {
    if expect.body.is_some() || expect.json.is_some() {
        return content(expect, answer);
    }
    let Some(body) = answer.json() else {
        return Some(format!("expected JSON, came {}", shorten(&answer.text())));
    };
    if answer.status < 400 {
        return result_differs(expect, Some(&body));
    }
    let shape = json!({
        "name": "$text", "message": "$string", "debug": "$string", "arguments": "$list", "context": "$object"
    });
    if let Some(what) = differs(&shape, Some(&body)) {
        return Some(what);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    error_differs(expect, text("name"), text("message"))
}

fn rows_differ(expect: &Expect, rows: &[Vec<Option<String>>]) -> Option<String> {
    if let Some(error) = &expect.error {
        return Some(format!(
            "expected {error}, came {}",
            told(&Came::Rows(rows.to_vec()))
        ));
    }
    expect
        .rows
        .as_ref()
        .and_then(|expected| differs(expected, Some(&json!(rows))))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes that follow from their number, and are no text.
pub fn pattern_bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap_or_default())
        .collect()
}

/// The body that a step names.
pub(crate) fn body_of(step: &Step) -> Result<Bytes> {
    Ok(if let Some(json) = &step.json {
        json.to_string().into()
    } else if let Some(text) = &step.text {
        text.clone().into()
    } else if let Some(length) = step.bytes {
        pattern_bytes(length).into()
    } else if let Some(base64) = &step.base64 {
        BASE64_STANDARD.decode(base64)?.into()
    } else {
        Bytes::new()
    })
}

/// A request with the step's headers, and of `usual` those that it does not set itself.
pub(crate) fn ask(base: &str, line: &str, step: &Step, usual: &[(&str, String)]) -> Result<Ask> {
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let mut headers: Vec<(String, String)> = usual
        .iter()
        .filter(|(name, _)| {
            !step
                .headers
                .keys()
                .any(|own| own.eq_ignore_ascii_case(name))
        })
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let own = step.headers.iter().filter(|(_, value)| !value.is_empty());
    headers.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    let url = if path.starts_with("http") {
        path.to_owned()
    } else {
        format!("{base}{path}")
    };
    Ok(Ask {
        method: Method::from_bytes(method.as_bytes())?,
        url,
        headers,
        body: body_of(step)?,
        chunked: step.chunked,
        cut: step.cut,
    })
}
