//! Calling a component in the way of cron: by a job of `odoo_sync.jobs`, through `pg_net`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::fault::in_the_callers_names;

/// How often to look whether something has changed.
pub const LOOK: Duration = Duration::from_millis(150);
/// How long after a call to expect its run.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call that was handed to `pg_net`.
pub struct Call {
    request: i64,
    at: Instant,
    ended_before: u64,
}

impl Call {
    /// Makes the call that cron would make. `ended_before`: how many runs had ended by then.
    pub async fn make(owner: &Client, job: &str, ended_before: u64) -> Result<Self> {
        const REQUEST: &str =
            "select request_id from odoo_sync.calls where job = $1 order by id desc limit 1";
        owner
            .execute("select odoo_sync.run_now($1)", &[&job])
            .await?;
        Ok(Self {
            request: owner.query_one(REQUEST, &[&job]).await?.try_get(0)?,
            at: Instant::now(),
            ended_before,
        })
    }

    /// Whether its run is still to be expected.
    pub fn is_awaited(&self, ended: u64) -> bool {
        self.ended_before == ended && self.at.elapsed() < PATIENCE
    }

    /// Whether the component took it. Where there is no run, nothing else would tell.
    pub async fn check_answer(&self, owner: &Client) -> Result<()> {
        const STATEMENT: &str = "select status_code, coalesce(error_msg, content, '') from net._http_response where id = $1";
        let Some(row) = owner.query_opt(STATEMENT, &[&self.request]).await? else {
            return Ok(());
        };
        let (status, said): (Option<i32>, String) = (row.try_get(0)?, row.try_get(1)?);
        match status {
            Some(200..=299) => Ok(()),
            Some(status) => bail!(
                "the app answered {status}: {}",
                in_the_callers_names(&message_in(&said))
            ),
            None => bail!("the app did not answer: {said}"),
        }
    }
}

/// The words of an answer: of a report its first error, of a refusal the error.
fn message_in(body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    ["/errors/0", "/error", "/fault/message"]
        .iter()
        .find_map(|place| answer.pointer(place)?.as_str().map(str::to_owned))
        .unwrap_or_else(|| body.to_owned())
}

/// What stopped a run: the column `fault` of `odoo_sync.runs`.
#[derive(Debug, Clone, Deserialize)]
pub struct Stop {
    kind: String,
    blame: Option<String>,
    message: String,
}

impl Stop {
    /// Whether it may pass by itself. What a person has to mend does not, and nobody who tries this
    /// out wants to wait for a server that is not there.
    pub fn passes(&self) -> bool {
        self.blame.as_deref() != Some("configuration") && !self.kind.ends_with("_unreachable")
    }

    /// What happened, in the caller's names.
    pub fn in_words(&self) -> String {
        in_the_callers_names(&self.message)
    }
}
