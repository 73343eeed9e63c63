//! A small HTTP client that follows nothing and hides nothing.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a test's own tool"
)]

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}

/// Sends one request on a connection of its own. An error: the connection ended before the answer did.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, hyper::Error> {
    let uri: http::Uri = url.parse().unwrap();
    let stream = TcpStream::connect(uri.authority().unwrap().as_str())
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(uri.path_and_query().unwrap().as_str())
        .header("host", uri.authority().unwrap().as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Full::new(body.into())).unwrap())
        .await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// Calls `service.method` of `/jsonrpc`.
pub async fn rpc(url: &str, service: &str, method: &str, args: Value) -> Answer {
    let params = json!({"service": service, "method": method, "args": args});
    let body = json!({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}).to_string();
    send(
        "POST",
        &format!("{url}/jsonrpc"),
        &[("content-type", "application/json")],
        body,
    )
    .await
    .unwrap()
}

/// Calls a method of a model as the administrator.
pub async fn call(url: &str, model: &str, method: &str, args: Value, named: Value) -> Answer {
    rpc(
        url,
        "object",
        "execute_kw",
        json!(["odoo", 2, "admin", model, method, args, named]),
    )
    .await
}

/// The result of such a call.
pub async fn result(url: &str, model: &str, method: &str, args: Value, named: Value) -> Value {
    let answer = call(url, model, method, args, named).await;
    match answer.json().get_mut("result") {
        Some(result) => result.take(),
        None => panic!("no result: {}", answer.text()),
    }
}

/// The session cookie of a login.
pub async fn log_in(url: &str, login: &str, password: &str) -> Option<String> {
    let body =
        json!({"jsonrpc": "2.0", "params": {"db": "odoo", "login": login, "password": password}})
            .to_string();
    let url = format!("{url}/web/session/authenticate");
    let answer = send("POST", &url, &[("content-type", "application/json")], body)
        .await
        .unwrap();
    answer
        .header("set-cookie")
        .split(';')
        .next()
        .filter(|cookie| !cookie.is_empty())
        .map(str::to_owned)
}
