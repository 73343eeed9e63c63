//! A project that was restored, paused, copied or moved: what did not come along has a state and a remedy.

use crate::endpoint::Endpoint;
use crate::project::{ARCHIVE, Health, Project};

const PURGE: &str = "odoo-sync-purge";

fn says(health: &Health, state: &str, problem: &str, remedy: &str) {
    assert!(
        health.state == state
            && !health.ok
            && health.problem.contains(problem)
            && health.remedy.contains(remedy),
        "{state}, {problem:?}, {remedy:?}: {health:?}"
    );
}

/// What the components answer when they cannot get into Postgres.
const BUSY: &str = r#"{"error":"Who calls cannot be checked just now: the pooler has no connection free: raise the pool size under Database, Settings. The component's log says more"}"#;
const CLOSED: &str = r#"{"error":"Who calls cannot be checked just now: the connection was closed before it was open. The component's log says more"}"#;

#[tokio::test]
async fn why_the_components_cannot_get_into_postgres_is_told_in_their_words() {
    let why = "the pooler has no connection free: raise the pool size under Database, Settings";
    let endpoint = Endpoint::with(503, BUSY).await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    let health = project.becomes("server_error").await;
    says(&health, "server_error", why, "Their log has what was said");
    assert!(health.problem.contains("503"), "{health:?}");
}

#[tokio::test]
async fn a_role_that_cannot_log_in_is_told_where_the_components_do_not_get_in() {
    let endpoint = Endpoint::with(503, CLOSED).await;
    let project = Project::calling(&endpoint.url()).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    project.tick().await;
    project.becomes("server_error").await;
    // Roles are the whole server's, which other tests use: what is changed is seen in this transaction alone.
    for (change, told) in [
        ("alter role odoo_sync nologin", "may not log in"),
        (
            "alter role odoo_sync valid until '2026-01-31'",
            "ran out at 2026-01-31",
        ),
        ("alter role odoo_sync password null", "has no password"),
    ] {
        let row = {
            superuser.batch_execute("begin").await.unwrap();
            superuser.batch_execute(change).await.unwrap();
            let row = superuser
                .query_one(
                    "select state, problem, remedy from odoo_sync.health() where job = $1",
                    &[&ARCHIVE],
                )
                .await;
            superuser.batch_execute("rollback").await.unwrap();
            row.unwrap()
        };
        let [state, problem, remedy]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(state, "role_locked", "{problem}");
        assert!(problem.contains(told), "{problem}");
        assert!(
            remedy.contains("select odoo_sync.new_password()"),
            "{remedy}"
        );
    }
}

#[tokio::test]
async fn jobs_that_did_not_come_along_are_told_from_jobs_that_never_were() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("delete from cron.job")
        .await
        .unwrap();
    says(
        &project.health().await,
        "not_scheduled",
        "did not come along with a restore",
        &format!(
            "project that {} works for, run: select * from odoo_sync.schedule()",
            endpoint.url()
        ),
    );
    project.sql("select * from odoo_sync.schedule()").await;
    project.tick().await;
    project.becomes("ok").await;
}

#[tokio::test]
async fn sequences_that_began_anew_are_told_and_mended() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    for _ in 0..3 {
        project.tick().await;
    }
    let restart = "alter table odoo_sync.calls alter column id restart";
    project.sql(restart).await;
    let remedy = "odoo_sync.mend_sequences()";
    says(
        &project.health_of(PURGE).await,
        "sequence_behind",
        "odoo_sync.calls",
        remedy,
    );
    let run = project.supabase.tick(ARCHIVE).await.unwrap();
    assert_eq!(run.status, "failed");
    says(
        &project.health().await,
        "sequence_behind",
        "a restore",
        remedy,
    );
    assert_eq!(
        project.sql("select odoo_sync.mend_sequences()").await,
        ["1"]
    );
    project.tick().await;
    project.is_answered().await;
    assert_ne!(project.health().await.state, "sequence_behind");
    assert_ne!(project.health_of(PURGE).await.state, "sequence_behind");
    // The files of `sql/` do it too.
    project.sql(restart).await;
    project.database.apply_sql().await.unwrap();
    project.tick().await;
    let numbers = "select count(*) from odoo_sync.sequences_behind()";
    assert_eq!(project.sql(numbers).await, ["0"]);
}

#[tokio::test]
async fn a_legacy_key_in_use_is_a_warning_until_another_is() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    project.becomes("ok").await;
    let ran = |legacy: bool| {
        format!(
            "insert into odoo_sync.runs (id, job, mode, leased_until, finished_at, outcome, counts)
             values (gen_random_uuid(), 'archive-batch', 'migrate', now(), now(), 'success',
                     jsonb_build_object('storage', jsonb_build_object('uploads_to', 'abcd.storage.supabase.co', 'legacy_key', {legacy})))"
        )
    };
    project.sql(&ran(true)).await;
    let health = project.health().await;
    assert!(
        health.ok
            && health.state == "ok"
            && health.problem.contains("storage_key is a legacy key")
            && health.problem.contains("end of 2026")
            && health.remedy.contains("sb_secret_"),
        "{health:?}"
    );
    assert_eq!(
        health.detail["storage"]["uploads_to"],
        "abcd.storage.supabase.co"
    );
    project.sql(&ran(false)).await;
    let health = project.health().await;
    assert_eq!((health.state.as_str(), health.problem.as_str()), ("ok", ""));
}
