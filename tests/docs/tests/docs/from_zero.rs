//! The steps from zero to production, followed as they stand, with the real `pg_cron` where it is
//! installed. The simulated Odoo and Storage stand for the real ones, and the runner for Spin.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use docs_tests::{Document, Section};
use runner::{App, Log, Options};
use serde_json::{Value, json};
use stage::{Variables, until};
use tokio_postgres::Client;
use world::odoo::{self, Attachments, Odoo, User};
use world::postgres::{Database, Postgres};
use world::storage::{self, Storage};
use world::supabase::Supabase;

use crate::running::{Environment, Row, sh, sql};

const FILES: u64 = 60;

/// The section that comes before the steps.
const SHORTEST: &str = "The shortest way";

/// A company on the day it begins: an Odoo, and a Supabase project without anything.
struct Company {
    odoo: Odoo,
    storage: Storage,
    database: Database,
    owner: Client,
    app: Option<App>,
    environment: Environment,
    /// What `odoo_sync.new_password()` showed.
    password: String,
    _background: Supabase,
    _server: Postgres,
}

impl Company {
    async fn on_its_first_day() -> Result<Self> {
        let server = Postgres::start_throw_away().await?;
        let database = server.main().clone();
        let background = Supabase::attend(&database).await?;
        let odoo = Odoo::start(odoo::Options {
            attachments: Attachments::of(FILES),
            ..odoo::Options::default()
        })
        .await?;
        odoo.fill_pipeline(40);
        let storage = Storage::start(storage::Options {
            buckets: Vec::new(),
            ..storage::Options::default()
        })
        .await?;
        let environment = BTreeMap::from([
            ("DATABASE_URL", database.owner_url()),
            ("SUPABASE_URL", storage.url()),
            ("STORAGE_KEY", "service-role-key".to_owned()),
        ]);
        Ok(Self {
            owner: database.connect().await?,
            odoo,
            storage,
            database,
            app: None,
            environment,
            password: String::new(),
            _background: background,
            _server: server,
        })
    }

    fn sync_url(&self) -> &str {
        self.environment.get("SYNC_URL").map_or("", String::as_str)
    }

    /// The settings of the fifth step: their names as they stand, and the values that are secrets of
    /// these stand-ins or addresses on this machine in place of the examples.
    fn settings(&self, file: &str) -> Result<Variables> {
        let user = User::administrator();
        let mut variables = stage::of_odoo(&self.odoo, "odoo", &user);
        variables.extend(stage::of_storage(&self.storage, "service-role-key"));
        variables.extend(stage::of_database(&self.database));
        let mut settings = Variables::new();
        let names = file.lines().filter_map(|line| line.split_once('='));
        for (name, example) in names.filter(|(name, _)| name.starts_with("SPIN_")) {
            let name = name.strip_prefix("SPIN_VARIABLE_").context("no variable")?;
            let name = name.to_ascii_lowercase();
            let value = match name.as_str() {
                // What the fourth step gave.
                "db_password" => {
                    ensure!(
                        ["", "the-password-of-step-4"].contains(&example),
                        "{example}"
                    );
                    self.password.clone()
                }
                // Without a pooler the role has its own name, and on loopback there is no TLS.
                "db_ca" => continue,
                name => variables
                    .get(name)
                    .cloned()
                    .with_context(|| format!("{name} is not known"))?,
            };
            settings.insert(name, value);
        }
        settings.insert("db_port".to_owned(), self.database.port().to_string());
        settings.insert("db_sslmode".to_owned(), "disable".to_owned());
        Ok(settings)
    }

    async fn start_app(&mut self, settings: Variables) -> Result<()> {
        let app = runner::start(Options {
            manifest: stage::root().join("spin.toml"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            variables: settings,
            memory_limit_mib: None,
            request_timeout: None,
            max_connections: None,
            log: Log::Discard,
        })
        .await?;
        let url = format!("http://{}", app.address());
        self.environment.insert("SYNC_URL", url);
        self.app = Some(app);
        Ok(())
    }

    async fn count(&self, query: &str) -> Result<i64> {
        Ok(self.owner.query_one(query, &[]).await?.try_get(0)?)
    }
}

/// What the blocks of a step came to.
#[derive(Default)]
struct Seen {
    printed: String,
    statements: Vec<Vec<Row>>,
}

impl Seen {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.printed).with_context(|| self.printed.clone())
    }
}

/// Runs the blocks of a step one after the other, and compares what they print with what stands there.
async fn follow(company: &mut Company, step: &Section) -> Result<Seen> {
    let mut seen = Seen::default();
    for block in &step.blocks {
        match (block.language.as_str(), &block.not_run) {
            (_, Some(_)) => {}
            ("sh", None) => {
                seen.printed = sh(block, &company.environment).await?;
                // As the eleventh step says: a tick of cron may be at work just then.
                while seen.printed.contains(r#""status":"running""#) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    seen.printed = sh(block, &company.environment).await?;
                }
            }
            ("sql", None) => {
                let statements = sql(&company.owner, &block.text, company.sync_url()).await?;
                // "With it in SYNC_KEY", the seventh step goes on.
                let mut shown = statements.iter().flatten().map(|row| row.get("new_key"));
                if let Some(key) = shown.find(|key| !key.is_empty()) {
                    company.environment.insert("SYNC_KEY", key.to_owned());
                }
                let mut shown = statements.iter().flatten();
                if let Some(row) = shown.find(|row| !row.get("new_password").is_empty()) {
                    row.get("new_password").clone_into(&mut company.password);
                }
                seen.statements.extend(statements);
            }
            ("json", None) => {
                let told: Value = serde_json::from_str(&block.text)?;
                ensure!(seen.json()? == told, "{} instead of {told}", seen.printed);
            }
            ("ini", None) => {
                let settings = company.settings(&block.text)?;
                company.start_app(settings).await?;
            }
            (other, None) => bail!("nobody knows how to follow {other}"),
        }
    }
    Ok(seen)
}

#[tokio::test]
async fn a_new_user_gets_from_zero_to_production_by_the_steps_as_they_stand() -> Result<()> {
    tokio::task::spawn_blocking(stage::build_components).await??;
    let setup = Document::open("docs/setup.md")?;
    let steps: Vec<_> = setup
        .chapter("From zero to production")
        .iter()
        .filter(|section| section.level == 2 && section.title != SHORTEST)
        .collect();
    for (number, step) in (1..).zip(&steps) {
        assert!(
            step.title.starts_with(&format!("{number}. ")),
            "{}",
            step.title
        );
    }
    assert_eq!(steps.len(), 11);

    let mut company = Company::on_its_first_day().await?;
    let has_psql = std::process::Command::new("psql")
        .arg("--version")
        .output()
        .is_ok();
    for (number, step) in (1..).zip(steps) {
        if number == 3 && !has_psql {
            eprintln!(
                "skipped: the third step's loop: there is no psql; the files are run otherwise"
            );
            company.database.apply_sql().await?;
            continue;
        }
        if number == 9 {
            // What the step tells to wait for.
            a_tick_of_cron_arrives(&company).await?;
        }
        if number == 10 {
            let made = "insert into auth.users (email) values ('you@example.com')";
            company.owner.batch_execute(made).await?;
        }
        let seen = follow(&mut company, step)
            .await
            .with_context(|| step.title.clone())?;
        promises_of(number, &mut company, &seen)
            .await
            .with_context(|| step.title.clone())?;
    }
    Ok(())
}

/// What the reader is told to see after a step.
async fn promises_of(step: i32, company: &mut Company, seen: &Seen) -> Result<()> {
    let rows = seen.statements.last().cloned().unwrap_or_default();
    match step {
        3 => assert_eq!(rows.len(), 1),
        7 => {
            let printed = seen.json()?;
            assert_eq!(printed["census"]["to_move"]["files"], FILES, "{printed}");
            assert_eq!(printed.get("fault"), None);
            for untouched in ["public.odoo_attachments", "public.migration_logs"] {
                let query = format!("select count(*) from {untouched}");
                assert_eq!(company.count(&query).await?, 0, "{untouched}");
            }
        }
        8 => {
            let actions: Vec<_> = rows.iter().map(|row| row.get("action")).collect();
            assert_eq!(actions[..1], ["made a key"], "{rows:?}");
            assert_eq!(actions[1..], ["scheduled"; 6], "{rows:?}");
        }
        9 => {
            let looked_at = seen.json()?;
            assert_eq!(looked_at["ok"], true, "{looked_at:#}");
            // The runs of this step have begun: their calls are answered before their work is done.
            let undone = "select count(*) from (values ('archive-batch'), ('crm-sync'), ('chatter-sync')) j (job)
                where not exists (select from odoo_sync.runs r where r.job = j.job and r.outcome = 'success' and r.mode in ('migrate', 'full', 'missing'))
                   or exists (select from odoo_sync.runs r where r.outcome = 'running')";
            until("all three have done their work", async || {
                Ok(company.count(undone).await? == 0)
            })
            .await?;
            let remains = "select odoo_sync.remaining()";
            until("all files are moved", async || {
                Ok(company.count(remains).await? == 0)
            })
            .await?;
            let moved = "select count(*) from public.odoo_attachments where state = 'moved'";
            assert_eq!(company.count(moved).await?, i64::try_from(FILES)?);
            assert_eq!(
                company
                    .count("select count(*) from public.odoo_leads")
                    .await?,
                40
            );
            assert!(
                company
                    .count("select count(*) from public.odoo_messages")
                    .await?
                    > 40
            );
            let not_well = "select count(*) from odoo_sync.health() where not ok or state not in ('ok', 'waiting')";
            assert_eq!(company.count(not_well).await?, 0);
            let well = "select count(*) from odoo_sync.health() where state = 'ok'";
            assert!(company.count(well).await? >= 3);
        }
        10 => {
            assert_eq!(
                company
                    .count("select count(*) from public.user_roles where role = 'admin'")
                    .await?,
                1
            );
            let card = stage::Caller::new(company.app.as_ref().context("no app")?.address());
            let card = card.get("/", None).await?;
            assert!(
                card.text().contains("<odoo-migration-status"),
                "{}",
                card.text()
            );
        }
        11 => {
            let verified = &seen.json()?["verified"];
            assert_eq!(
                (&verified["complete"], &verified["signs"]),
                (&json!(true), &json!({"=": FILES}))
            );
            let validations = seen.statements.first().context("no validations")?;
            // Ten with tables of their own, and fifteen models that this Odoo has.
            assert_eq!(validations.len(), 25, "{validations:?}");
            assert!(
                validations.iter().all(|row| row.get("verdict") == "same"),
                "{validations:?}"
            );
            assert_eq!(rows.len(), 6, "{rows:?}");
            assert_eq!(company.count("select count(*) from cron.job").await?, 0);
        }
        _ => {}
    }
    Ok(())
}

#[tokio::test]
async fn the_shortest_way_leads_from_zero_to_a_list_that_is_right() -> Result<()> {
    tokio::task::spawn_blocking(stage::build_components).await??;
    if std::process::Command::new("psql")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: the shortest way: there is no psql");
        return Ok(());
    }
    let setup = Document::open("docs/setup.md")?;
    let way = setup.chapter(SHORTEST).first().context("no shortest way")?;
    let blocks: Vec<_> = way
        .blocks
        .iter()
        .filter(|block| block.not_run.is_none())
        .collect();
    let [tables, jobs] = blocks.as_slice() else {
        bail!("{} blocks are run", blocks.len());
    };
    let mut company = Company::on_its_first_day().await?;
    let shown = sh(tables, &company.environment).await?;
    let told = |what: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(what));
        line.map(str::to_owned)
            .with_context(|| format!("{what} in {shown}"))
    };
    company.password = told("db_password: ")?;
    company.environment.insert("SYNC_KEY", told("your key: ")?);
    let template = docs_tests::read("components/deploy/odoo-to-supabase.env")?;
    let settings = company.settings(&template)?;
    company.start_app(settings).await?;
    let looked_at: Value = serde_json::from_str(&sh(jobs, &company.environment).await?)?;
    assert_eq!(looked_at["ok"], true, "{looked_at:#}");
    // All files arrive, by the clock.
    a_tick_of_cron_arrives(&company).await?;
    let moved = "select count(*) from public.odoo_attachments where state = 'moved'";
    assert!(company.count(moved).await? > 0);
    Ok(())
}

/// The archive's job is run by the clock, and what it calls records a run.
async fn a_tick_of_cron_arrives(company: &Company) -> Result<()> {
    if company
        .count("select count(*) from pg_extension where extname = 'pg_cron'")
        .await?
        == 0
    {
        eprintln!(
            "skipped: the real pg_cron is not installed (apt-get install postgresql-15-cron); the stand-in's clock is waited for"
        );
    }
    let runs = "select count(*) from odoo_sync.runs where job = 'archive-batch' and mode = 'migrate' and outcome = 'success'";
    until("cron's tick has done its work", async || {
        Ok(company.count(runs).await? > 0)
    })
    .await
}
