//! A plain HTTP client, and what Odoo and Storage are asked with it.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Task, variable};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type OutBody = UnsyncBoxBody<Bytes, BoxError>;
pub(super) type Plain = Client<HttpConnector, OutBody>;

/// A client that keeps its connections, and sends at once what it has.
pub(super) fn client() -> Plain {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A body that is here.
pub(super) fn whole(bytes: impl Into<Bytes>) -> OutBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The two servers, as anybody would ask them.
#[derive(Clone)]
pub(super) struct Servers {
    client: Plain,
    odoo_url: String,
    database: String,
    login: String,
    password: String,
    uid: i64,
    cookie: String,
    objects_url: String,
    storage_key: String,
}

/// What is known of a file before it is fetched.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Listed {
    pub(super) id: i64,
    pub(super) checksum: String,
    pub(super) mimetype: String,
}

/// How many files are listed by one call.
const PAGE: usize = 1000;

impl Servers {
    pub(super) fn of(task: &Task) -> Result<Self> {
        let text = |name: &str| variable(task, name);
        Ok(Self {
            client: client(),
            odoo_url: text("odoo_url")?,
            database: text("odoo_database")?,
            login: text("odoo_login")?,
            password: text("odoo_password")?,
            uid: 0,
            cookie: String::new(),
            objects_url: format!(
                "{}{}/object/{}",
                text("storage_url")?,
                text("storage_path")?,
                text("storage_bucket")?
            ),
            storage_key: text("storage_key")?,
        })
    }

    /// Logs in by JSON-RPC.
    pub(super) async fn log_in(&mut self) -> Result<()> {
        let arguments = json!([self.database, self.login, self.password, {}]);
        let uid = self.rpc("common", "authenticate", arguments).await?;
        self.uid = uid.as_i64().context("Odoo refused the login")?;
        Ok(())
    }

    /// Opens a web session.
    pub(super) async fn open_session(&mut self) -> Result<()> {
        let login = json!({ "params": {
            "db": self.database, "login": self.login, "password": self.password,
        }});
        let url = format!("{}/web/session/authenticate", self.odoo_url);
        let response = self.send(post_json(&url, &login)?).await?;
        let cookie = response
            .headers()
            .get(SET_COOKIE)
            .context("Odoo opened no session")?;
        cookie
            .to_str()?
            .split(';')
            .next()
            .unwrap_or_default()
            .clone_into(&mut self.cookie);
        response.into_body().collect().await?;
        Ok(())
    }

    /// All files.
    pub(super) async fn list(&self) -> Result<Vec<Listed>> {
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let last = all.last().map_or(0, |file| file.id);
            let named = json!({
                "domain": [["res_field", "=", false], ["id", ">", last]],
                "fields": ["checksum", "mimetype"], "limit": PAGE, "order": "id",
            });
            let page = self.on_attachments("search_read", json!([]), named).await?;
            let page: Vec<Listed> = serde_json::from_value(page)?;
            let at_end = page.len() < PAGE;
            all.extend(page);
            if at_end {
                return Ok(all);
            }
        }
    }

    /// A file's `datas`, by a call of its own.
    pub(super) async fn datas(&self, id: i64) -> Result<String> {
        let named = json!({"fields": ["datas"]});
        let mut records = self.on_attachments("read", json!([[id]]), named).await?;
        match records.pointer_mut("/0/datas").map(Value::take) {
            Some(Value::String(datas)) => Ok(datas),
            _ => anyhow::bail!("Odoo gave no content of {id}"),
        }
    }

    /// A file's content as it comes.
    pub(super) async fn content(&self, id: i64) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .uri(format!("{}/web/content/{id}", self.odoo_url))
            .header(COOKIE, &self.cookie)
            .body(whole(Bytes::new()))?;
        let response = self.send(request).await?;
        ensure!(response.status() == 200, "{id}: {}", response.status());
        Ok(response)
    }

    /// Stores an object, and waits until that is confirmed.
    pub(super) async fn store(
        &self,
        file: &Listed,
        length: Option<u64>,
        body: OutBody,
    ) -> Result<()> {
        let folder = file.checksum.get(..2).unwrap_or_default();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/{folder}/{}", self.objects_url, file.checksum))
            .header(AUTHORIZATION, format!("Bearer {}", self.storage_key))
            .header(CONTENT_TYPE, &file.mimetype);
        if let Some(length) = length {
            request = request.header(http::header::CONTENT_LENGTH, length);
        }
        let response = self.send(request.body(body)?).await?;
        let status = response.status();
        let said = response.into_body().collect().await?.to_bytes();
        ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&said));
        Ok(())
    }

    async fn on_attachments(&self, method: &str, positional: Value, named: Value) -> Result<Value> {
        let arguments = json!([
            self.database,
            self.uid,
            self.password,
            "ir.attachment",
            method,
            positional,
            named
        ]);
        self.rpc("object", "execute_kw", arguments).await
    }

    async fn rpc(&self, service: &str, method: &str, arguments: Value) -> Result<Value> {
        let call = json!({
            "jsonrpc": "2.0", "method": "call", "id": 1,
            "params": { "service": service, "method": method, "args": arguments },
        });
        let url = format!("{}/jsonrpc", self.odoo_url);
        let response = self.send(post_json(&url, &call)?).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&body)?;
        if let Some(error) = answer.get("error") {
            anyhow::bail!("Odoo: {error}");
        }
        Ok(answer
            .get_mut("result")
            .map(Value::take)
            .unwrap_or_default())
    }

    async fn send(&self, request: Request<OutBody>) -> Result<Response<Incoming>> {
        Ok(self.client.request(request).await?)
    }
}

fn post_json(url: &str, document: &Value) -> Result<Request<OutBody>> {
    Ok(Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(CONTENT_TYPE, "application/json")
        .body(whole(document.to_string()))?)
}
