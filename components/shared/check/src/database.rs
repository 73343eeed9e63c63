//! Checks Postgres: settings, connection, role, tables, and the database's own lines.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fault::Fault;
use ledger::Postgres;
use ledger::setup::{self, Line, Outlook, State};
use outbound::{Clock, Variables};
use x509_cert::Certificate;
use x509_cert::der::DecodePem;

use crate::words::{failed, not_tried, ok, warning, wrong};
use crate::{ADDRESS, is_setting};

pub(crate) const SETTINGS: &str = "settings of Postgres";
pub(crate) const REACHED: &str = "Postgres";
pub(crate) const ROLE: &str = "role in Postgres";
pub(crate) const TABLES: &str = "tables";

/// Interval and number of polls for the answer to `pg_net`'s call, which itself waits for five seconds.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 16;

/// How long before its end a certificate is reported.
const SOON: TimeDelta = TimeDelta::days(30);

/// The results of the check.
#[derive(Default)]
pub(crate) struct Database {
    pub(crate) lines: Vec<Line>,
    pub(crate) unix_seconds: Option<f64>,
    /// Whether the tables exist and are recent enough.
    pub(crate) has_tables: bool,
    pub(crate) outlook: Option<Outlook>,
}

pub(crate) async fn look<P: Postgres>(
    variables: &impl Variables,
    postgres: &Result<P, Fault>,
) -> Database {
    let mut found = Database::default();
    let asked = match postgres {
        Ok(postgres) => setup::role(postgres).await.map(|role| (postgres, role)),
        Err(fault) => Err(fault.clone()),
    };
    let (postgres, role) = match asked {
        Ok(both) => both,
        Err(fault) => {
            let rest = if postgres.is_err() && is_setting(&fault) {
                found.lines.push(failed(SETTINGS, &fault));
                found.lines.push(not_tried(REACHED, SETTINGS));
                SETTINGS
            } else {
                found.lines.push(ok(SETTINGS, "All that is needed is set."));
                found.lines.push(failed(REACHED, &fault));
                REACHED
            };
            found.lines.push(not_tried(ROLE, rest));
            found.lines.push(not_tried(TABLES, rest));
            return found;
        }
    };
    found.unix_seconds = Some(role.unix_seconds);
    found.lines.push(ok(SETTINGS, "All that is needed is set."));
    let authority = variables.text("db_ca").await.unwrap_or_default();
    found.lines.push(reached(&role, ends_at(&authority)));
    found.lines.push(rights(&role));
    let tables = match ledger::schema::check(postgres).await {
        Ok(()) => setup::outlook(postgres).await,
        Err(fault) => Err(fault),
    };
    found.lines.push(match tables {
        Ok(outlook) => {
            found.has_tables = true;
            found.outlook = Some(outlook);
            ok(
                TABLES,
                format!("They are of version {} or newer.", ledger::schema::VERSION),
            )
        }
        Err(fault) => failed(TABLES, &fault),
    });
    found
}

/// The end of validity of a PEM certificate. An invalid certificate prevents the connection, which reports
/// it.
fn ends_at(pem: &str) -> Option<DateTime<Utc>> {
    let certificate = Certificate::from_pem(pem.trim()).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let seconds = validity.not_after.to_unix_duration().as_secs();
    DateTime::from_timestamp(seconds.try_into().ok()?, 0)
}

fn reached(role: &setup::Role, authority_ends_at: Option<DateTime<Utc>>) -> Line {
    let found = format!("Postgres {}, database {}.", role.version, role.database);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let now = DateTime::from_timestamp(role.unix_seconds as i64, 0).unwrap_or_default();
    match authority_ends_at.filter(|ends_at| *ends_at - now < SOON) {
        None => ok(REACHED, found),
        Some(ends_at) => warning(
            REACHED,
            format!(
                "{found} The certificate in db_ca is good until {} only.",
                ends_at.format("%Y-%m-%d")
            ),
            "Set db_ca to the new one, from the dashboard under Database, Settings, SSL, before then: afterwards Postgres may not be reached any more.",
        ),
    }
}

fn rights(role: &setup::Role) -> Line {
    let name = &role.name;
    if role.is_read_only {
        return wrong(
            ROLE,
            format!(
                "Nothing can be written as {name}: the database is set to read-only, as Supabase does when its disk is nearly full."
            ),
            "Make room, or enlarge the disk in the dashboard; it goes on by itself then.",
        );
    }
    if !role.lacks.is_empty() {
        return wrong(
            ROLE,
            format!("Role {name} lacks rights: {}.", role.lacks.join(", ")),
            "Set db_user to odoo_sync (at the pooler odoo_sync.PROJECT), or run the files of sql/ again, which give it its rights.",
        );
    }
    if role.is_superuser {
        return warning(
            ROLE,
            format!("Role {name} may do everything, and the components need little."),
            "Set db_user to odoo_sync (at the pooler odoo_sync.PROJECT), and db_password to its password.",
        );
    }
    ok(ROLE, format!("Role {name} has the rights that are needed."))
}

/// The database's own lines, after `pg_net` has had time to call.
pub(crate) async fn own_lines(postgres: &impl Postgres, clock: &impl Clock) -> Vec<Line> {
    let mut found = Vec::new();
    if let Err(fault) = setup::knock(postgres).await {
        return vec![failed(ADDRESS, &fault)];
    }
    for _ in 0..LOOKS {
        found = match setup::lines(postgres).await {
            Ok(lines) => lines,
            Err(fault) => return vec![failed(ADDRESS, &fault)],
        };
        let is_on_its_way = |line: &Line| line.name == ADDRESS && line.state == State::NotTried;
        let can_come = found
            .iter()
            .all(|l| l.name != "pg_net" && l.name != "key of the jobs" || l.state != State::Failed);
        if !(can_come && found.iter().any(is_on_its_way)) {
            break;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = "
-----BEGIN CERTIFICATE-----
MIIBfjCCASOgAwIBAgIUXvMonHpxPKRuG/wPTDbZbevqb+0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJYXV0aG9yaXR5MB4XDTI2MTEzMDE5Mjg0MVoXDTI2MTIwMTE5
Mjg0MVowFDESMBAGA1UEAwwJYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEnXIkrT4Q5JF0pmMvK33nuYCPV6zCz/Yjg+A4WJ8mSiQLhwBynaaEM5yj
Ku/cIbH6prqQVQjuyowwq30MrLS1LKNTMFEwHQYDVR0OBBYEFIQMJHUJDoLdDm7h
Pjui68Zy2+W3MB8GA1UdIwQYMBaAFIQMJHUJDoLdDm7hPjui68Zy2+W3MA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKW4OtRKadUfDODRjamzS4yY
ZTowGWK67CSA+e4eFrRHAiEAh2nRudz8wo+GnGOSH+gAn36msmspzUcvZ4PahFfb
3gs=
-----END CERTIFICATE-----
";

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning_and_what_is_none_is_left_to_the_connection() {
        let ends_at = ends_at(AUTHORITY);
        assert_eq!(
            ends_at.map(|at| at.to_rfc3339()).as_deref(),
            Some("2026-12-01T19:28:41+00:00")
        );
        let role = |days_before: i64| setup::Role {
            version: "17.6".to_owned(),
            database: "postgres".to_owned(),
            name: "odoo_sync".to_owned(),
            is_superuser: false,
            is_read_only: false,
            lacks: Vec::new(),
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
            unix_seconds: ends_at.map_or(0.0, |at| (at.timestamp() - days_before * 86_400) as f64),
        };
        for (days_before, state) in [(31, State::Ok), (29, State::Warning), (-1, State::Warning)] {
            let line = reached(&role(days_before), ends_at);
            assert_eq!(line.state, state, "{days_before}: {line:?}");
        }
        assert_eq!(reached(&role(0), None).state, State::Ok);
        for none in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(super::ends_at(none), None, "{none}");
        }
    }
}
