//! The compiled component, called as `pg_cron` calls it, tick after tick.

use anyhow::{Result, ensure};
use runner::Log;
use serde_json::Value;
use stage::{Caller, Host, Limits, SERVICE_KEY, Server};

use super::{Mover, Task, Usage, Way, check_report};

const PATH: &str = "/archive-batch";

/// The app, served.
pub(super) struct Component {
    host: Host,
    caller: Caller,
}

/// Serves the app.
pub(super) async fn start(task: &Task) -> Result<Component> {
    let mut variables = task.variables.clone();
    variables.insert("service_keys".to_owned(), SERVICE_KEY.to_owned());
    let server = if task.way == Way::Spin {
        Server::Spin
    } else {
        Server::Runner
    };
    let host = Host::start(server, variables, Log::Discard, Limits::default()).await?;
    Ok(Component {
        caller: Caller::new(host.address()),
        host,
    })
}

impl Mover for Component {
    async fn move_all(&mut self) -> Result<Usage> {
        loop {
            let answer = self.caller.post(PATH, SERVICE_KEY, "{}").await?;
            let report = answer.json();
            ensure!(answer.status == 200, "{} {report}", answer.status);
            let status = report.get("status").and_then(Value::as_str);
            check_report(status.unwrap_or_default(), &report)?;
            if report.get("remaining").and_then(Value::as_i64) == Some(0) {
                break;
            }
        }
        Ok(match &self.host {
            Host::Runner(app) => Usage {
                instance_bytes: app.peak_memory_bytes("archive-batch"),
                statements: app.statements("archive-batch"),
            },
            Host::Spin { .. } => Usage::default(),
        })
    }
}
