//! The guest, built and running, and a client for it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use runner::{App, Captured, Log, Options};

/// How long a test waits for what has to come, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The component's file, built once for all tests.
pub fn guest() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "runner-guest"])
            .args(["--target", "wasm32-wasip2", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(
            built.success(),
            "the guest does not build; is the target there? rustup target add wasm32-wasip2"
        );
        target.join("wasm32-wasip2/debug/runner_guest.wasm")
    })
}

/// A running guest.
pub struct Guest {
    pub app: App,
    pub log: Captured,
    client: Client<HttpConnector, Full<Bytes>>,
    _manifest: tempfile::TempDir,
}

/// How to run it.
#[derive(Default)]
pub struct Setting {
    /// Entries of `allowed_outbound_hosts`.
    pub allowed: Vec<String>,
    /// Values of the application variables `database` and `greeting`.
    pub variables: Vec<(&'static str, String)>,
    pub memory_limit_mib: Option<usize>,
    pub request_timeout: Option<Duration>,
}

impl Setting {
    pub async fn start(self) -> Guest {
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "guest"
            [variables]
            greeting = {{ default = "hello" }}
            database = {{ default = "" }}
            [[trigger.http]]
            route = "/do/..."
            component = "guest"
            [[trigger.http]]
            route = "/people/:name/..."
            component = "guest"
            [component.guest]
            source = "{guest}"
            allowed_outbound_hosts = {allowed:?}
            environment = {{ COLOUR = "blue" }}
            [component.guest.variables]
            database = "{{{{ database }}}}"
            salute = "{{{{ greeting }}}}, world"
            "#,
            guest = guest().display(),
            allowed = self.allowed,
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spin.toml");
        std::fs::write(&path, manifest).unwrap();
        let log = Captured::default();
        let variables: BTreeMap<_, _> = self
            .variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let app = runner::start(Options {
            manifest: path,
            listen: "127.0.0.1:0".parse().unwrap(),
            variables,
            memory_limit_mib: self.memory_limit_mib,
            request_timeout: self.request_timeout,
            max_connections: None,
            log: Log::Capture(log.clone()),
        })
        .await
        .unwrap();
        Guest {
            app,
            log,
            // On a kept connection each answer takes some 40 ms, here as under Spin.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
            _manifest: directory,
        }
    }
}

impl Guest {
    /// Has the guest do something, as in `print?text`.
    pub async fn ask(&self, action: &str, body: &str) -> (StatusCode, String) {
        self.at(&format!("/do/{action}"), body).await
    }

    /// As [`Guest::ask`], where it has to succeed.
    pub async fn done(&self, action: &str, body: &str) -> String {
        let (status, text) = self.ask(action, body).await;
        assert_eq!(status, StatusCode::OK, "{action}: {text}");
        text
    }

    /// As [`Guest::ask`], where it has to fail, by an error and not by a panic.
    pub async fn refused(&self, action: &str, body: &str) -> String {
        let (status, text) = self.ask(action, body).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{action}: {text}");
        text
    }

    pub async fn at(&self, path: &str, body: &str) -> (StatusCode, String) {
        let response = self.send(path, body).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn send(
        &self,
        path: &str,
        body: &str,
    ) -> Result<Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
        let url = format!("http://{}{path}", self.app.address());
        let body = Full::from(body.to_owned());
        self.client
            .request(Request::post(url).body(body).unwrap())
            .await
    }

    /// Waits until the log has so many lines with this in them.
    pub async fn logged(&self, times: usize, text: &str) {
        let waiting = async {
            while self.count(text) < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
            "{text:?} is not {times} times in {:#?}",
            self.log.lines()
        );
    }

    fn count(&self, text: &str) -> usize {
        let lines = self.log.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    }
}
