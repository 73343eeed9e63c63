//! Checks Odoo: settings, connection, and the user's identity and rights.

use chrono::{DateTime, TimeDelta, Utc};
use fault::Fault;
use ledger::Postgres;
use ledger::setup::{Line, Outlook};
use odoo::about::{ApiKey, Server};
use odoo::{Known, Odoo, Protocol, Settings};
use outbound::{Clock, Http, Variables};

use crate::words::{failed, not_tried, ok, warning};

pub(crate) const SETTINGS: &str = "settings of Odoo";
pub(crate) const REACHED: &str = "Odoo";
pub(crate) const LOGIN: &str = "login to Odoo";
pub(crate) const KEY: &str = "API key of Odoo";
pub(crate) const SESSION: &str = "web session of Odoo";
pub(crate) const IDENTITY: &str = "database of Odoo";
pub(crate) const RIGHTS: &str = "rights in Odoo";

/// How long before its end an API key is reported, so that there is time to create another.
const KEY_ENDS: TimeDelta = TimeDelta::days(14);

/// Maximum number of missing rights that are named.
const MOST_NAMED: usize = 5;

const NEW_KEY: &str = "Log in to Odoo as this user, make another API key under Preferences, Account Security, set odoo_api_key to it, and start the components again.";

/// The results of the check.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) lines: Vec<Line>,
    /// Odoo's clock, corrected by half the time of the request.
    pub(crate) unix_seconds: Option<i64>,
}

impl Source {
    /// Adds a failed line, and marks the following ones as not tried.
    fn ends(mut self, line: Line, rest: &[&str]) -> Self {
        let first = line.name.clone();
        self.lines.push(line);
        let rest = rest.iter().map(|name| not_tried(name, &first));
        self.lines.extend(rest);
        self
    }
}

pub(crate) async fn look(
    variables: &impl Variables,
    http: &impl Http,
    clock: &impl Clock,
    postgres: Option<&impl Postgres>,
    outlook: Option<&Outlook>,
) -> Source {
    let mut found = Source::default();
    let odoo = match of_settings(variables, http, clock).await {
        Ok((odoo, line)) => {
            found.lines.push(line);
            odoo
        }
        Err(fault) => {
            let rest = [REACHED, LOGIN, KEY, SESSION, IDENTITY, RIGHTS];
            return found.ends(failed(SETTINGS, &fault), &rest);
        }
    };
    let asked = clock.unix_seconds();
    let server = match odoo.server().await {
        Ok(server) => server,
        Err(fault) => {
            let rest = [LOGIN, KEY, SESSION, IDENTITY, RIGHTS];
            return found.ends(failed(REACHED, &fault), &rest);
        }
    };
    // Assume that the answer took half of the elapsed time; a second does not matter.
    let passed = clock.unix_seconds() - asked;
    found.unix_seconds = server.unix_seconds.map(|seconds| seconds + passed / 2);
    found.lines.push(reached(&server));
    let user = match login(&odoo).await {
        Ok((user, line)) => {
            found.lines.push(line);
            user
        }
        Err(fault) => {
            let rest = [KEY, SESSION, IDENTITY, RIGHTS];
            return found.ends(failed(LOGIN, &fault), &rest);
        }
    };
    found.lines.push(key(&odoo, &server, user, clock).await);
    found.lines.push(session(&odoo, outlook).await);
    found.lines.push(match (postgres, outlook) {
        (Some(postgres), Some(outlook)) => identity(&odoo, postgres, outlook).await,
        _ => not_tried(IDENTITY, crate::database::TABLES),
    });
    found.lines.push(match odoo.rights().await {
        Ok(rights) => seen(&rights.in_words()),
        Err(fault) => failed(RIGHTS, &fault),
    });
    found
}

async fn of_settings<'a, H: Http, C: Clock>(
    variables: &impl Variables,
    http: &'a H,
    clock: &'a C,
) -> Result<(Odoo<&'a H, &'a C>, Line), Fault> {
    let settings = Settings::read(variables).await?;
    let user = settings.login.clone();
    let secrets = match (settings.api_key.is_empty(), settings.password.is_empty()) {
        (false, false) => "an API key and a password",
        (false, true) => "an API key and no password",
        _ => "a password and no API key",
    };
    let odoo = Odoo::new(http, clock, settings, Known::default())?;
    let found = format!("{}, as {user}, with {secrets}.", odoo.place());
    Ok((odoo, ok(SETTINGS, found)))
}

fn reached(server: &Server) -> Line {
    let found = format!("Odoo {} answers.", server.version);
    match server.major() {
        Some(14..=19) => ok(REACHED, found),
        _ => warning(
            REACHED,
            found,
            "This program knows Odoo 14 to 19: look well whether all arrives, and update it.",
        ),
    }
}

async fn login<H: Http, C: Clock>(odoo: &Odoo<H, C>) -> Result<(Option<i64>, Line), Fault> {
    let user = odoo.user_id().await?;
    let way = match (odoo.connect().await?, odoo.has_api_key()) {
        (Protocol::Json2, _) => "by JSON-2 with the API key",
        (Protocol::JsonRpc { .. }, true) => "by JSON-RPC with the API key",
        (Protocol::JsonRpc { .. }, false) => "by JSON-RPC with the password",
    };
    let whose = user.map(|id| format!(" as user {id}")).unwrap_or_default();
    Ok((user, ok(LOGIN, format!("Logged in{whose}, {way}."))))
}

/// When the API key expires. Odoo does not tell which of the user's keys is in use.
async fn key<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    server: &Server,
    user: Option<i64>,
    clock: &impl Clock,
) -> Line {
    if !odoo.has_api_key() {
        return ok(KEY, "None is in use: the password opens everything.");
    }
    let Some(user) = user.filter(|_| server.major().is_none_or(|major| major >= 18)) else {
        return ok(KEY, "API keys of this version of Odoo do not end.");
    };
    match odoo.api_keys(user).await {
        Ok(keys) => ends(&keys, clock.unix_seconds()),
        Err(fault) => warning(
            KEY,
            format!("When it ends cannot be read: {fault}."),
            "Note the day on which it ends yourself: a key of a user who is no administrator lives for 90 days at most.",
        ),
    }
}

fn ends(keys: &[ApiKey], now: i64) -> Line {
    let now = DateTime::from_timestamp(now, 0).unwrap_or_default();
    // The login worked, so the key in use is not expired and is valid for RPC.
    let may_be_it = |key: &&ApiKey| {
        key.scope.as_deref().is_none_or(|scope| scope == "rpc")
            && key.ends.is_none_or(|ends| ends > now)
    };
    let candidates: Vec<_> = keys.iter().filter(may_be_it).collect();
    let first: Option<DateTime<Utc>> = candidates.iter().filter_map(|key| key.ends).min();
    let which = match candidates.len() {
        0 => return ok(KEY, "The user has none: odoo_api_key holds its password."),
        1 => "It ends".to_owned(),
        several => format!("The first of the user's {several} keys ends"),
    };
    let Some(first) = first else {
        return ok(KEY, "It never ends.");
    };
    let found = format!("{which} on {}.", first.format("%Y-%m-%d"));
    if first - now > KEY_ENDS {
        ok(KEY, found)
    } else {
        warning(KEY, found, NEW_KEY)
    }
}

async fn session<H: Http, C: Clock>(odoo: &Odoo<H, C>, outlook: Option<&Outlook>) -> Line {
    match odoo.open_session().await {
        Some(Ok(())) => ok(
            SESSION,
            "One opens with the password: large files stream by it.",
        ),
        Some(Err(fault)) => failed(SESSION, &fault),
        None if odoo.can_stream() => ok(
            SESSION,
            "No password is set: large files stream by access tokens.",
        ),
        None => {
            let need = outlook.map_or(0, |outlook| outlook.need_password);
            if need == 0 {
                return ok(
                    SESSION,
                    "No password is set: files come by RPC, up to archive_max_rpc_bytes.",
                );
            }
            warning(
                SESSION,
                format!("No password is set, and {need} files are too large to come by RPC."),
                "Set odoo_password to the user's password, or odoo_access_tokens to true, or raise archive_max_rpc_bytes: they are taken up by themselves.",
            )
        }
    }
}

async fn identity<H: Http, C: Clock>(
    odoo: &Odoo<H, C>,
    postgres: &impl Postgres,
    outlook: &Outlook,
) -> Line {
    match run::belongs_here(odoo, postgres, &outlook.identities, None).await {
        Err(fault) => failed(IDENTITY, &fault),
        Ok(()) if outlook.identities.contains_key("odoo") => {
            ok(IDENTITY, "It is the one that the tables belong to.")
        }
        Ok(()) => ok(
            IDENTITY,
            "The tables belong to none yet: the first run makes this one theirs.",
        ),
    }
}

/// Missing rights leave gaps that no list shows; they may be intended.
fn seen(lacking: &[String]) -> Line {
    if lacking.is_empty() {
        return ok(
            RIGHTS,
            "The user has every company, and the groups by which all is seen.",
        );
    }
    let mut named: Vec<_> = lacking.iter().take(MOST_NAMED).cloned().collect();
    if lacking.len() > MOST_NAMED {
        named.push(format!("{} more", lacking.len() - MOST_NAMED));
    }
    warning(
        RIGHTS,
        format!("{}.", named.join("; ")),
        "Give it to the user in Odoo under Settings, Users: companies under Allowed Companies, groups under Access Rights; or leave it so, where what is hidden is not to be copied.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::setup::State;

    #[test]
    fn the_first_key_that_may_be_the_one_in_use_is_told() {
        let now = 1_795_000_000;
        let key = |scope: Option<&str>, days: Option<i64>| ApiKey {
            scope: scope.map(str::to_owned),
            ends: days.and_then(|days| DateTime::from_timestamp(now + days * 86_400, 0)),
        };
        for (keys, state, said) in [
            (vec![], State::Ok, "holds its password"),
            (vec![key(None, None)], State::Ok, "never ends"),
            (vec![key(None, Some(15))], State::Ok, "It ends on"),
            (
                vec![key(Some("rpc"), Some(13))],
                State::Warning,
                "It ends on",
            ),
            (
                vec![key(Some("totp"), Some(1)), key(None, None)],
                State::Ok,
                "never ends",
            ),
            (
                vec![key(None, Some(-1)), key(None, Some(60))],
                State::Ok,
                "It ends on",
            ),
            (
                vec![key(None, None), key(None, Some(5))],
                State::Warning,
                "user's 2 keys",
            ),
        ] {
            let line = ends(&keys, now);
            assert_eq!(line.state, state, "{keys:?}");
            assert!(line.found.contains(said), "{line:?}");
        }
    }
}
