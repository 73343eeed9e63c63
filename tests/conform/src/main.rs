//! `cargo run --bin conform`: does this Odoo, this Storage, this Postgres behave as we believe?

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use conform::{Caller, odoo, postgres, storage};

const ABOUT: &str = "\
Asks a real Odoo, Storage or Postgres what tests/conform/exchanges says of them,
and prints a line for each answer that is another one.

What it needs it makes there under a prefix of its own, and removes it again.";

const SECRETS: &str = "\
From the environment, since they are secret:
  ODOO_API_KEY       the key of --odoo-login
  ODOO_PASSWORD      its password: instead of the key, or beside it for web sessions
  ODOO_API_KEY_KIND, ODOO_PASSWORD_KIND
                     those of --odoo-user, such as ODOO_API_KEY_SALESMAN
  STORAGE_KEY        the project's service_role key, or an sb_secret_ key
  STORAGE_ANON_KEY   its public key, if what that may is to be asked too
  STORAGE_SECRET_KEY an sb_secret_ key beside a service_role key
  STORAGE_EXPIRED_KEY
                     a service_role key of the project that has run out
  DATABASE_URL       the same as --database-url

Exit status: 0 if all answers are as expected, 1 if one is not, 2 if a server could not be asked.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    about = ABOUT,
    after_help = SECRETS,
    override_usage = "cargo run --bin conform -- [OPTIONS]",
    disable_version_flag = true
)]
struct Arguments {
    /// The address of an Odoo
    #[arg(long, value_name = "URL")]
    odoo_url: Option<String>,
    /// Its database
    #[arg(long, value_name = "NAME", requires = "odoo_url")]
    odoo_database: Option<String>,
    /// The login of its administrator
    #[arg(long, value_name = "LOGIN", requires = "odoo_url")]
    odoo_login: Option<String>,
    #[arg(
        long,
        value_name = "KIND=LOGIN",
        requires = "odoo_url",
        help = "A further user: settings, sales_administrator or salesman; else one is made"
    )]
    odoo_user: Vec<String>,
    #[arg(
        long,
        value_name = "NAME=ID",
        help = "What is known to be there and cannot be made, such as lost_file=123"
    )]
    known: Vec<String>,
    /// The address of a Storage
    #[arg(long, value_name = "URL")]
    storage_url: Option<String>,
    /// What its paths begin with [default: /storage/v1]
    #[arg(long, value_name = "PATH", requires = "storage_url")]
    storage_path: Option<String>,
    /// The address of a Postgres, as the project's owner
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The address of its transaction pooler
    #[arg(long, value_name = "URL")]
    pooler_url: Option<String>,
    /// Where Postgres reaches this machine, if it is on another: http://HOST:PORT
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Leave out what would write
    #[arg(long)]
    read_only: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn secret(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .map(|secret| secret.trim().to_owned())
        .filter(|secret| !secret.is_empty())
}

/// Asks the servers that are named; whether all is as expected.
async fn run(arguments: Arguments) -> Result<bool> {
    let mut reports = Vec::new();
    let mut known = BTreeMap::new();
    for pair in &arguments.known {
        let (name, id) = pair
            .split_once('=')
            .with_context(|| format!("--known is NAME=ID, not {pair}"))?;
        known.insert(
            name.to_owned(),
            id.parse().with_context(|| format!("{id} is no id"))?,
        );
    }
    if let Some(url) = arguments.odoo_url {
        let mut users = BTreeMap::new();
        for pair in &arguments.odoo_user {
            let (kind, login) = pair
                .split_once('=')
                .with_context(|| format!("--odoo-user is KIND=LOGIN, not {pair}"))?;
            let caller = Caller::ALL.into_iter().find(|caller| caller.name() == kind);
            let of = |what: &str| secret(&format!("ODOO_{what}_{}", kind.to_ascii_uppercase()));
            users.insert(
                caller.with_context(|| format!("{kind} is no kind of user"))?,
                (login.to_owned(), of("API_KEY"), of("PASSWORD")),
            );
        }
        let options = odoo::Options {
            url,
            database: arguments
                .odoo_database
                .context("--odoo-database is missing")?,
            login: arguments.odoo_login.context("--odoo-login is missing")?,
            api_key: secret("ODOO_API_KEY"),
            password: secret("ODOO_PASSWORD"),
            users,
            known: known.clone(),
            read_only: arguments.read_only,
        };
        if options.api_key.is_none() && options.password.is_none() {
            bail!("set ODOO_API_KEY or ODOO_PASSWORD");
        }
        reports.push(("Odoo", odoo::against_real(options).await.context("Odoo")?));
    }
    if let Some(url) = arguments.storage_url {
        let options = storage::Options {
            url,
            path: arguments
                .storage_path
                .unwrap_or_else(|| "/storage/v1".to_owned()),
            key: secret("STORAGE_KEY").context("set STORAGE_KEY")?,
            anonymous_key: secret("STORAGE_ANON_KEY"),
            secret_key: secret("STORAGE_SECRET_KEY"),
            expired_key: secret("STORAGE_EXPIRED_KEY"),
            known: known.into_keys().collect(),
            read_only: arguments.read_only,
        };
        reports.push((
            "Storage",
            storage::against_real(options).await.context("Storage")?,
        ));
    }
    if let Some(url) = arguments.database_url.or_else(|| secret("DATABASE_URL")) {
        let options = postgres::Options {
            url,
            pooler_url: arguments.pooler_url,
            callback_url: arguments.callback_url,
            read_only: arguments.read_only,
        };
        reports.push((
            "Postgres",
            postgres::against_real(options).await.context("Postgres")?,
        ));
    }
    if reports.is_empty() {
        bail!("name a server: --odoo-url, --storage-url or --database-url; see --help");
    }
    for (server, report) in &reports {
        println!("{server}\n{report}");
    }
    Ok(reports
        .iter()
        .all(|(_, report)| report.differences.is_empty()))
}
