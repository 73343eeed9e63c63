//! Postgres with `pg_cron`, `pg_net` and the vault: the real ones, or what stands in for them.

use anyhow::{Context, Result, bail};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::conversation::{Came, Target};
use crate::endpoint::Endpoint;
use crate::fixtures::Fixtures;
use crate::odoo::fresh_prefix;
use crate::report::Report;
use crate::table::{Caller, Step};
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
        if let Some(statement) = &step.prepared {
            let Some(pooler) = &self.pooler else {
                return Ok(Err("no --pooler-url was given".to_owned()));
            };
            return Ok(Ok(through_pooler(pooler, statement).await));
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
        Ok(Ok(match client.simple_query(statement).await {
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
        }))
    }
}

/// Two connections prepare the same name, as two of a pool of clients do.
async fn through_pooler(pooler: &Config, statement: &str) -> Came {
    let mut last = Came::Rows(Vec::new());
    for _ in 0..2 {
        let client = match connect(pooler).await {
            Ok(client) => client,
            Err(error) => return refused(&error),
        };
        last = match client.query(statement, &[]).await {
            Ok(rows) => Came::Rows(vec![vec![Some(rows.len().to_string())]]),
            Err(error) => return refused(&error),
        };
    }
    last
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
    let _attended = world::supabase::Supabase::attend(database).await?;
    let endpoint = Endpoint::start("127.0.0.1:0").await?;
    let postgres = Postgres {
        config: database.owner_url().parse()?,
        pooler: None,
    };
    let mut fixtures = fixtures(
        "conform",
        Some(format!("http://127.0.0.1:{}", endpoint.port())),
    );
    fixtures.set("simulated", true);
    fixtures.lack("real", "there is no waiting for a minute here");
    fixtures.lack("pooler", "none is simulated");
    let mut report = Report::default();
    run(&postgres, &mut fixtures, false, &mut report).await?;
    Ok(report)
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
    fixtures.set("real", true);
    if postgres.pooler.is_some() {
        fixtures.set("pooler", true);
    } else {
        fixtures.lack("pooler", "name one by --pooler-url");
    }
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
