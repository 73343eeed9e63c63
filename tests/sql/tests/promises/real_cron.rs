//! With the real `pg_cron`, and the stand-in held against it.

use world::postgres::Postgres;

use crate::endpoint::Endpoint;
use crate::project::{ARCHIVE, Project, eventually, query};

/// The real one runs jobs of the schedule `@reboot` when it starts: no test has to wait for a minute.
#[tokio::test]
async fn jobs_run_under_the_real_clock_and_are_diagnosed() {
    let server = Postgres::start_throw_away().await.unwrap();
    if !has_real_cron(&server).await {
        return;
    }
    server.main().apply_sql().await.unwrap();
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::of(server.main().clone()).await;
    project.schedule(&endpoint.url()).await;
    project
        .sql("select cron.alter_job(jobid, schedule := '@reboot') from cron.job")
        .await;
    project
        .sql("select cron.schedule('broken', '@reboot', $$ select current_setting('supabase.service_role_key') $$)")
        .await;
    let project = reboot(&server, project).await;
    project.becomes("ok").await;
    assert_eq!(
        endpoint
            .calls()
            .iter()
            .filter(|call| call.path.ends_with("archive-odoo-files"))
            .count(),
        1
    );
    // Each job runs in a worker of its own, and none waits for another.
    eventually(|| async {
        let health = project.health_of("odoo-sync-purge").await;
        if (health.state.as_str(), health.last_success) == ("ok", true) {
            Ok(())
        } else {
            Err(format!("{health:?}"))
        }
    })
    .await
    .unwrap();
    let failed = eventually(|| async {
        let failed = project
            .sql("select return_message from cron.job_run_details where status = 'failed' and command ~ 'current_setting'")
            .await;
        failed.first().cloned().ok_or_else(|| "it has not failed".to_owned())
    })
    .await
    .unwrap();
    assert_eq!(
        failed.trim(),
        r#"ERROR:  unrecognized configuration parameter "supabase.service_role_key""#
    );

    // The key is gone: the job says so, by the real clock too.
    project.sql("delete from vault.secrets").await;
    let project = reboot(&server, project).await;
    eventually(|| async {
        let failed = project.sql("select return_message from cron.job_run_details where status = 'failed' and command ~ 'odoo_sync.call'").await;
        if failed.iter().any(|message| message.contains("select odoo_sync.rotate_key()")) { Ok(()) } else { Err(format!("{failed:?}")) }
    })
    .await
    .unwrap();
    assert_eq!(project.health().await.state, "vault_missing");

    // Schedules must not need more than 1.4.2 knows.
    project
        .sql("select odoo_sync.rotate_key(); select * from odoo_sync.schedule()")
        .await;
    assert_eq!(
        project
            .sql(&format!(
                "select schedule from cron.job where jobname = '{ARCHIVE}'"
            ))
            .await,
        ["* * * * *"]
    );
}

async fn reboot(server: &Postgres, project: Project) -> Project {
    drop(project);
    server.restart().await.unwrap();
    Project::of(server.main().clone()).await
}

#[tokio::test]
async fn the_stand_in_answers_as_the_real_one_does() {
    let server = Postgres::start_throw_away().await.unwrap();
    if !has_real_cron(&server).await {
        return;
    }
    let stand_in = server
        .bare_database()
        .await
        .unwrap()
        .connect()
        .await
        .unwrap();
    let real = server.main().connect().await.unwrap();
    for statement in [
        "select cron.schedule('a', '* * * * *', 'select 1')",
        "select cron.schedule('a', '5 seconds', 'select 1')",
        "select cron.schedule('5 seconds', 'select 1')",
        "select cron.schedule('60 * * * *', 'select 1')",
        "select cron.schedule('* * * *', 'select 1')",
        "select cron.schedule('*/15 1-5 1,15 * 1', 'select 3')",
        "select cron.alter_job(1, active := false)",
        "select cron.schedule('a', '1 * * * *', 'select 2')",
        "select cron.alter_job(77, active := false)",
        "select cron.unschedule('nonsense')",
        "select cron.unschedule(99)",
        "delete from cron.job",
        "insert into cron.job (schedule, command) values ('* * * * *', 'select 1')",
        "select concat_ws('|', jobid, schedule, command, username, active, jobname) from cron.job order by jobid",
        "select cron.unschedule('a')",
        "select count(*) from cron.job",
    ] {
        assert_eq!(
            query(&stand_in, statement).await,
            query(&real, statement).await,
            "{statement}"
        );
    }
    let columns = "select string_agg(concat_ws(' ', table_name, column_name, is_nullable), ', ' order by table_name, ordinal_position)
        from information_schema.columns where table_schema = 'cron'";
    assert_eq!(query(&stand_in, columns).await, query(&real, columns).await);
}

pub async fn has_real_cron(server: &Postgres) -> bool {
    let client = server.main().connect().await.unwrap();
    let there = !query(
        &client,
        "select extname from pg_extension where extname = 'pg_cron'",
    )
    .await
    .unwrap()
    .is_empty();
    if !there {
        eprintln!("skipped: pg_cron is not installed (apt-get install postgresql-15-cron)");
    }
    there
}
