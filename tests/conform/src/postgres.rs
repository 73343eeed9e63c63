//! Postgres with `pg_cron`, `pg_net` and the vault: the real ones, or what stands in for them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use world::supabase::Supabase;

use crate::conversation::{Came, Target};
use crate::endpoint::Endpoint;
use crate::fixtures::Fixtures;
use crate::odoo::fresh_prefix;
use crate::report::Report;
use crate::table::{Caller, Login, Step, WorkerAction};
use crate::{Server, exchanges};

/// The real Postgres that is asked.
pub struct Options {
    /// `postgres://user:password@host:port/database`, as the project's owner.
    pub url: String,
    /// The address of its transaction pooler.
    pub pooler_url: Option<String>,
    /// Where it reaches this machine, if that is not by loopback: `http://host:port`.
    pub callback_url: Option<String>,
    /// Make nothing.
    pub read_only: bool,
}

struct Postgres {
    config: Config,
    pooler: Option<Config>,
    /// What stands in for the background processes, if they are no real ones.
    stand_in: Option<Supabase>,
    /// Whether that of `pg_cron` is a real one nevertheless.
    has_real_cron: bool,
}

impl Postgres {
    /// Asks of a background process; `None`: the step is a statement.
    async fn behind(&self, step: &Step) -> Result<Option<Result<Came, String>>> {
        let rows = |values: &[&str]| {
            let row = values.iter().map(|value| Some((*value).to_owned()));
            Some(Ok(Came::Rows(vec![row.collect()])))
        };
        if let Some(job) = step.tick.as_ref().filter(|_| self.has_real_cron) {
            return Ok(Some(Ok(self.at_next_minute(job).await?)));
        }
        let asked = step.tick.is_some()
            || step.due.is_some()
            || step.strike.is_some()
            || step.worker.is_some();
        let Some(stand_in) = self.stand_in.as_ref().filter(|_| asked) else {
            let why = "nobody may stop a real worker, or set a real clock";
            return Ok(asked.then(|| Err(why.to_owned())));
        };
        if let Some(job) = &step.tick {
            let run = stand_in.tick(job).await?;
            return Ok(rows(&[&run.status, &run.return_message]));
        }
        if let Some([schedule, moment]) = &step.due {
            let due = world::supabase::is_due(schedule, self.minute(moment).await?);
            return Ok(rows(&[match due {
                Some(true) => "t",
                Some(false) => "f",
                None => "none",
            }]));
        }
        if let Some(moment) = &step.strike {
            stand_in.strike(self.minute(moment).await?).await?;
        }
        match step.worker {
            Some(WorkerAction::Stop) => stand_in.stop_net_worker().await?,
            Some(WorkerAction::Start) => stand_in.start_net_worker().await?,
            None => {}
        }
        Ok(rows(&[]))
    }

    /// A moment in minutes since 1970.
    async fn minute(&self, moment: &str) -> Result<u64> {
        let minute = "select (extract(epoch from $1::text::timestamp) / 60)::bigint";
        let row = connect(&self.config)
            .await?
            .query_one(minute, &[&moment])
            .await?;
        Ok(row.try_get::<_, i64>(0)?.try_into()?)
    }

    /// What came of a job at the next full minute.
    async fn at_next_minute(&self, job: &str) -> Result<Came> {
        let newest = "select d.status, d.return_message from cron.job_run_details d join cron.job j using (jobid)
            where j.jobname = $1 and d.status in ('succeeded', 'failed') order by d.runid desc limit 1";
        let client = connect(&self.config).await?;
        for _ in 0..75 {
            if let Some(row) = client.query_opt(newest, &[&job]).await? {
                return Ok(Came::Rows(vec![vec![row.try_get(0)?, row.try_get(1)?]]));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(Came::Dropped("no run in 75 s".to_owned()))
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let with_tls = || tls::client_config(None).map(tls::Rustls);
    match with_tls() {
        Ok(tls) if config.get_ssl_mode() != SslMode::Disable => {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(connection);
            Ok(client)
        }
        _ => {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        }
    }
}

/// What a failed statement or connection comes to.
fn refused(error: &tokio_postgres::Error) -> Came {
    match error.as_db_error() {
        Some(error) => Came::Refused {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().unwrap_or_default().to_owned(),
        },
        None => Came::Dropped(error.to_string()),
    }
}

impl Target for Postgres {
    async fn ask(&self, caller: Caller, step: &Step) -> Result<Result<Came, String>> {
        if step.prepared.is_some() || step.pooler.is_some() {
            let Some(pooler) = &self.pooler else {
                return Ok(Err("no --pooler-url was given".to_owned()));
            };
            return Ok(Ok(match (&step.prepared, &step.pooler) {
                (Some(statement), _) => prepared(pooler, statement).await?,
                (None, login) => {
                    let login = login.clone().unwrap_or_default();
                    let statement = step.sql.as_deref().unwrap_or("select 1");
                    through_pooler(pooler.clone(), &login, statement).await?
                }
            }));
        }
        if let Some(came) = self.behind(step).await? {
            return Ok(came);
        }
        let statement = step.sql.as_deref().context("a step asks for nothing")?;
        let client = connect(&self.config)
            .await
            .context("no connection to Postgres")?;
        let role = match caller {
            Caller::Anonymous => Some("anon"),
            Caller::Authenticated => Some("authenticated"),
            Caller::ServiceRole => Some("service_role"),
            _ => None,
        };
        if let Some(role) = role
            && client
                .batch_execute(&format!("set role {role}"))
                .await
                .is_err()
        {
            return Ok(Err(format!("the owner may not act as {role} here")));
        }
        Ok(Ok(came(client.simple_query(statement).await)))
    }
}

/// What a statement comes to: its rows, or why there are none.
fn came(outcome: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>) -> Came {
    match outcome {
        Err(error) => refused(&error),
        Ok(messages) => Came::Rows(
            messages
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(
                        (0..row.len())
                            .map(|column| row.get(column).map(str::to_owned))
                            .collect(),
                    ),
                    _ => None,
                })
                .collect(),
        ),
    }
}

/// One statement on a connection of its own to the pooler.
async fn through_pooler(mut pooler: Config, login: &Login, statement: &str) -> Result<Came> {
    let mut beside = Vec::new();
    for _ in 0..login.beside {
        beside.push(connect(&pooler).await.context("no connection beside")?);
    }
    for other in beside.iter().take(login.in_transaction) {
        other.batch_execute("begin; select 1").await?;
    }
    if let Some(user) = &login.user {
        pooler.user(user);
    }
    if let Some(password) = &login.password {
        pooler.password(password);
    }
    if let Some(database) = &login.database {
        pooler.dbname(database);
    }
    if let Some(options) = &login.options {
        pooler.options(options);
    }
    Ok(match connect(&pooler).await {
        Err(error) => refused(&error),
        Ok(client) => came(client.simple_query(statement).await),
    })
}

/// What was prepared on the connection that another client has since taken.
async fn prepared(pooler: &Config, statement: &str) -> Result<Came> {
    let (client, other) = (connect(pooler).await?, connect(pooler).await?);
    let prepared = client.prepare(statement).await?;
    other.batch_execute("begin; select 1").await?;
    Ok(match client.query(&prepared, &[]).await {
        Ok(rows) => Came::Rows(vec![vec![Some(rows.len().to_string())]]),
        Err(error) => refused(&error),
    })
}

fn fixtures(prefix: &str, callback: Option<String>) -> Fixtures {
    let mut fixtures = Fixtures::default();
    fixtures.set("prefix", prefix);
    match callback {
        Some(url) => fixtures.set("callback", url),
        None => fixtures.lack(
            "callback",
            "Postgres cannot reach this machine; name a way by --callback-url",
        ),
    }
    fixtures
}

/// Runs the table against the stand-ins alone, or with the real `pg_cron` where it is installed.
pub async fn against_simulated(with_real_cron: bool) -> Result<Report> {
    let server = world::postgres::Postgres::start_bare().await?;
    let beside = server.bare_database().await?;
    // `pg_cron` lives in one database of a server.
    let database = if with_real_cron {
        server.main()
    } else {
        &beside
    };
    let attended = Supabase::attend_without_clock(database).await?;
    let endpoint = Endpoint::start("127.0.0.1:0").await?;
    let postgres = Postgres {
        config: database.owner_url().parse()?,
        pooler: None,
        stand_in: Some(attended),
        has_real_cron: with_real_cron && has_real_cron(database).await?,
    };
    let mut fixtures = fixtures(
        "conform",
        Some(format!("http://127.0.0.1:{}", endpoint.port())),
    );
    fixtures.set("simulated", true);
    fixtures.set("local", true);
    fixtures.set("curl_of_30_redirects", true);
    if postgres.has_real_cron {
        fixtures.lack("own_clock", "nobody may set the clock of a real pg_cron");
    } else {
        fixtures.set("own_clock", true);
    }
    fixtures.set("foreign_job", "conform-foreign");
    fixtures.set("foreign_job.id", foreign_job(database).await?);
    fixtures.set("foreign_secret", "conform-foreign");
    fixtures.lack("real", "there is no waiting for a minute here");
    for name in ["pooler", "pgbouncer", "own_pgbouncer", "supavisor"] {
        fixtures.lack(name, "none is simulated");
    }
    let mut report = Report::default();
    run(&postgres, &mut fixtures, false, &mut report).await?;
    Ok(report)
}

async fn has_real_cron(database: &world::postgres::Database) -> Result<bool> {
    let named = "select from pg_extension where extname = 'pg_cron'";
    Ok(database
        .connect()
        .await?
        .query_opt(named, &[])
        .await?
        .is_some())
}

/// A job of another user, and a run of it; its number. Beside them a secret of another root key.
async fn foreign_job(database: &world::postgres::Database) -> Result<i64> {
    let superuser = database.connect_as_superuser().await?;
    let schedule = "select cron.schedule('conform-foreign', '0 0 1 1 *', 'select 1')";
    let id: i64 = superuser.query_one(schedule, &[]).await?.try_get(0)?;
    let run = "insert into cron.job_run_details (jobid, runid, username, command, status)
        values ($1, nextval('cron.runid_seq'), current_user, 'select 1', 'succeeded')";
    superuser.execute(run, &[&id]).await?;
    let secret = "insert into vault.secrets (name, secret) values ('conform-foreign', 'of another root key: x')";
    superuser.batch_execute(secret).await?;
    Ok(id)
}

/// Runs what the table has of poolers against a real `PgBouncer`; `None` where none is installed.
pub async fn against_pgbouncer() -> Result<Option<Report>> {
    let server = world::postgres::Postgres::start_throw_away().await?;
    let Some(pooler) = world::postgres::Pooler::start(&server)? else {
        return Ok(None);
    };
    let postgres = Postgres {
        config: server.main().owner_url().parse()?,
        pooler: Some(pooler.url().parse()?),
        stand_in: None,
        has_real_cron: true,
    };
    let mut fixtures = fixtures("conform", None);
    for name in ["pooler", "pgbouncer", "own_pgbouncer"] {
        fixtures.set(name, true);
    }
    let mut table = exchanges(Server::Postgres)?;
    table.retain(|exchange| {
        let needs = |name| exchange.needs.iter().any(|need| need == name);
        needs("pooler") || needs("pgbouncer") || needs("own_pgbouncer")
    });
    let mut report = Report::default();
    crate::conversation::run(&postgres, &table, &fixtures, false, &mut report).await?;
    Ok(Some(report))
}

/// Which pooler it is: at Supavisor a user has the project's name.
fn describe_pooler(pooler: Option<&Config>, fixtures: &mut Fixtures) {
    let Some(pooler) = pooler else {
        for name in ["pooler", "pgbouncer", "supavisor"] {
            fixtures.lack(name, "name a pooler by --pooler-url");
        }
        return;
    };
    let of_project = pooler.get_user().is_some_and(|user| user.contains('.'));
    let (is, is_not) = if of_project {
        ("supavisor", "pgbouncer")
    } else {
        ("pgbouncer", "supavisor")
    };
    fixtures.set("pooler", true);
    fixtures.set(is, true);
    fixtures.lack(is_not, "this pooler is another one");
}

/// Runs the table against a real Postgres.
pub async fn against_real(options: Options) -> Result<Report> {
    let parse = |url: &str| -> Result<Config> {
        // The address holds a password: it must not be in the message.
        match url.parse() {
            Ok(config) => Ok(config),
            Err(_) => bail!(
                "that is no address of a Postgres: postgres://user:password@host:port/database"
            ),
        }
    };
    let postgres = Postgres {
        config: parse(&options.url)?,
        pooler: options.pooler_url.as_deref().map(parse).transpose()?,
        stand_in: None,
        has_real_cron: true,
    };
    let local = postgres.config.get_hosts().iter().all(|host| match host {
        Host::Tcp(host) => matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1"),
        Host::Unix(_) => true,
    });
    let (endpoint, callback) = match &options.callback_url {
        Some(url) => {
            let port = url.rsplit(':').next().unwrap_or_default();
            (
                Some(Endpoint::start(&format!("0.0.0.0:{port}")).await?),
                Some(url.trim_end_matches('/').to_owned()),
            )
        }
        None if local => {
            let endpoint = Endpoint::start("127.0.0.1:0").await?;
            let url = format!("http://127.0.0.1:{}", endpoint.port());
            (Some(endpoint), Some(url))
        }
        None => (None, None),
    };
    let prefix = fresh_prefix();
    let mut fixtures = fixtures(&prefix, callback);
    fixtures.lack("simulated", "this server is a real one");
    fixtures.lack(
        "foreign_secret",
        "nobody but a superuser makes a secret of another root key",
    );
    fixtures.set("real", true);
    if local {
        fixtures.set("local", true);
    } else {
        fixtures.lack("local", "this Postgres is on another machine");
    }
    fixtures.lack("own_clock", "nobody may set the clock of a real pg_cron");
    fixtures.lack(
        "curl_of_30_redirects",
        "nobody can ask pg_net for the version of its libcurl, and below 8.3 it follows any number",
    );
    describe_pooler(postgres.pooler.as_ref(), &mut fixtures);
    fixtures.lack("own_pgbouncer", "this pooler is not the tests' own");
    let mut report = Report::default();
    let outcome = run(&postgres, &mut fixtures, options.read_only, &mut report).await;
    drop(endpoint);
    if !options.read_only {
        report.left_behind = remove(&postgres, &prefix).await;
    }
    outcome.map(|()| report)
}

/// Which extensions there are, and how old: some answers differ by it.
async fn run(
    postgres: &Postgres,
    fixtures: &mut Fixtures,
    read_only: bool,
    report: &mut Report,
) -> Result<()> {
    let client = connect(&postgres.config)
        .await
        .context("no connection to Postgres")?;
    for (name, schema) in [
        ("pg_cron", "cron"),
        ("pg_net", "net"),
        ("supabase_vault", "vault"),
    ] {
        let version = client
            .query_opt(
                "select extversion from pg_extension where extname = $1",
                &[&name],
            )
            .await?
            .map(|row| row.try_get::<_, String>(0))
            .transpose()?;
        let there = client
            .query_opt("select from pg_namespace where nspname = $1", &[&schema])
            .await?
            .is_some();
        match version {
            Some(version) => fixtures.set(&format!("real_{schema}"), version),
            None => fixtures.lack(
                &format!("real_{schema}"),
                format!("{name} is not installed"),
            ),
        }
        if there {
            fixtures.set(schema, true);
        } else {
            fixtures.lack(schema, format!("{name} is not installed"));
        }
    }
    // From 1.5 on pg_cron takes schedules of seconds.
    let takes_seconds = fixtures.get("real_cron").and_then(|version| {
        version
            .as_str()?
            .split_once('.')
            .map(|(major, minor)| (major.to_owned(), minor.to_owned()))
    });
    let takes_seconds = takes_seconds.is_some_and(|(major, minor)| {
        let minor = minor
            .split(['.', '-'])
            .next()
            .and_then(|minor| minor.parse::<u32>().ok());
        major != "1" || minor.is_some_and(|minor| minor >= 5)
    });
    let (has, lacks) = if takes_seconds {
        ("cron_of_seconds", "cron_of_minutes")
    } else {
        ("cron_of_minutes", "cron_of_seconds")
    };
    fixtures.set(has, true);
    fixtures.lack(lacks, "this pg_cron is another one");
    let may_alter = "select coalesce(bool_or(has_function_privilege(oid, 'execute')), false) from pg_proc where proname = 'alter_job'";
    if client.query_one(may_alter, &[]).await?.try_get(0)? {
        fixtures.set("alter_job", true);
    } else {
        fixtures.lack("alter_job", "the owner may not call cron.alter_job here");
    }
    let table = exchanges(Server::Postgres)?;
    crate::conversation::run(postgres, &table, fixtures, read_only, report).await
}

/// Removes jobs and secrets of this run; what is left, with the reason.
async fn remove(postgres: &Postgres, prefix: &str) -> Vec<String> {
    let mut left = Vec::new();
    let statements = [
        format!("select cron.unschedule(jobid) from cron.job where jobname like '{prefix}%'"),
        format!("delete from vault.secrets where name like '{prefix}%'"),
    ];
    for statement in statements {
        let outcome = async {
            connect(&postgres.config)
                .await?
                .batch_execute(&statement)
                .await
        }
        .await;
        if let Err(error) = outcome
            && error
                .as_db_error()
                .is_none_or(|error| error.code().code() != "42P01")
        {
            left.push(format!("{statement}: {error}"));
        }
    }
    left
}
