//! How long people wait with Odoo frozen: from the question to the verdict of a final check.
//!
//! ```sh
//! cargo freeze                              # 20,000 files, 50,000 leads, 200,000 messages, 20 ms to both sides
//! cargo freeze -- 2000 5000 20 read_data    # files, leads (with some four messages each), ms; the bytes are read too
//! ```
//!
//! Everything is copied before. The jobs are called as `pg_cron` calls them during a check: each once a minute, unless it is
//! still at work. Beside it stands what one full pass costs: every record and every file read once, without a check.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use stage::Stage;
use tokio::time::{Instant as Tick, sleep, sleep_until};
use world::odoo::{Attachments, Options, Sizes};

const JOBS: [&str; 3] = ["/archive-batch", "/crm-sync", "/chatter-sync"];
/// How often a check has each job called.
const PERIOD: Duration = Duration::from_mins(1);

struct Arguments {
    files: u64,
    leads: u32,
    latency_ms: u64,
    read_data: bool,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut given = std::env::args().skip(1);
        let mut number = |default: u64| -> Result<u64> {
            let Some(number) = given.next() else {
                return Ok(default);
            };
            number
                .parse()
                .with_context(|| format!("{number} is no number"))
        };
        let (files, leads, latency_ms) = (number(20_000)?, number(50_000)?, number(20)?);
        let read_data = match given.next().as_deref() {
            None => false,
            Some("read_data") => true,
            Some(other) => bail!("{other:?} is not read_data"),
        };
        let leads = leads.try_into().context("too many leads")?;
        Ok(Self {
            files,
            leads,
            latency_ms,
            read_data,
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let attachments = Attachments {
        shared_one_in: 0,
        ..Attachments::of(arguments.files).sized(Sizes::Between(1_000, 130_000))
    };
    let options = Options {
        attachments,
        ..Options::default()
    };
    let stage = Stage::builder().odoo(options).start().await?;
    stage.odoo.fill_pipeline(arguments.leads);
    let messages = stage.odoo.records("mail.message").count();
    let started = Instant::now();
    for path in JOBS {
        until_done(&stage, path, "{}").await?;
    }
    println!(
        "{} files, {} leads and {messages} messages were copied in {:.0} s, with no latency",
        arguments.files,
        arguments.leads,
        started.elapsed().as_secs_f64()
    );
    stage.odoo.set_latency_ms(arguments.latency_ms);
    stage.storage.set_latency_ms(arguments.latency_ms);

    let pass = pass(&stage).await?;
    println!(
        "one full pass: {:.0} s of work, {} Odoo calls",
        pass.seconds, pass.calls
    );
    let check = check(&stage, arguments.read_data).await?;
    println!(
        "final check{}: {:.0} s to the verdict ({}), {} Odoo calls, {:.2} of a full pass",
        if arguments.read_data {
            " with read_data"
        } else {
            ""
        },
        check.seconds,
        check.state,
        check.calls,
        ratio(check.calls, pass.calls)
    );
    ensure!(
        check.state == "ready",
        "it is {}: {:#}",
        check.state,
        check.reasons
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn ratio(calls: u64, of: u64) -> f64 {
    calls as f64 / of as f64
}

/// Calls until nothing is left to do.
async fn until_done(stage: &Stage, path: &str, body: &str) -> Result<()> {
    loop {
        let answer = stage.post(path, body).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        let report = answer.json();
        let unfinished = |name: &str| {
            report
                .get(name)
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
        };
        let remains = report
            .get("remaining")
            .and_then(Value::as_u64)
            .unwrap_or_default()
            > 0;
        let incomplete = report.get("complete") == Some(&Value::Bool(false));
        if !(unfinished("unfinished") || incomplete || (body == "{}" && remains)) {
            return Ok(());
        }
    }
}

struct Pass {
    seconds: f64,
    calls: u64,
}

/// Every record and every file, once.
async fn pass(stage: &Stage) -> Result<Pass> {
    stage.odoo.counters().reset();
    let started = Instant::now();
    until_done(
        stage,
        "/archive-batch",
        r#"{"mode": "verify", "restart": true}"#,
    )
    .await?;
    for path in ["/crm-sync", "/chatter-sync"] {
        let report = stage.post(path, r#"{"mode": "full"}"#).await?;
        ensure!(
            report.status == 200,
            "{path}: {} {}",
            report.status,
            report.text()
        );
        until_done(stage, path, "{}").await?;
    }
    Ok(Pass {
        seconds: started.elapsed().as_secs_f64(),
        calls: stage.odoo.counters().total().calls,
    })
}

struct Check {
    seconds: f64,
    calls: u64,
    state: String,
    reasons: Value,
}

/// From the question to the verdict.
async fn check(stage: &Stage, read_data: bool) -> Result<Check> {
    stage.odoo.counters().reset();
    let asked = format!(r#"{{"read_data": {read_data}}}"#);
    let (started, first) = (Instant::now(), Tick::now());
    let answer = stage.post("/actions/final-check", &asked).await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    let ticks = try_join_all(JOBS.map(|path| async move {
        let mut due = first;
        loop {
            sleep_until(due).await;
            let answer = stage.post(path, "{}").await?;
            ensure!(
                answer.status == 200,
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
            println!(
                "  {path}: {:.0} s after the question, {:.0} s of work",
                started.elapsed().as_secs_f64(),
                due.elapsed().as_secs_f64()
            );
            while due < Tick::now() {
                due += PERIOD;
            }
        }
        #[allow(unreachable_code)]
        Ok::<(), anyhow::Error>(())
    }));
    let verdict = async {
        loop {
            let certificate = stage.get("/certificate.json").await?.json();
            match certificate.get("state").and_then(Value::as_str) {
                Some("running") => sleep(Duration::from_secs(1)).await,
                word => {
                    return Ok(Check {
                        seconds: started.elapsed().as_secs_f64(),
                        calls: stage.odoo.counters().total().calls,
                        state: word.unwrap_or("unknown").to_owned(),
                        reasons: certificate.get("reasons").cloned().unwrap_or_default(),
                    });
                }
            }
        }
    };
    tokio::select! {
        verdict = verdict => verdict,
        ticks = ticks => bail!("a job ended: {:?}", ticks.err()),
    }
}
