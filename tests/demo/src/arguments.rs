//! What the caller wants, from the command line and, for secrets, from the environment.

use std::ffi::OsString;

use anyhow::{Result, anyhow, bail};
use clap::Parser;

const ABOUT: &str = "\
Moves a few thousand attachments from a simulated Odoo to a simulated Supabase
Storage, through the compiled components and a throw-away Postgres; or from
and to real ones.";

const SECRETS: &str = "\
From the environment, since they are secret:
  ODOO_API_KEY   the key of the Odoo user
  ODOO_PASSWORD  its password: instead of the key, or beside it for large files
  STORAGE_KEY    the project's service_role key, or an sb_secret_ key
  DATABASE_URL   a server to use for a new database, instead of a throw-away one";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    about = ABOUT,
    after_help = SECRETS,
    override_usage = "cargo demo -- [OPTIONS]",
    disable_version_flag = true
)]
pub struct Arguments {
    /// End when all is moved; 0 only if all arrived
    #[arg(long)]
    pub once: bool,
    /// Look whether all is set up right, move nothing, and end
    #[arg(long, conflicts_with = "once")]
    pub check: bool,
    /// How many the simulated Odoo has [default: 2000]
    #[arg(long, value_name = "N", conflicts_with = "odoo_url")]
    attachments: Option<u64>,
    /// How many leads its pipeline has [default: 500]
    #[arg(long, value_name = "N", conflicts_with = "odoo_url")]
    leads: Option<u32>,
    /// The simulated Odoo's: 17, 18 or 19 [default: 18]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(17..=19), conflicts_with = "odoo_url")]
    odoo_version: Option<u8>,
    /// How long each simulated answer takes [default: 0]
    #[arg(long, value_name = "MS")]
    latency_ms: Option<u64>,
    /// The address of a real Odoo
    #[arg(long, value_name = "URL")]
    odoo_url: Option<String>,
    /// Its database
    #[arg(long, value_name = "NAME", requires = "odoo_url")]
    odoo_database: Option<String>,
    /// The login of its user
    #[arg(long, value_name = "LOGIN", requires = "odoo_url")]
    odoo_login: Option<String>,
    /// The address of a real Storage
    #[arg(long, value_name = "URL")]
    storage_url: Option<String>,
    /// What its paths begin with [default: /storage/v1]
    #[arg(long, value_name = "PATH", requires = "storage_url")]
    storage_path: Option<String>,
    /// The bucket [default: odoo-archive]
    #[arg(long, value_name = "NAME", requires = "storage_url")]
    storage_bucket: Option<String>,
    /// Show what the components print
    #[arg(long)]
    verbose: bool,
}

/// What to put on the scene. It has no `Debug`, since it holds secrets.
pub struct Plan {
    /// Where files come from.
    pub source: Source,
    /// Where files go.
    pub destination: Destination,
    /// How long each answer of the simulated servers takes at least, in milliseconds.
    pub latency_ms: u64,
    /// Whether the components' lines are shown.
    pub verbose: bool,
    /// Whether the jobs are to do nothing.
    pub paused: bool,
}

/// Where files come from.
pub enum Source {
    /// A simulated Odoo.
    Simulated {
        /// 17 to 19.
        version: u8,
        /// How many attachments it has.
        attachments: u64,
        /// How many leads.
        leads: u32,
    },
    /// A real one.
    Real {
        /// `scheme://host[:port]`.
        url: String,
        /// Its database.
        database: String,
        /// The login of its user.
        login: String,
        /// The user's API key, empty if there is none.
        api_key: String,
        /// The user's password, empty if there is none.
        password: String,
    },
}

/// Where files go.
pub enum Destination {
    /// A simulated Storage.
    Simulated,
    /// A real one.
    Real {
        /// `scheme://host[:port]`.
        url: String,
        /// What stands before `/object`.
        path: String,
        /// The bucket.
        bucket: String,
        /// The service key.
        key: String,
    },
}

impl Arguments {
    /// `cargo demo --once` and `cargo demo -- --once` are the same: the alias ends with `--`, and so
    /// does the habit of whoever types it.
    pub fn of_command_line(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let words = words.into_iter().enumerate();
        let words = words.filter(|(place, word)| *place != 1 || word != "--");
        Self::try_parse_from(words.map(|(_, word)| word))
    }
}

impl Plan {
    /// From arguments, and secrets from `environment`. What is missing is named.
    pub fn from(
        arguments: Arguments,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let secret = |name: &str| environment(name).unwrap_or_default().trim().to_owned();
        let source = match arguments.odoo_url {
            None => Source::Simulated {
                version: arguments.odoo_version.unwrap_or(18),
                attachments: arguments.attachments.unwrap_or(2_000),
                leads: arguments.leads.unwrap_or(500),
            },
            Some(url) => {
                let (api_key, password) = (secret("ODOO_API_KEY"), secret("ODOO_PASSWORD"));
                if api_key.is_empty() && password.is_empty() {
                    bail!(
                        "ODOO_API_KEY is not set: put the key of an Odoo user into it (Odoo: Preferences, Account Security, New API Key), or the user's password into ODOO_PASSWORD"
                    );
                }
                Source::Real {
                    url: origin("--odoo-url", &url)?,
                    database: arguments.odoo_database.unwrap_or_default(),
                    login: arguments.odoo_login.unwrap_or_default(),
                    api_key,
                    password,
                }
            }
        };
        let destination = match arguments.storage_url {
            None => Destination::Simulated,
            Some(url) => {
                let key = secret("STORAGE_KEY");
                if key.is_empty() {
                    bail!(
                        "STORAGE_KEY is not set: put your project's service_role key, or an sb_secret_ key, into it (Supabase: Project Settings, API Keys)"
                    );
                }
                Destination::Real {
                    url: origin("--storage-url", &url)?,
                    path: arguments
                        .storage_path
                        .unwrap_or_else(|| "/storage/v1".to_owned()),
                    bucket: arguments
                        .storage_bucket
                        .unwrap_or_else(|| "odoo-archive".to_owned()),
                    key,
                }
            }
        };
        Ok(Self {
            source,
            destination,
            latency_ms: arguments.latency_ms.unwrap_or_default(),
            verbose: arguments.verbose,
            paused: arguments.check,
        })
    }
}

/// `scheme://host[:port]`: the list of hosts that a component may reach takes no path.
fn origin(flag: &str, url: &str) -> Result<String> {
    let url = url.trim().trim_end_matches('/');
    let valid = ["http://", "https://"].iter().any(|scheme| {
        url.strip_prefix(scheme).is_some_and(|rest| {
            !rest.is_empty()
                && !rest.contains(['/', '?', '#', '@', '{', '}', '*'])
                && !rest.contains(char::is_whitespace)
        })
    });
    if !valid {
        bail!("{flag} takes scheme://host[:port], such as https://my.example.com, without a path");
    }
    Ok(url.to_owned())
}

/// What is wrong with a command line, without the usage that clap adds below.
pub fn in_one_line(wrong: &clap::Error) -> anyhow::Error {
    let text = wrong.to_string();
    let said: Vec<String> = text
        .split("\n\n")
        .take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more"))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let said = said.join("; ");
    anyhow!(
        "{}; see `cargo demo -- --help`",
        said.trim_start_matches("error: ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str, environment: &[(&str, &str)]) -> Result<Plan, String> {
        let words = std::iter::once("demo").chain(line.split_whitespace());
        let arguments = Arguments::of_command_line(words.map(Into::into))
            .map_err(|wrong| in_one_line(&wrong).to_string())?;
        Plan::from(arguments, |name| {
            let given = environment.iter().find(|(given, _)| *given == name);
            given.map(|(_, value)| (*value).to_owned())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_everything_is_simulated_whatever_the_environment_holds() {
        let plan = plan("", &[("ODOO_API_KEY", "k"), ("STORAGE_KEY", "k")])
            .unwrap_or_else(|said| panic!("{said}"));
        assert!(matches!(
            plan.source,
            Source::Simulated {
                version: 18,
                attachments: 2_000,
                leads: 500
            }
        ));
        assert!(matches!(plan.destination, Destination::Simulated));
    }

    #[test]
    fn a_doubled_separator_changes_nothing() {
        for line in ["--once --attachments 7", "-- --once --attachments 7"] {
            let plan = plan(line, &[]).unwrap_or_else(|said| panic!("{said}"));
            assert!(matches!(
                plan.source,
                Source::Simulated { attachments: 7, .. }
            ));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_in_one_line() {
        for (line, named) in [
            ("--odoo-url https://my.odoo.com", "ODOO_API_KEY"),
            ("--storage-url https://abcd.supabase.co", "STORAGE_KEY"),
            ("--odoo-database prod", "--odoo-url"),
            ("--odoo-version 13", "17..=19"),
            ("--attachments many", "--attachments"),
            ("--attachmens 3", "--attachments"),
            (
                "--attachments 3 --odoo-url https://my.odoo.com",
                "cannot be used with",
            ),
        ] {
            let said = plan(line, &[]).err().unwrap_or_default();
            assert!(said.contains(named), "{line}: {said}");
            assert!(!said.contains('\n'), "{line}: {said}");
        }
        let said = plan(
            "--odoo-url https://my.odoo.com/web",
            &[("ODOO_API_KEY", "k")],
        )
        .err()
        .unwrap_or_default();
        assert!(said.contains("without a path"), "{said}");
    }

    #[test]
    fn a_secret_is_taken_from_the_environment() {
        let plan = plan(
            "--odoo-url https://my.odoo.com/ --odoo-login me",
            &[("ODOO_PASSWORD", "secret\n")],
        )
        .unwrap_or_else(|said| panic!("{said}"));
        assert!(
            matches!(plan.source, Source::Real { url, login, password, .. }
            if url == "https://my.odoo.com" && login == "me" && password == "secret")
        );
    }
}
