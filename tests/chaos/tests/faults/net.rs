//! Faults between `pg_net` and the app: ticks that are lost, doubled, refused, cut off or too slow.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chaos::Job;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use world::supabase::Supabase;

use crate::bench::{Bench, Work};
use crate::table::{Row, hold};

/// What a gateway in front of the app does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Fair,
    ResetBefore,
    ResetIn,
    ResetAfter,
    Silent,
    TooMany,
    Html500,
}

/// A gateway in front of the app.
struct Gateway {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    accepting: Option<JoinHandle<()>>,
    app: String,
}

impl Gateway {
    async fn to(app: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut gateway = Self {
            address: listener.local_addr()?,
            behaviour: Arc::new(Mutex::new(Behaviour::Fair)),
            accepting: None,
            app: app.trim_start_matches("http://").to_owned(),
        };
        gateway.serve(listener);
        Ok(gateway)
    }

    fn serve(&mut self, listener: TcpListener) {
        let (behaviour, app) = (self.behaviour.clone(), self.app.clone());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let behaviour = *behaviour.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(carry(client, app.clone(), behaviour));
            }
        }));
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn set(&self, behaviour: Behaviour) {
        *self
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    async fn open(&mut self) -> Result<()> {
        self.serve(TcpListener::bind(self.address).await?);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

/// Carries one call, as the behaviour is.
async fn carry(mut client: TcpStream, app: String, behaviour: Behaviour) {
    let mut asked = vec![0; 64 * 1024];
    let Ok(read) = client.read(&mut asked).await else {
        return;
    };
    let head = asked.get(..read).unwrap_or_default();
    let given = match behaviour {
        Behaviour::ResetBefore => return,
        Behaviour::TooMany => {
            "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        Behaviour::Html500 => {
            "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<h1>Oops</h1>"
        }
        _ => "",
    };
    if !given.is_empty() {
        let _ = client.write_all(given.as_bytes()).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(&app).await else {
        return;
    };
    if server.write_all(head).await.is_err() {
        return;
    }
    if behaviour == Behaviour::Fair {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    // The app has the call, and answers; what of it arrives is another matter.
    let mut answer = vec![0; 64 * 1024];
    let mut sending = true;
    let read = loop {
        tokio::select! {
            read = client.read(&mut asked), if sending => {
                let more = read.ok().and_then(|read| asked.get(..read)).unwrap_or_default();
                sending = !more.is_empty();
                if server.write_all(more).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => break read.unwrap_or_default(),
        }
    };
    match behaviour {
        Behaviour::ResetIn => {
            let half = answer.get(..read / 2).unwrap_or_default();
            let _ = client.write_all(half).await;
            let _ = client.set_zero_linger();
        }
        // Until whoever asked has given up.
        Behaviour::Silent => while client.read(&mut asked).await.is_ok_and(|read| read > 0) {},
        _ => {}
    }
}

/// Longer than any answer takes, also where the machine is slow.
const PATIENCE_MS: u32 = 60_000;

/// A component whose job calls by way of a gateway.
struct Called {
    bench: Bench,
    supabase: Supabase,
    gateway: Gateway,
}

impl Called {
    async fn set(job: Job) -> Result<Self> {
        let bench = Bench::set(job).await?;
        let supabase = Supabase::attend_without_clock(&bench.stage.database).await?;
        let gateway = Gateway::to(&bench.stage.url()).await?;
        let owner = &bench.stage.owner;
        owner.execute("select odoo_sync.rotate_key()", &[]).await?;
        owner
            .execute("select odoo_sync.schedule($1)", &[&gateway.url()])
            .await?;
        Ok(Self {
            bench,
            supabase,
            gateway,
        })
    }

    /// How long `pg_net` waits for an answer.
    async fn patience(&self, ms: u32) -> Result<()> {
        let set = format!("update odoo_sync.jobs set timeout_ms = {ms}");
        Ok(self.bench.stage.owner.batch_execute(&set).await?)
    }

    async fn tick(&self) -> Result<()> {
        self.supabase.tick(self.bench.job.cron()).await.map(drop)
    }

    /// Waits until `pg_net` says something of the last call.
    async fn answered(&self) -> Result<()> {
        self.until(
            "select count(*) from odoo_sync.calls c where not exists (select from net._http_response r where r.id = c.request_id)",
            0,
        )
        .await
    }

    /// Waits until there is one run more.
    async fn begun(&self, runs: i64) -> Result<()> {
        self.until("select count(*) from odoo_sync.runs", runs + 1)
            .await
    }

    /// Waits until no run is under way.
    async fn at_rest(&self) -> Result<()> {
        self.until(
            "select count(*) from odoo_sync.runs where outcome = 'running'",
            0,
        )
        .await
    }

    async fn until(&self, query: &str, wanted: i64) -> Result<()> {
        let begun = Instant::now();
        while self.bench.stage.count(query).await? != wanted {
            ensure!(
                begun.elapsed() < Duration::from_mins(2),
                "never {wanted}: {query}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// What is told of the job.
    async fn health(&self) -> Result<String> {
        let query = format!(
            "select to_jsonb(h.state) from odoo_sync.health_view h where h.job = '{}'",
            self.bench.job.cron()
        );
        let state = self.bench.stage.value(&query).await?;
        Ok(state.as_str().unwrap_or("-").to_owned())
    }

    async fn runs(&self) -> Result<i64> {
        self.bench
            .stage
            .count("select count(*) from odoo_sync.runs")
            .await
    }

    async fn row(&self, fault: &str, runs: i64) -> Result<Row> {
        let begun = self.runs().await? - runs;
        let status = self.bench.stage.get("/status").await?.json();
        let text = |job: &Value, key: &str| {
            let value = job.get(key).and_then(Value::as_str);
            value.unwrap_or("-").to_owned()
        };
        let jobs = status.get("jobs").and_then(Value::as_array);
        let state = jobs
            .into_iter()
            .flatten()
            .find(|job| text(job, "name") == self.bench.job.cron())
            .map_or_else(String::new, |job| text(job, "state"));
        let health = self.health().await?;
        ensure!(state == health, "/status says {state}, health() {health}");
        Ok(Row {
            place: self.bench.job.cron().to_owned(),
            fault: fault.to_owned(),
            told: match begun {
                0 => "no run".to_owned(),
                1 => "one run, to its end".to_owned(),
                more => format!("{more} runs, one after the other"),
            },
            status: format!("`{state}`"),
        })
    }

    /// All is well again with the next tick.
    async fn mended(&self) -> Result<()> {
        self.at_rest().await?;
        self.tick().await?;
        self.answered().await?;
        self.at_rest().await?;
        let health = self.health().await?;
        ensure!(health == "ok", "after the next tick it is {health}");
        self.bench.done(self.bench.stage.caller()).await
    }
}

async fn faults(job: Job) -> Result<Vec<Row>> {
    let mut called = Called::set(job).await?;
    called.patience(PATIENCE_MS).await?;
    called.mended().await?;
    let mut rows = Vec::new();
    for (behaviour, fault) in [
        (Behaviour::ResetBefore, "reset before the call arrives"),
        (Behaviour::ResetIn, "reset in the answer"),
        (Behaviour::ResetAfter, "reset after the call has arrived"),
        (Behaviour::Silent, "answer slower than the timeout"),
        (Behaviour::TooMany, "429 of a gateway"),
        (Behaviour::Html500, "500 with HTML of a gateway"),
    ] {
        called.bench.work(Work::Small)?;
        let runs = called.runs().await?;
        called.gateway.set(behaviour);
        if behaviour == Behaviour::Silent {
            called.patience(1_000).await?;
        }
        called.tick().await?;
        if behaviour == Behaviour::Silent {
            // Where the machine is slow, the caller gives up before the run begins.
            called.begun(runs).await.context(fault)?;
            called.patience(PATIENCE_MS).await?;
        }
        called.answered().await.context(fault)?;
        called.at_rest().await?;
        rows.push(called.row(fault, runs).await.context(fault)?);
        called.gateway.set(Behaviour::Fair);
        called.mended().await.context(fault)?;
    }

    called.bench.work(Work::Small)?;
    let runs = called.runs().await?;
    called.gateway.close().await;
    called.tick().await?;
    called.answered().await?;
    rows.push(called.row("refused", runs).await?);
    called.gateway.open().await?;
    called.mended().await.context("refused")?;

    // The worker dies when the call is sent, and its next life sends it again.
    called.bench.work(Work::Small)?;
    let runs = called.runs().await?;
    called.gateway.set(Behaviour::Silent);
    called.tick().await?;
    called.begun(runs).await?;
    called.supabase.stop_net_worker().await?;
    called.at_rest().await?;
    called.gateway.set(Behaviour::Fair);
    called.supabase.start_net_worker().await?;
    called.answered().await?;
    called.at_rest().await?;
    rows.push(
        called
            .row("sent twice: the worker died in mid-batch", runs)
            .await?,
    );
    called.mended().await.context("sent twice")?;
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_go_wrong() -> Result<()> {
    let (archive, crm, chatter) =
        tokio::try_join!(faults(Job::Archive), faults(Job::Crm), faults(Job::Chatter))?;
    hold("pg_net", &[archive, crm, chatter].concat())
}
