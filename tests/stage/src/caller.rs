//! Calling the app over HTTP.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::secrecy::Watch;

/// A caller without kept connections: on those, each answer of a guest that awaited anything stalls
/// for 44 ms (head and body leave in two writes, seen on Spin 4.1).
#[derive(Clone)]
pub struct Caller {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    watch: Watch,
}

/// What the app answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Caller {
    /// A caller of the app at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self::watched(address, Watch::default())
    }

    /// A caller whose tokens no answer may repeat, nor any other secret of a stage.
    pub(crate) fn watched(address: SocketAddr, watch: Watch) -> Self {
        Self {
            address,
            watch,
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        }
    }

    /// Sends any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
            if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("apikey") {
                let token = value.split_once(' ').map_or(*value, |(_, token)| token);
                self.watch.learn("a token that was sent", token);
            }
        }
        let request = request.body(Full::new(body.into()))?;
        let response = self
            .client
            .request(request)
            .await
            .with_context(|| format!("no answer of the app at {}", self.address))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("the answer broke off")?;
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        };
        let place = format!("the answer of {path}");
        for value in answer.headers.values() {
            self.watch.look(&place, value.as_bytes());
        }
        self.watch.look(&place, &answer.body);
        Ok(answer)
    }

    /// A POST of JSON with a bearer token.
    pub async fn post(&self, path: &str, token: &str, body: &str) -> Result<Answer> {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        self.send(Method::POST, path, &headers, body.to_owned())
            .await
    }

    /// A GET with a bearer token, or without one.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        self.send(Method::GET, path, &headers, Bytes::new()).await
    }
}
