//! A headless Chromium, driven by `WebDriver`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use http::Method;
use serde_json::{Value, json};
use stage::Caller;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a test waits for what has to come, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The driver of a Chromium. It ends with this value.
pub struct Chromium {
    caller: Caller,
    binary: PathBuf,
    _driver: Child,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Dark, or light.
    pub dark: bool,
    /// Width of the window in CSS pixels.
    pub width: u32,
}

impl Chromium {
    /// Starts the driver; `None` where there is no Chromium or no driver for it.
    pub async fn start() -> Result<Option<Self>> {
        let driver = find(&["chromedriver"]);
        let binary = find(&["chromium", "chromium-browser", "google-chrome"]);
        let (Some(driver), Some(binary)) = (driver, binary) else {
            return Ok(None);
        };
        // It looks for a free port by itself, and another may be quicker to take it.
        let mut started = None;
        for _ in 0..5 {
            started = serve(&driver).await?;
            if started.is_some() {
                break;
            }
        }
        let (driver, port) = started.context("chromedriver ended at once, five times")?;
        let caller = Caller::new(SocketAddr::from(([127, 0, 0, 1], port)));
        Ok(Some(Self {
            caller,
            binary,
            _driver: driver,
        }))
    }

    /// Opens a browser of its own: nothing is shared with another one.
    pub async fn open(&self) -> Result<Browser> {
        let profile = tempfile::tempdir()?;
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en-US",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": self.binary, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = order(&self.caller, Method::POST, "/session", &capabilities).await?;
        let id = session
            .get("sessionId")
            .and_then(Value::as_str)
            .context("no session")?
            .to_owned();
        let process = session
            .pointer("/capabilities/goog:processID")
            .and_then(Value::as_u64)
            .context("chromedriver does not say which process the browser is")?;
        Ok(Browser {
            process,
            caller: self.caller.clone(),
            session: format!("/session/{id}"),
            _profile: profile,
        })
    }
}

/// A browser. It ends with this value: a driver that is killed leaves its browsers behind.
pub struct Browser {
    process: u64,
    caller: Caller,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// The id of its process.
    pub fn process(&self) -> u64 {
        self.process
    }

    /// Goes to an address; returns when it is loaded.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.order(Method::POST, "/url", &json!({ "url": url }))
            .await?;
        Ok(())
    }

    /// Runs a function's body in the page and returns what it returns. `card` is the card, `root` its
    /// shadow root, and `$` finds an element in it by id.
    pub async fn run(&self, body: &str) -> Result<Value> {
        let script = format!(
            "const card = document.querySelector('odoo-migration-status');
             const root = card?.shadowRoot;
             const $ = (id) => root.getElementById(id);
             return (async () => {{ {body} }})();"
        );
        let asked = json!({ "script": script, "args": [] });
        self.order(Method::POST, "/execute/sync", &asked)
            .await
            .with_context(|| body.to_owned())
    }

    /// A text in the page.
    pub async fn text(&self, expression: &str) -> Result<String> {
        let value = self.run(&format!("return String({expression})")).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&self, expression: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let seen = self.run(&format!("return Boolean({expression})")).await;
            match seen {
                Ok(Value::Bool(true)) => return Ok(()),
                seen if started.elapsed() > PATIENCE => {
                    let shown = self
                        .text("root?.querySelector('.card')?.innerText ?? document.body.innerText")
                        .await;
                    bail!("never came true: {expression} ({seen:?}); the page shows: {shown:?}");
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Sets the window's width and the reader's colour scheme.
    pub async fn look(&self, look: Look) -> Result<()> {
        let metrics =
            json!({ "width": look.width, "height": 900, "deviceScaleFactor": 2, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
            .await?;
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features).await
    }

    /// The reader would rather not see things move.
    pub async fn reduce_motion(&self) -> Result<()> {
        let features =
            json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.devtools("Emulation.setEmulatedMedia", &features).await
    }

    /// Looks into a frame of the page from now on, by the id of its element.
    pub async fn enter_frame(&self, id: &str) -> Result<()> {
        let wanted = json!({ "using": "css selector", "value": format!("#{id}") });
        let frame = self.order(Method::POST, "/element", &wanted).await?;
        self.order(Method::POST, "/frame", &json!({ "id": frame }))
            .await?;
        Ok(())
    }

    /// Gives an order by Chromium's own protocol.
    pub async fn devtools(&self, command: &str, parameters: &Value) -> Result<()> {
        let order = json!({ "cmd": command, "params": parameters });
        self.order(Method::POST, "/goog/cdp/execute", &order)
            .await?;
        Ok(())
    }

    /// Presses keys, such as `\u{E004}` for Tab.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        let order = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.order(Method::POST, "/actions", &order).await?;
        Ok(())
    }

    /// What the page wrote to its console, and what the browser said against it.
    pub async fn console(&self) -> Result<Vec<String>> {
        let log = self
            .order(Method::POST, "/se/log", &json!({ "type": "browser" }))
            .await?;
        let lines = log.as_array().cloned().unwrap_or_default();
        Ok(lines
            .iter()
            .filter_map(|line| Some(line.get("message")?.as_str()?.to_owned()))
            .collect())
    }

    /// Writes a picture of the whole page, in full height, to the folder of screenshots.
    pub async fn screenshot(&self, name: &str, look: Look) -> Result<()> {
        self.look(look).await?;
        let height = self
            .run("return Math.max(200, document.documentElement.scrollHeight)")
            .await?;
        let metrics = json!({ "width": look.width, "height": height, "deviceScaleFactor": 2, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics)
            .await?;
        // Until what moves to its place is there.
        self.run("await Promise.all((root ?? document).getAnimations?.()
                .filter((a) => a.effect.getComputedTiming().iterations !== Infinity).map((a) => a.finished)); \
             await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            .await?;
        let picture = self.order(Method::GET, "/screenshot", &Value::Null).await?;
        let png = base64::engine::general_purpose::STANDARD
            .decode(picture.as_str().unwrap_or_default())
            .context("no picture")?;
        let folder = stage::root().join("target/screenshots");
        std::fs::create_dir_all(&folder)?;
        let tone = if look.dark { "dark" } else { "light" };
        std::fs::write(
            folder.join(format!("{name}-{tone}-{}.png", look.width)),
            png,
        )?;
        Ok(())
    }

    async fn order(&self, method: Method, path: &str, document: &Value) -> Result<Value> {
        order(
            &self.caller,
            method,
            &format!("{}{path}", self.session),
            document,
        )
        .await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It takes its own processes along. Nothing can be done where it has ended already.
        let _ = std::process::Command::new("kill")
            .arg(self.process.to_string())
            .stderr(Stdio::null())
            .status();
    }
}

/// A running driver and its port; `None` if it ended instead.
async fn serve(driver: &Path) -> Result<Option<(Child, u16)>> {
    let mut driver = Command::new(driver)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("chromedriver could not be started")?;
    let said = driver.stdout.take().context("chromedriver has no output")?;
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            let port = port.trim_end_matches('.').parse()?;
            // It writes on: nobody reads, and a full pipe would stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some((driver, port)));
        }
    }
    Ok(None)
}

async fn order(caller: &Caller, method: Method, path: &str, document: &Value) -> Result<Value> {
    let body = if method == Method::POST {
        document.to_string()
    } else {
        String::new()
    };
    let headers = [("content-type", "application/json")];
    let answer = caller.send(method, path, &headers, body).await?;
    let mut said = answer.json();
    let said = said.get_mut("value").map(Value::take).unwrap_or_default();
    if !answer.status.is_success() {
        bail!("{} {}: {said}", answer.status, path);
    }
    Ok(said)
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| Path::is_file(file))
}
