//! The compiled components answer as `components/openapi.json` says, and the examples of `docs/http.md` are
//! what happens: every documented answer is provoked, and any other one fails.

use anyhow::{Context, Result, ensure};
use docs_tests::{Contract, Document};
use futures::future::try_join_all;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use stage::{Answer, Caller, Host, JWT_SECRET, SERVICE_KEY, Stage, token_of, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::odoo::{self, Attachments};

use crate::running::{Environment, sh};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];
const ACT: &str = "/actions/{action}";
const FILES: &str = "/status/files";
const FILE: &str = "/status/files/{id}";
const CHECK: &str = "/check";
const CERTIFICATE: &str = "/certificate.json";

/// The app, and what it should answer.
struct Interface {
    stage: Stage,
    contract: Contract,
}

/// A call: the documented path, and the one that is called.
struct Call<'a> {
    method: Method,
    path: &'a str,
    at: String,
    headers: Vec<(&'a str, String)>,
    body: &'a str,
}

impl<'a> Call<'a> {
    fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            at: path.replace("{id}", "12"),
            headers: vec![("authorization", bearer(SERVICE_KEY))],
            body: "",
        }
    }

    fn post(path: &'a str, body: &'a str) -> Self {
        Self {
            method: Method::POST,
            at: path.replace("{action}", "pause"),
            body,
            ..Self::get(path)
        }
    }

    fn at(mut self, at: &str) -> Self {
        self.at = at.to_owned();
        self
    }

    fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn without_a_key(mut self) -> Self {
        self.headers.clear();
        self
    }

    fn by(self, token: &str) -> Self {
        let nobody = self.without_a_key();
        nobody.with("authorization", bearer(token))
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

impl Interface {
    async fn open() -> Result<Self> {
        let odoo = odoo::Options {
            attachments: Attachments::of(30),
            ..odoo::Options::default()
        };
        let stage = Stage::builder()
            .odoo(odoo)
            .variable("jwt_secret", JWT_SECRET)
            .start()
            .await?;
        stage.odoo.fill_pipeline(12);
        let scheduled = format!(
            "select odoo_sync.rotate_key(); select * from odoo_sync.schedule('{}')",
            stage.url()
        );
        stage.owner.batch_execute(&scheduled).await?;
        Ok(Self {
            stage,
            contract: Contract::open()?,
        })
    }

    /// Calls the app, and fails unless this is the answer, and documented.
    async fn call(&mut self, call: Call<'_>, status: u16) -> Result<Answer> {
        let caller = self.stage.caller().clone();
        self.call_at(&caller, call, status).await
    }

    /// The same of a replica.
    async fn call_at(&mut self, caller: &Caller, call: Call<'_>, status: u16) -> Result<Answer> {
        let headers: Vec<_> = call
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = caller
            .send(
                call.method.clone(),
                &call.at,
                &headers,
                call.body.to_owned(),
            )
            .await?;
        self.check(&call.method, call.path, &answer, status)?;
        Ok(answer)
    }

    fn check(&mut self, method: &Method, path: &str, answer: &Answer, status: u16) -> Result<()> {
        ensure!(
            answer.status == status,
            "{path}: {} instead of {status}: {}",
            answer.status,
            answer.text()
        );
        self.contract.check(method, path, answer)
    }

    async fn replica(&self, variables: &[(&str, &str)]) -> Result<(Host, Caller)> {
        self.stage.replica(variables).await
    }

    /// Waits until what goes on after an answer is over.
    async fn is_at_rest(&self) -> Result<()> {
        let running = "select count(*) from odoo_sync.runs where outcome = 'running'";
        until("nothing runs", async || {
            Ok(self.stage.count(running).await? == 0)
        })
        .await
    }
}

/// What comes back on a connection to which this was written, as it stands.
async fn raw(stage: &Stage, request: &str) -> Result<Answer> {
    let address = stage.url().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut told = Vec::new();
    // Chunked or not, the answer's object is one; the connection itself may stay open.
    while !told.contains(&b'}') {
        ensure!(
            connection.read_buf(&mut told).await? > 0,
            "closed without an answer"
        );
    }
    let text = String::from_utf8(told)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("no status")?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(http::HeaderName::try_from(name)?, value.parse()?);
    }
    let object = body.find('{').zip(body.rfind('}'));
    let (begin, end) = object.context("no object")?;
    Ok(Answer {
        status: StatusCode::from_bytes(status.as_bytes())?,
        headers,
        body: body[begin..=end].to_owned().into(),
    })
}

fn head(at: &str, rest: &str) -> String {
    format!(
        "POST {at} HTTP/1.1\r\nhost: sync\r\nauthorization: {}\r\n{rest}",
        bearer(SERVICE_KEY)
    )
}

#[tokio::test]
async fn every_documented_answer_is_given_and_no_other() -> Result<()> {
    let mut app = Interface::open().await?;
    what_is_done(&mut app).await?;
    what_is_shown(&mut app).await?;
    who_is_refused(&mut app).await?;
    what_is_no_order(&mut app).await?;
    what_is_out_of_order(&mut app).await?;
    app.contract.all_were_seen()
}

async fn what_is_done(app: &mut Interface) -> Result<()> {
    let modes = [
        (
            "/archive-batch",
            ["discover", "dry_run", "migrate", "retry_failed", "verify"],
        ),
        (
            "/crm-sync",
            ["dry_run", "incremental", "full", "missing", "validate"],
        ),
        (
            "/chatter-sync",
            ["dry_run", "incremental", "full", "missing", "validate"],
        ),
    ];
    for (path, modes) in modes {
        for mode in modes {
            let body = json!({ "mode": mode }).to_string();
            let report = app.call(Call::post(path, &body), 200).await?.json();
            assert_eq!(report["status"], "success", "{path} {mode}: {report}");
        }
        app.call(Call::post(path, "").with("prefer", "respond-async"), 202)
            .await?;
        app.is_at_rest().await?;
        let pause = json!({ "job": path.trim_start_matches('/') }).to_string();
        app.call(Call::post(ACT, &pause), 200).await?;
        assert_eq!(
            app.call(Call::post(path, "{}"), 200).await?.json()["status"],
            "paused"
        );
        app.call(Call::post(ACT, &pause).at("/actions/run"), 409)
            .await?;
        app.call(Call::post(ACT, &pause).at("/actions/resume"), 200)
            .await?;
    }
    for (alias, of) in [
        ("/functions/v1/archive-odoo-files", "/archive-batch"),
        ("/functions/v1/odoo-crm-sync", "/crm-sync"),
        ("/functions/v1/odoo-chatter-sync", "/chatter-sync"),
    ] {
        assert_eq!(app.contract.canonical(alias), of);
        app.call(Call::post(alias, "{}"), 200).await?;
    }
    app.call(Call::post(ACT, "").at("/actions/retry"), 200)
        .await?;
    app.call(Call::post(ACT, "").at("/actions/run"), 200)
        .await?;
    Ok(())
}

async fn what_is_shown(app: &mut Interface) -> Result<()> {
    let tag = app
        .call(Call::get("/status"), 200)
        .await?
        .header("etag")
        .to_owned();
    app.call(Call::get("/status").with("if-none-match", tag), 304)
        .await?;
    app.call(Call::get("/metrics"), 200).await?;
    app.call(Call::post(CHECK, ""), 200).await?;
    app.call(Call::post(CHECK, r#"{"daily": true}"#), 202)
        .await?;
    app.call(Call::get(CERTIFICATE), 200).await?;
    let check = Call::post(ACT, "").at("/actions/final-check");
    app.call(check, 200).await?;
    let again = Call::post(ACT, r#"{"read_data": true}"#).at("/actions/final-check");
    app.call(again, 409).await?;
    let accepted = r#"{"entity": "attachments", "kind": "dead"}"#;
    let accepted = Call::post(ACT, accepted).at("/actions/acknowledge");
    app.call(accepted, 409).await?;
    let nothing = Call::post(ACT, "{}").at("/actions/acknowledge");
    app.call(nothing, 422).await?;
    app.call(Call::get(CERTIFICATE), 200).await?;
    app.call(Call::get("/healthz").without_a_key(), 200).await?;
    app.call(Call::get(FILES), 200).await?;
    app.call(Call::get(FILES).at("/status/files?limit=0"), 400)
        .await?;
    app.call(Call::get(FILE), 200).await?;
    app.call(Call::get(FILE).at("/status/files/0"), 400).await?;
    app.call(Call::get(FILE).at("/status/files/99999"), 404)
        .await?;
    let by_apikey = Call::get(FILE).without_a_key().with("apikey", SERVICE_KEY);
    app.call(by_apikey, 200).await?;
    let files = app.contract.document()["paths"]["/card/{file}"]["get"]["parameters"][0]["schema"]
        ["enum"]
        .clone();
    let files = files
        .as_array()
        .context("no files")?
        .iter()
        .filter_map(Value::as_str);
    let mut assets = vec![
        ("/", "/".to_owned()),
        ("/status.schema.json", "/status.schema.json".to_owned()),
        ("/setup.md", "/setup.md".to_owned()),
        ("/certificate", "/certificate".to_owned()),
        ("/files", "/files".to_owned()),
    ];
    assets.extend(files.map(|file| ("/card/{file}", format!("/card/{file}"))));
    for (path, at) in assets {
        let file = app
            .call(Call::get(path).without_a_key().at(&at), 200)
            .await?;
        let again = Call::get(path)
            .without_a_key()
            .at(&at)
            .with("if-none-match", file.header("etag"));
        app.call(again, 304).await?;
    }

    // An open status is open for looking, and holds no names.
    let (_host, open) = app.replica(&[("status_public", "true")]).await?;
    for path in ["/status", "/metrics"] {
        app.call_at(&open, Call::get(path).without_a_key(), 200)
            .await?;
    }
    Ok(())
}

async fn who_is_refused(app: &mut Interface) -> Result<()> {
    let user: String = app
        .stage
        .owner
        .query_one(
            "insert into auth.users default values returning id::text",
            &[],
        )
        .await?
        .try_get(0)?;
    let user = token_of(&user)?;
    // Postgres is away: who shows a key that only Postgres knows cannot be checked.
    let (_host, away) = app.replica(&[("db_port", "1")]).await?;
    for path in ["/status", "/metrics", FILES, FILE, CERTIFICATE] {
        app.call(Call::get(path).without_a_key(), 401).await?;
        app.call(Call::get(path).by(&user), 403).await?;
        app.call_at(&away, Call::get(path).by("another-key"), 503)
            .await?;
    }
    for path in JOBS.into_iter().chain([ACT, CHECK]) {
        app.call(Call::post(path, "{}").without_a_key(), 401)
            .await?;
        app.call(Call::post(path, "{}").by(&user), 403).await?;
        app.call_at(&away, Call::post(path, "{}").by("another-key"), 503)
            .await?;
    }
    Ok(())
}

async fn what_is_no_order(app: &mut Interface) -> Result<()> {
    let long = " ".repeat(64 * 1024 + 1);
    let paths: Vec<_> = JOBS.into_iter().chain([ACT, CHECK]).collect();
    let at: Vec<_> = paths
        .iter()
        .map(|path| path.replace("{action}", "pause"))
        .collect();
    for (path, at) in paths.iter().zip(&at) {
        app.call(Call::post(path, "[1"), 422).await?;
        app.call(Call::post(path, &long), 413).await?;
        let broken = "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\nno length\r\n";
        let answer = raw(&app.stage, &head(at, broken)).await?;
        app.check(&Method::POST, path, &answer, 400)?;
    }
    // Bodies that do not come are waited for side by side.
    let slow: Vec<_> = at
        .iter()
        .map(|at| head(at, "content-length: 9\r\n\r\n{"))
        .collect();
    let slow = slow.iter().map(|request| raw(&app.stage, request));
    for (path, answer) in paths.iter().zip(try_join_all(slow).await?) {
        app.check(&Method::POST, path, &answer, 408)?;
    }
    Ok(())
}

async fn what_is_out_of_order(app: &mut Interface) -> Result<()> {
    let (_unset, unset) = app.replica(&[("db_host", "postgres.invalid")]).await?;
    let (_wrong, wrong) = app.replica(&[("odoo_protocol", "smoke signals")]).await?;
    let (_away, away) = app.replica(&[("db_port", "1")]).await?;
    let (_no_odoo, no_odoo) = app.replica(&[("odoo_url", "http://127.0.0.1:1")]).await?;
    for path in JOBS {
        let answer = app
            .call_at(&unset, Call::post(path, "{}"), 500)
            .await?
            .json();
        assert_eq!(answer["kind"], "setting", "{answer}");
        let report = app
            .call_at(&wrong, Call::post(path, "{}"), 500)
            .await?
            .json();
        assert_eq!(report["fault"]["blame"], "configuration", "{report}");
        let report = app
            .call_at(&away, Call::post(path, "{}"), 502)
            .await?
            .json();
        assert_eq!(report["fault"]["kind"], "ledger_unreachable", "{report}");
        let report = app
            .call_at(&no_odoo, Call::post(path, "{}"), 502)
            .await?
            .json();
        assert_eq!(report["fault"]["kind"], "source_unreachable", "{report}");
    }
    for path in ["/status", "/metrics", FILES, FILE, CERTIFICATE] {
        app.call_at(&unset, Call::get(path), 500).await?;
        app.call_at(&away, Call::get(path), 502).await?;
    }
    app.call_at(&unset, Call::post(ACT, "{}"), 500).await?;
    app.call_at(&away, Call::post(ACT, "{}"), 502).await?;
    Ok(())
}

#[tokio::test]
async fn other_methods_are_refused_by_name_and_other_paths_are_not_there() -> Result<()> {
    let app = Interface::open().await?;
    let caller = app.stage.caller();
    let key = bearer(SERVICE_KEY);
    let key = [("authorization", key.as_str())];
    for path in app.contract.paths() {
        if path == "/healthz" {
            for method in [Method::POST, Method::HEAD, Method::OPTIONS] {
                let answer = caller.send(method, &path, &[], "").await?;
                assert_eq!(answer.status, StatusCode::OK);
            }
            continue;
        }
        let at = path
            .replace("{id}", "12")
            .replace("{action}", "run")
            .replace("{file}", "card.js");
        let (right, wrong) = if app.contract.operations(&path).contains_key("post") {
            ("POST", Method::GET)
        } else {
            ("GET", Method::POST)
        };
        for method in [wrong, Method::DELETE] {
            let answer = caller.send(method, &at, &key, "").await?;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert!(answer.header("allow").contains(right), "{path}");
        }
        if right == "GET" {
            let whole = caller.send(Method::GET, &at, &key, "").await?;
            let head = caller.send(Method::HEAD, &at, &key, "").await?;
            assert_eq!(head.status, whole.status, "{path}");
        }
        let preflight = caller.send(Method::OPTIONS, &at, &[], "").await?;
        assert_eq!(preflight.status, StatusCode::NO_CONTENT, "{path}");
    }
    for path in ["/nowhere", "/actions/fly", "/card/secret.js"] {
        let answer = caller.send(Method::GET, path, &key, "").await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_examples_are_what_happens() -> Result<()> {
    let app = Interface::open().await?;
    let environment = Environment::from([
        ("SYNC_URL", app.stage.url()),
        ("SYNC_KEY", SERVICE_KEY.to_owned()),
    ]);
    let document = Document::open("docs/http.md")?;
    let mut printed = String::new();
    let mut compared = 0;
    for block in document
        .chapter("HTTP interface")
        .iter()
        .flat_map(|section| &section.blocks)
    {
        if block.language == "sh" {
            printed = sh(block, &environment).await?;
            app.is_at_rest().await?;
            continue;
        }
        let told: Value = serde_json::from_str(&block.text).with_context(|| block.text.clone())?;
        let given: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        assert_eq!(shape(&told), shape(&given), "{printed}");
        compared += 1;
    }
    assert!(compared >= 4, "{compared}");
    Ok(())
}

/// The keys of an object, and what kind of value each has.
fn shape(value: &Value) -> Vec<(String, &'static str)> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    let keys = value.as_object().into_iter().flatten();
    keys.map(|(key, value)| (key.clone(), kind(value)))
        .collect()
}
