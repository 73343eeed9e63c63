//! A Supabase project of its own for each test, on one server for all.

use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;
use world::postgres::{Database, Postgres};
use world::supabase::Supabase;

/// The job most tests look at.
pub const ARCHIVE: &str = "archive-odoo-files-batch";

/// The server of this test run.
pub async fn server() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { Postgres::start_throw_away().await.unwrap() })
        .await
}

/// A project with `sql/` applied.
pub struct Project {
    pub database: Database,
    pub supabase: Supabase,
    /// The person who owns it: role `postgres`, no superuser.
    pub owner: Client,
}

/// A row of `odoo_sync.health()`.
#[derive(Debug)]
pub struct Health {
    pub state: String,
    pub ok: bool,
    pub problem: String,
    pub remedy: String,
    pub last_run: bool,
    pub last_success: bool,
    pub detail: Value,
}

impl Health {
    /// It says what is wrong, and what to do.
    pub fn tells(&self, problem: &str, remedy: &str) {
        assert!(self.problem.contains(problem), "{self:?} lacks {problem:?}");
        assert!(self.remedy.contains(remedy), "{self:?} lacks {remedy:?}");
    }
}

impl Project {
    pub async fn new() -> Self {
        Self::of(server().await.database().await.unwrap()).await
    }

    /// In a project that is newer than May 2026: its default privileges grant the API's roles nothing.
    pub async fn granting_nothing() -> Self {
        let database = server().await.bare_database().await.unwrap();
        let superuser = database.connect_as_superuser().await.unwrap();
        for what in ["tables", "functions", "sequences"] {
            let revoke = format!(
                "alter default privileges for role postgres in schema public revoke all on {what} from anon, authenticated, service_role"
            );
            superuser.batch_execute(&revoke).await.unwrap();
        }
        database.apply_sql().await.unwrap();
        Self::of(database).await
    }

    /// A project whose default privileges hand every new table to the API's roles, and one whose grant nothing.
    pub async fn of_both_kinds() -> [Self; 2] {
        [Self::new().await, Self::granting_nothing().await]
    }

    pub async fn of(database: Database) -> Self {
        let supabase = Supabase::attend_without_clock(&database).await.unwrap();
        let owner = database.connect().await.unwrap();
        Self {
            database,
            supabase,
            owner,
        }
    }

    /// With the jobs scheduled to call that address.
    pub async fn calling(base_url: &str) -> Self {
        let project = Self::new().await;
        project.schedule(base_url).await;
        project
    }

    /// Runs statements as the owner; returns the last statement's first column, row by row.
    pub async fn sql(&self, statements: &str) -> Vec<String> {
        query(&self.owner, statements)
            .await
            .unwrap_or_else(|problem| panic!("{statements}: {problem}"))
    }

    /// What Postgres says to statements that must fail.
    pub async fn refusal(&self, statements: &str) -> String {
        query(&self.owner, statements).await.expect_err(statements)
    }

    pub async fn schedule(&self, base_url: &str) -> String {
        self.sql(&format!(
            "select concat_ws(': ', job, action, detail) from odoo_sync.schedule('{base_url}')"
        ))
        .await
        .join("\n")
    }

    pub async fn tick(&self) {
        let run = self.supabase.tick(ARCHIVE).await.unwrap();
        assert_eq!(run.status, "succeeded", "{}", run.return_message);
    }

    pub async fn health(&self) -> Health {
        self.health_of(ARCHIVE).await
    }

    pub async fn health_of(&self, job: &str) -> Health {
        let row = self
            .owner
            .query_one(
                "select * from odoo_sync.health_view where job = $1",
                &[&job],
            )
            .await
            .unwrap();
        let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
        let is_there = |column: &str| {
            row.get::<_, Option<chrono::DateTime<chrono::Utc>>>(column)
                .is_some()
        };
        Health {
            state: text("state"),
            ok: row.get("ok"),
            problem: text("problem"),
            remedy: text("remedy"),
            last_run: is_there("last_run"),
            last_success: is_there("last_success"),
            detail: row.get("detail"),
        }
    }

    /// Waits until the archive's job is in that state, and returns what is said of it.
    pub async fn becomes(&self, state: &str) -> Health {
        let seen = eventually(|| async {
            let health = self.health().await;
            if health.state == state {
                Ok(health)
            } else {
                Err(format!("{health:?}"))
            }
        });
        seen.await
            .unwrap_or_else(|last| panic!("never became {state}: {last}"))
    }

    /// Waits until every call so far has its answer.
    pub async fn is_answered(&self) {
        let open = "select count(*) from odoo_sync.calls c where c.answered_at is null and not exists (select from net._http_response r where r.id = c.request_id)";
        eventually(|| async {
            let open = self.sql(open).await;
            if open == ["0"] {
                Ok(())
            } else {
                Err(format!("{open:?} calls are open"))
            }
        })
        .await
        .unwrap();
    }

    /// A user of the application, with an id and the claims of a token.
    pub async fn user(&self, admin: bool) -> Client {
        let id = Uuid::parse_str(
            &self
                .sql("insert into auth.users default values returning id")
                .await[0],
        )
        .unwrap();
        if admin {
            self.owner
                .execute(
                    "insert into public.user_roles (user_id, role) values ($1, 'admin')",
                    &[&id],
                )
                .await
                .unwrap();
        }
        let claims = serde_json::json!({ "sub": id, "role": "authenticated", "email": "someone@example.com" });
        self.database
            .connect_as("authenticated", Some(&claims))
            .await
            .unwrap()
    }
}

/// Runs statements; returns the first column of every row, or what Postgres says against them.
pub async fn query(client: &Client, statements: &str) -> Result<Vec<String>, String> {
    let messages =
        client
            .simple_query(statements)
            .await
            .map_err(|problem| match problem.as_db_error() {
                Some(error) => format!("{} {}", error.message(), error.hint().unwrap_or_default()),
                None => problem.to_string(),
            })?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        })
        .collect())
}

/// What a job's state is without the extension: where a real one is preloaded, it serves the server's
/// main database, and these are others.
pub async fn without_pg_cron(client: &Client) -> &'static str {
    let preloaded = "select current_setting('cron.database_name', true) <> current_database()";
    if query(client, preloaded).await.unwrap() == ["t"] {
        "other_database"
    } else {
        "no_pg_cron"
    }
}

/// Asks again until the answer is `Ok`; gives up, with the last answer, after two minutes.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(
    ask: impl Fn() -> F,
) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match ask().await {
            Err(_) if started.elapsed() < Duration::from_mins(2) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return answer,
        }
    }
}
