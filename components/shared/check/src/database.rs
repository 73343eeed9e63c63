//! Postgres: its settings, the way to it, the role, the tables, and what the database finds itself.

use std::time::Duration;

use fault::Fault;
use ledger::Postgres;
use ledger::setup::{self, Line, Outlook, State};
use outbound::Clock;

use crate::words::{failed, not_tried, ok, warning, wrong};
use crate::{ADDRESS, is_setting};

pub(crate) const SETTINGS: &str = "settings of Postgres";
pub(crate) const REACHED: &str = "Postgres";
pub(crate) const ROLE: &str = "role in Postgres";
pub(crate) const TABLES: &str = "tables";

/// How often, and how many times, the answer to `pg_net`'s call is looked for: it waits for five seconds itself.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 16;

/// What was found.
#[derive(Default)]
pub(crate) struct Database {
    pub(crate) lines: Vec<Line>,
    pub(crate) unix_seconds: Option<f64>,
    /// Whether the tables are there, and new enough.
    pub(crate) has_tables: bool,
    pub(crate) outlook: Option<Outlook>,
}

pub(crate) async fn look<P: Postgres>(postgres: &Result<P, Fault>) -> Database {
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
    let reached = format!("Postgres {}, database {}.", role.version, role.database);
    found.lines.push(ok(REACHED, reached));
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

/// What the database finds itself, once `pg_net` has had the time to call.
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
