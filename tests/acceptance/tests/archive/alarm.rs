//! What breaks rings by the clock of the real `pg_cron`, says what to do, and is told when it is over.
//!
//! The `pg_cron` of Debian 12 (1.4.2) knows no seconds, so this takes minutes: the seven break side by side, each in a
//! Supabase of its own, since `pg_cron` ticks in one database of a server. The archive's job has its own schedule, each
//! minute; the alarm looks each minute as well, not each five, and is as much less patient.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use stage::{Host, Stage, of_database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Client;
use world::faults::Fault;
use world::odoo;
use world::postgres::Postgres;
use world::supabase::Supabase;

use crate::scene::{odoo_with, small, user};

const ARCHIVE: &str = "archive-odoo-files-batch";

/// What breaks.
#[derive(Debug, Clone, Copy)]
enum Failure {
    RaisesBeforeItCalls,
    StaleKey,
    ComponentsDown,
    OdooDown,
    KeyRanOut,
    ReadOnly,
    VaultUnreadable,
}

/// Each, the states that may ring, and what it says to do.
const FAILURES: [(Failure, &[&str], &str); 7] = [
    (
        Failure::RaisesBeforeItCalls,
        // A look just before the first run that fails tells of the command.
        &["sql_error", "foreign_command"],
        "Run: select * from odoo_sync.schedule(",
    ),
    (
        Failure::StaleKey,
        &["unauthorized"],
        "Run: select odoo_sync.rotate_key()",
    ),
    (
        Failure::ComponentsDown,
        &["refused"],
        "Start the components, and check the port",
    ),
    (
        Failure::OdooDown,
        &["not_moving"],
        "Is Odoo up, and odoo_url right?",
    ),
    (
        Failure::KeyRanOut,
        &["not_moving"],
        "where the key has run out, make a new one",
    ),
    (
        Failure::ReadOnly,
        &["read_only"],
        "Make room, or enlarge the disk",
    ),
    (
        Failure::VaultUnreadable,
        &["vault_unreadable"],
        "Run: select odoo_sync.rotate_key()",
    ),
];

/// A Supabase with the real clock, the app, its Odoo and Storage, and who gets the alarms.
struct Scene {
    stage: Stage,
    app: Option<Host>,
    receiver: Receiver,
    owner: Client,
    server: Postgres,
    _net: Supabase,
}

impl Scene {
    async fn set() -> Result<Self> {
        let server = Postgres::start_throw_away().await?;
        let database = server.main();
        database.apply_sql().await?;
        let password = format!("alter role odoo_sync password '{}'", database.password());
        let superuser = database.connect_as_superuser().await?;
        superuser.batch_execute(&password).await?;
        let stage = Stage::builder()
            .odoo(odoo::Options {
                version: 19,
                ..odoo_with(small(3))
            })
            .user(user())
            .start()
            .await?;
        let mut scene = Self {
            stage,
            app: None,
            receiver: Receiver::start().await?,
            owner: database.connect().await?,
            _net: Supabase::attend_without_clock(database).await?,
            server,
        };
        let settings = format!(
            "update odoo_sync.jobs set schedule = '* * * * *' where name = 'odoo-sync-alarm';
             select odoo_sync.set('alert_after_minutes', '1'), odoo_sync.set('alert_url', '\"{}\"')",
            scene.receiver.url
        );
        scene.owner.batch_execute(&settings).await?;
        scene.serve().await?;
        Ok(scene)
    }

    /// Starts the app on this database, and has the jobs call it.
    async fn serve(&mut self) -> Result<()> {
        let variables = of_database(self.server.main());
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (app, _) = self.stage.replica(&variables).await?;
        let schedule = format!(
            "select * from odoo_sync.schedule('http://{}')",
            app.address()
        );
        self.app = Some(app);
        self.owner.batch_execute(&schedule).await?;
        Ok(())
    }

    async fn set_read_only(&self, whether: &str) -> Result<()> {
        let superuser = self.server.main().connect_as_superuser().await?;
        // The session began as the database stands.
        superuser
            .batch_execute("set default_transaction_read_only = off")
            .await?;
        let alter =
            format!("alter database postgres set default_transaction_read_only = {whether}");
        Ok(superuser.batch_execute(&alter).await?)
    }

    async fn as_superuser(&self, statement: &str) -> Result<()> {
        let superuser = self.server.main().connect_as_superuser().await?;
        Ok(superuser.batch_execute(statement).await?)
    }

    async fn breaks(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::RaisesBeforeItCalls => {
                self.as_superuser("update cron.job set command = 'select current_setting(''supabase.service_role_key'')' where jobname = 'archive-odoo-files-batch'").await
            }
            Failure::StaleKey => Ok(self.owner.batch_execute("delete from odoo_sync.accepted_keys").await?),
            Failure::ComponentsDown => {
                self.app.take().context("no app")?.stop().await;
                Ok(())
            }
            Failure::OdooDown => {
                self.stage.odoo.stop().await;
                Ok(())
            }
            Failure::KeyRanOut => {
                // As a real 19 answers to a key that is over.
                let over = json!({"name": "werkzeug.exceptions.Unauthorized", "message": "Invalid apikey",
                    "arguments": ["Invalid apikey", 401], "context": {}, "debug": ""});
                let answer = Fault::on("/json/2/").answer(401, &[("content-type", "application/json")], &over.to_string());
                self.stage.odoo.faults().add(answer);
                Ok(())
            }
            Failure::ReadOnly => self.set_read_only("on").await,
            Failure::VaultUnreadable => self.as_superuser("update vault.secrets set secret = 'of another root key: ' || secret").await,
        }
    }

    /// As the alarm says.
    async fn is_mended(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::RaisesBeforeItCalls => {
                self.owner
                    .batch_execute("select * from odoo_sync.schedule()")
                    .await?;
                Ok(())
            }
            Failure::StaleKey | Failure::VaultUnreadable => {
                self.owner
                    .batch_execute("select odoo_sync.rotate_key()")
                    .await?;
                Ok(())
            }
            Failure::ComponentsDown => self.serve().await,
            Failure::OdooDown => self.stage.odoo.restart().await,
            Failure::KeyRanOut => {
                self.stage.odoo.faults().clear();
                Ok(())
            }
            Failure::ReadOnly => self.set_read_only("off").await,
        }
    }

    /// The state of the archive's job, and whether its newest run went well.
    async fn stands(&self) -> Result<(String, bool)> {
        let stands = "select h.state, coalesce((select r.outcome = 'success' from odoo_sync.runs r
              where r.job = 'archive-batch' and r.outcome <> 'running' order by r.started_at desc limit 1), false)
            from odoo_sync.diagnose() h where h.job = 'archive-odoo-files-batch'";
        let row = self.owner.query_one(stands, &[]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    async fn is_well(&self) -> Result<bool> {
        Ok(self.stands().await? == ("ok".to_owned(), true))
    }

    /// How often the clock has looked for something to ring.
    async fn looks(&self) -> Result<i64> {
        let looks = "select count(*) from cron.job_run_details d join cron.job c using (jobid)
            where c.jobname = 'odoo-sync-alarm' and d.status = 'succeeded'";
        Ok(self.owner.query_one(looks, &[]).await?.try_get(0)?)
    }
}

/// What told of the archive's job, under `troubles` or `over`.
fn told(messages: &[Value], under: &str) -> Vec<Value> {
    let lines = messages
        .iter()
        .filter_map(|message| message[under].as_array());
    let of_archive = lines.flatten().filter(|line| line["subject"] == ARCHIVE);
    of_archive.cloned().collect()
}

/// Waits until something holds, for as long as an alarm may take.
async fn within_ten_minutes(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(
            begun.elapsed() < Duration::from_mins(10),
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Breaks something of a set-up that is well, and mends it.
async fn rings((failure, states, says): (Failure, &[&str], &str)) -> Result<()> {
    let mut scene = Box::pin(Scene::set()).await?;
    within_ten_minutes("all is well", async || scene.is_well().await).await?;
    let before = told(&scene.receiver.heard(), "troubles");
    ensure!(before.is_empty(), "before: {before:?}");

    let (broken, looks) = (Instant::now(), scene.looks().await?);
    scene.breaks(failure).await?;
    let mut trouble = None;
    let rung = within_ten_minutes("it rings", async || {
        let troubles = told(&scene.receiver.heard(), "troubles");
        trouble = troubles
            .into_iter()
            .find(|trouble| states.iter().any(|state| trouble["state"] == *state));
        Ok(trouble.is_some())
    });
    if let Err(problem) = rung.await {
        let stands = (scene.stands().await, scene.receiver.heard());
        return Err(problem.context(format!("{stands:?}")));
    }
    let rang_s = broken.elapsed().as_secs();
    let looks = scene.looks().await? - looks;
    ensure!(looks <= 10, "it took {looks} minutes");
    let remedy = trouble.and_then(|trouble| Some(trouble.get("remedy")?.to_string()));
    ensure!(
        remedy.as_ref().is_some_and(|remedy| remedy.contains(says)),
        "{remedy:?}"
    );

    let mended = Instant::now();
    scene.is_mended(failure).await?;
    within_ten_minutes("it is told to be over", async || {
        Ok(!told(&scene.receiver.heard(), "over").is_empty())
    })
    .await?;
    println!(
        "{failure:?}: rang after {rang_s} s and {looks} looks, over after {} s",
        mended.elapsed().as_secs()
    );
    within_ten_minutes("all is well again", async || scene.is_well().await).await?;
    // A further look finds nothing to tell.
    let (heard, looks) = (
        told(&scene.receiver.heard(), "troubles").len(),
        scene.looks().await?,
    );
    within_ten_minutes("the clock looks once more", async || {
        Ok(scene.looks().await? > looks)
    })
    .await?;
    let after = told(&scene.receiver.heard(), "troubles");
    ensure!(after.len() == heard, "it rings on: {after:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_failures_ring_under_the_real_clock_and_stop_when_mended() -> Result<()> {
    let server = Postgres::start_throw_away().await?;
    let there = "select from pg_extension where extname = 'pg_cron'";
    let client = server.main().connect().await?;
    if client.query_opt(there, &[]).await?.is_none() {
        eprintln!("skipped: pg_cron is not installed (apt-get install postgresql-15-cron)");
        return Ok(());
    }
    let all = FAILURES.map(async |failure| {
        Box::pin(rings(failure))
            .await
            .with_context(|| format!("{:?}", failure.0))
    });
    let problems: Vec<_> = join_all(all)
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    Ok(())
}

/// Takes what is posted, as a chat's webhook does.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(body) = take(stream).await {
                    taken
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(body);
                }
            }
        });
        Ok(Self { url, bodies })
    }

    fn heard(&self) -> Vec<Value> {
        let bodies = self.bodies.lock();
        bodies.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads a request to the end of its body, and answers that all is well.
async fn take(mut stream: TcpStream) -> Result<Value> {
    let mut request = Vec::new();
    let body = loop {
        ensure!(stream.read_buf(&mut request).await? > 0, "it was cut off");
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            ensure!(head.starts_with("POST /hook"), "{head}");
            break body;
        }
    };
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).await?;
    Ok(body)
}
