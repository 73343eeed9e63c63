//! What will break is told by `odoo_sync.health()` before it does, beside a state that is still `ok`.

use crate::endpoint::Endpoint;
use crate::project::{ARCHIVE, Health, Project};

const PURGE: &str = "odoo-sync-purge";

/// The job is well, and this is told of it all the same.
fn warns(health: &Health, problem: &str, remedy: &str) {
    assert_eq!(
        (health.state.as_str(), health.ok),
        ("ok", true),
        "{health:?}"
    );
    health.tells(problem, remedy);
}

/// A project in which all has run once.
async fn well() -> (Project, Endpoint) {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    project.is_answered().await;
    let run = project.supabase.tick(PURGE).await.unwrap();
    assert_eq!(run.status, "succeeded", "{}", run.return_message);
    for job in [ARCHIVE, PURGE] {
        let health = project.health_of(job).await;
        assert_eq!(
            (health.state.as_str(), health.problem.as_str()),
            ("ok", ""),
            "{health:?}"
        );
    }
    (project, endpoint)
}

#[tokio::test]
async fn what_the_look_of_the_day_found_is_told_for_as_long_as_it_is_fresh() {
    let (project, _endpoint) = well().await;
    let lines = r#"[{"name": "API key of Odoo", "state": "warning", "found": "It ends on 2026-12-10.", "remedy": "Make another key."},
        {"name": "size limit", "state": "failed", "found": "file 7 has 60 MiB.", "remedy": "Raise the limit."},
        {"name": "key of Storage", "state": "warning", "found": "A legacy key.", "remedy": "told otherwise"},
        {"name": "clocks", "state": "ok", "found": "They agree.", "remedy": null}]"#;
    let looked =
        format!("insert into odoo_sync.checks (checked_at, lines) values (now(), '{lines}')");
    project.sql(&looked).await;
    let health = project.health().await;
    let told = "API key of Odoo: It ends on 2026-12-10. size limit: file 7 has 60 MiB.";
    warns(&health, told, "Make another key. Raise the limit.");
    assert_eq!(health.problem, told);
    project
        .sql("update odoo_sync.checks set checked_at = now() - interval '3 days'")
        .await;
    assert_eq!(project.health().await.problem, "");
}

#[tokio::test]
async fn a_database_that_fills_up_is_told_where_its_size_is_known() {
    let (project, _endpoint) = well().await;
    for (wrong, says) in [
        ("'\"8 GB\"'", "the size of the disk in bytes"),
        ("'12'", "the size of the disk in bytes"),
    ] {
        let refusal = project
            .refusal(&format!("select odoo_sync.set('database_bytes', {wrong})"))
            .await;
        assert!(refusal.contains(says), "{refusal}");
    }
    let set = async |share: &str| {
        let set = format!(
            "select odoo_sync.set('database_bytes', to_jsonb((pg_database_size(current_database()) * {share})::bigint))"
        );
        project.sql(&set).await;
    };
    set("2").await;
    assert_eq!(project.health_of(PURGE).await.problem, "");
    set("1.02").await;
    let health = project.health_of(PURGE).await;
    warns(&health, "that database_bytes says", "Enlarge the disk");
    assert!(health.detail["database_bytes"].is_number(), "{health:?}");
}

#[tokio::test]
async fn tables_of_pg_cron_and_pg_net_that_grow_are_told_without_being_counted() {
    let (project, _endpoint) = well().await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    let grown =
        "update pg_class set reltuples = 3000000 where oid = 'cron.job_run_details'::regclass;
        update pg_class set reltuples = 400000 where oid = 'net._http_response'::regclass";
    superuser.batch_execute(grown).await.unwrap();
    let health = project.health_of(PURGE).await;
    warns(
        &health,
        "cron.job_run_details has some 3000000 rows",
        "delete from cron.job_run_details",
    );
    warns(
        &health,
        "net._http_response has some 400000 rows",
        "pg_net.ttl",
    );
    assert_eq!(health.detail["net._http_response"], 400_000, "{health:?}");
}
