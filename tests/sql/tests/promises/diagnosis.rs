//! `odoo_sync.health()` tells what is wrong, each time provoked for real.

use crate::endpoint::{Endpoint, answer, nobody};
use crate::project::{ARCHIVE, Health, Project, query, without_pg_cron};

fn says(health: &Health, problem: &str, remedy: &str) {
    assert!(!health.ok, "{health:?}");
    health.tells(problem, remedy);
}

#[tokio::test]
async fn a_job_that_is_not_scheduled_is_told() {
    let project = Project::new().await;
    let health = project.health().await;
    assert_eq!(health.state, "not_scheduled");
    says(
        &health,
        "There is no job archive-odoo-files-batch",
        "odoo_sync.schedule(",
    );
}

#[tokio::test]
async fn a_job_waits_until_its_first_answer() {
    let endpoint = Endpoint::silent().await;
    let project = Project::calling(&endpoint.url()).await;
    assert_eq!(project.health().await.state, "waiting");
    project.tick().await;
    let health = project.health().await;
    assert_eq!(
        (health.state.as_str(), health.ok, health.last_run),
        ("waiting", true, true)
    );
}

#[tokio::test]
async fn a_paused_job_is_told() {
    let project = Project::calling(&nobody().await).await;
    project
        .sql("select odoo_sync.pause('archive-odoo-files-batch')")
        .await;
    let health = project.health().await;
    assert_eq!(health.state, "paused");
    assert!(
        health
            .remedy
            .contains("odoo_sync.resume('archive-odoo-files-batch')"),
        "{health:?}"
    );
}

#[tokio::test]
async fn an_error_in_the_command_is_told() {
    let project = Project::calling(&nobody().await).await;
    project
        .sql("alter table odoo_sync.calls rename column request_id to renamed")
        .await;
    assert_eq!(
        project.supabase.tick(ARCHIVE).await.unwrap().status,
        "failed"
    );
    project
        .sql("alter table odoo_sync.calls rename column renamed to request_id")
        .await;
    let health = project.health().await;
    assert_eq!(health.state, "sql_error");
    says(&health, "request_id", "Run the files of sql/ again");
}

#[tokio::test]
async fn a_missing_key_is_told_and_no_call_leaves_without_it() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    for emptied in [
        "delete from vault.secrets",
        "select vault.create_secret('', 'odoo_sync_key')",
    ] {
        project.sql(emptied).await;
        let run = project.supabase.tick(ARCHIVE).await.unwrap();
        assert_eq!(run.status, "failed");
        assert!(
            run.return_message.contains("select odoo_sync.rotate_key()"),
            "{}",
            run.return_message
        );
        let health = project.health().await;
        assert_eq!(health.state, "vault_missing");
        says(&health, "odoo_sync_key", "odoo_sync.rotate_key()");
    }
    assert!(endpoint.calls().is_empty());

    project.sql("select odoo_sync.rotate_key()").await;
    assert_eq!(
        project.health().await.state,
        "waiting",
        "the failure before the repair is bygone"
    );
}

#[tokio::test]
async fn a_stale_key_is_told_from_components_that_read_another_database() {
    let endpoint = Endpoint::with(401, r#"{"error":"Unauthorized"}"#).await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    let health = project.becomes("unauthorized").await;
    says(&health, "from another database", "db_host");

    // Changed by hand, as in the set-up that called in vain for five days.
    project
        .sql("select vault.update_secret(id, 'pasted-by-somebody-somewhere') from vault.secrets")
        .await;
    project.tick().await;
    project.is_answered().await;
    let health = project.health().await;
    assert_eq!(health.state, "unauthorized");
    says(
        &health,
        "the key in the vault is stale",
        "odoo_sync.rotate_key()",
    );

    project.sql("select odoo_sync.rotate_key()").await;
    assert_eq!(
        project.health().await.state,
        "waiting",
        "a key changed after the refusal: the next run will tell"
    );
}

#[tokio::test]
async fn a_timeout_is_told() {
    let endpoint = Endpoint::silent().await;
    let project = Project::calling(&endpoint.url()).await;
    project
        .sql("update odoo_sync.jobs set timeout_ms = 1000")
        .await;
    project.tick().await;
    says(
        &project.becomes("timeout").await,
        "No answer within 1000 ms",
        "Prefer: respond-async",
    );
}

#[tokio::test]
async fn a_refused_connection_is_told() {
    let project = Project::calling(&nobody().await).await;
    project.tick().await;
    says(
        &project.becomes("refused").await,
        "/functions/v1/archive-odoo-files was refused",
        "Start the components",
    );
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_told() {
    let project = Project::calling("https://nowhere.invalid").await;
    project.tick().await;
    says(
        &project.becomes("no_such_host").await,
        "nowhere.invalid",
        "odoo_sync.schedule(",
    );
}

#[tokio::test]
async fn a_tls_failure_is_told() {
    let plain = Endpoint::with(202, "{}").await;
    let project = Project::calling(&plain.url().replace("http:", "https:")).await;
    project.tick().await;
    says(
        &project.becomes("tls").await,
        "SSL connect error",
        "certificate",
    );
}

#[tokio::test]
async fn an_error_of_the_function_is_told_with_its_words() {
    let endpoint = Endpoint::with(503, r#"{"error":"Odoo is away"}"#).await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    says(&project.becomes("server_error").await, "503", "log");
    assert!(project.health().await.problem.contains("Odoo is away"));
}

#[tokio::test]
async fn an_error_of_the_function_is_told_from_one_of_the_proxy_before_it() {
    for (status, words, remedy) in [
        (
            503,
            r#"{"error":"Who calls cannot be checked just now: the database, or its settings, is out of order."}"#,
            "check db_host",
        ),
        (
            502,
            r#"{"status":"error","errors":["Odoo refuses the login"]}"#,
            "mend what they name",
        ),
        (502, "<html>502 Bad Gateway</html>", "the proxy before them"),
        (503, "", "the proxy before them"),
    ] {
        let endpoint = Endpoint::with(status, words).await;
        let project = Project::calling(&endpoint.url()).await;
        project.tick().await;
        let health = project.becomes("server_error").await;
        says(&health, &status.to_string(), remedy);
    }
}

#[tokio::test]
async fn a_wrong_address_and_a_redirect_are_told() {
    let missing = Endpoint::with(404, "not here").await;
    let project = Project::calling(&missing.url()).await;
    project.tick().await;
    says(&project.becomes("not_found").await, "404", "right address");

    let target = Endpoint::answering(|call| async move {
        answer(if call.method == "POST" { 202 } else { 405 }, "{}")
    })
    .await;
    let url = target.url();
    let redirecting = Endpoint::answering(move |call| {
        let mut moved = answer(301, "");
        moved
            .headers_mut()
            .insert("location", format!("{url}{}", call.path).parse().unwrap());
        async move { moved }
    })
    .await;
    project.schedule(&redirecting.url()).await;
    project.tick().await;
    says(
        &project.becomes("redirected").await,
        "turned the POST into a GET",
        "needs no redirect",
    );
}

#[tokio::test]
async fn a_stopped_net_worker_is_told_and_its_queue_is_sent_when_it_is_back() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    project.supabase.stop_net_worker().await.unwrap();
    project.tick().await;
    says(
        &project.health().await,
        "worker is not running",
        "net.worker_restart()",
    );
    assert_eq!(project.health().await.state, "worker_down");

    project.supabase.start_net_worker().await.unwrap();
    project.becomes("ok").await;
}

#[tokio::test]
async fn what_pg_net_says_of_its_worker_in_words_that_nobody_knows_is_shown() {
    let project = Project::calling(&nobody().await).await;
    project.supabase.stop_net_worker().await.unwrap();
    project.tick().await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute(
            "create or replace function net.check_worker_is_up() returns void language plpgsql as $$
             begin raise 'the worker of 2031 is in another mind' using errcode = '58000'; end $$",
        )
        .await
        .unwrap();
    let health = project.health().await;
    assert_eq!(health.state, "worker_down");
    says(
        &health,
        "worker is not running: request 1 is waiting",
        "net.worker_restart()",
    );
    assert!(
        health
            .problem
            .contains("(the worker of 2031 is in another mind)"),
        "{health:?}"
    );
}

#[tokio::test]
async fn answers_that_leave_no_trace_are_told() {
    let endpoint = Endpoint::with(200, r#"{"hello":"I am another service"}"#).await;
    let project = Project::calling(&endpoint.url()).await;
    for _ in 0..3 {
        project.tick().await;
        project.is_answered().await;
    }
    let health = project.health().await;
    assert_eq!(health.state, "not_moving");
    says(&health, "no run is recorded", "base_url");
}

#[tokio::test]
async fn batches_that_move_nothing_are_told_with_what_they_say() {
    let project = working_project(
        "insert into public.migration_logs (migrated, remaining, status, errors) values (0, 17572, 'error', array['Odoo refuses the password'])",
    )
    .await;
    for tick in 1..=3 {
        assert_eq!(
            project.health().await.state,
            if tick == 1 { "waiting" } else { "ok" },
            "a single batch may fail"
        );
        project.tick().await;
        project.is_answered().await;
    }
    let health = project.health().await;
    assert_eq!(health.state, "not_moving");
    says(&health, "nothing moves", "odoo_sync.retry()");
    assert!(
        health.problem.contains("17572") && health.problem.contains("Odoo refuses the password"),
        "{health:?}"
    );
}

#[tokio::test]
async fn runs_that_end_without_a_word_are_told() {
    let project = working_project(
        "insert into odoo_sync.runs (id, job, leased_until, outcome) values (gen_random_uuid(), 'archive-batch', now(), 'crashed')",
    )
    .await;
    for _ in 0..3 {
        project.tick().await;
        project.is_answered().await;
    }
    let health = project.health().await;
    assert_eq!(health.state, "not_moving");
    says(&health, "ended without a report", "memory");
}

/// Rows of failures, and a run for each, so many minutes ago.
fn failed(component: &str, minutes_ago: &[u32]) -> String {
    minutes_ago
        .iter()
        .map(|minutes| {
            format!(
                "with run as (
                   insert into odoo_sync.runs (id, job, mode, started_at, seen_at, leased_until, finished_at, outcome, fault)
                   select gen_random_uuid(), '{component}', 'incremental', t, t, t, t, 'error', '{{\"message\": \"Odoo cannot be reached\"}}'
                     from (select now() - interval '{minutes} minutes' as t) s returning id, job, finished_at)
                 insert into public.migration_logs (created_at, job, run_id, remaining, status, errors)
                 select finished_at, job, id, 17572, 'error', array['Odoo cannot be reached'] from run;"
            )
        })
        .collect::<Vec<_>>()
        .concat()
}

/// Runs that found nothing to do, which leave no row in the log.
fn quiet(component: &str, mode: &str, minutes_ago: &[u32]) -> String {
    minutes_ago
        .iter()
        .map(|minutes| {
            format!(
                "insert into odoo_sync.runs (id, job, mode, started_at, seen_at, leased_until, finished_at, outcome)
                 select gen_random_uuid(), '{component}', '{mode}', t, t, t, t, 'success'
                   from (select now() - interval '{minutes} minutes' as t) s;"
            )
        })
        .collect::<Vec<_>>()
        .concat()
}

/// A project whose jobs were scheduled days ago, and whose every tick is answered.
async fn days_old() -> Project {
    let project = working_project("select").await;
    project
        .sql("update odoo_sync.jobs set scheduled_at = now() - interval '9 days'")
        .await;
    for job in [
        ARCHIVE,
        "odoo-crm-sync-incremental",
        "odoo-crm-sync-nightly",
    ] {
        project.supabase.tick(job).await.unwrap();
    }
    project.is_answered().await;
    project
}

#[tokio::test]
async fn an_outage_is_bygone_with_the_first_run_that_works_though_it_has_no_news() {
    let project = days_old().await;
    let sync = ["odoo-crm-sync-incremental", "odoo-crm-sync-nightly"];
    project.sql(&failed("crm-sync", &[1800, 1785, 1770])).await;
    project.sql(&failed("archive-batch", &[8, 7, 6])).await;
    assert_eq!(project.health_of(sync[1]).await.state, "not_moving");
    assert_eq!(project.health().await.state, "not_moving");

    // Whoever only looked has not done what failed.
    project.sql(&quiet("crm-sync", "validate", &[1760])).await;
    project.sql(&quiet("archive-batch", "verify", &[5])).await;
    assert_eq!(project.health_of(sync[1]).await.state, "not_moving");
    assert_eq!(project.health().await.state, "not_moving");

    project
        .sql(&quiet("crm-sync", "incremental", &[1755, 30, 14]))
        .await;
    project
        .sql(&quiet("archive-batch", "migrate", &[4, 3]))
        .await;
    for job in [ARCHIVE, sync[0], sync[1]] {
        let health = project.health_of(job).await;
        assert_eq!(health.state, "ok", "{health:?}");
    }
}

#[tokio::test]
async fn files_that_wait_after_failing_are_told_though_runs_in_between_find_none_due() {
    let project = days_old().await;
    for minutes in [30, 20, 10] {
        project
            .sql(&format!(
                "insert into public.migration_logs (created_at, failed, remaining, status, errors)
                 values (now() - interval '{minutes} minutes', 5, 5, 'success', array['File 12: gone'])"
            ))
            .await;
        project
            .sql(&quiet("archive-batch", "migrate", &[minutes, minutes - 1]))
            .await;
    }
    let health = project.health().await;
    assert_eq!(health.state, "not_moving");
    says(&health, "of 5 that remain", "odoo_sync.retry()");
}

#[tokio::test]
async fn what_remains_of_the_archive_is_nothing_to_a_sync() {
    let project = days_old().await;
    // What the Odoo user may not read is told by a row, and nothing was written.
    let told = "insert into public.migration_logs (created_at, job, migrated, remaining, status)
                select now() - make_interval(mins => n), 'crm-sync', 0, 17572, 'success' from generate_series(1, 3) n";
    project.sql(told).await;
    project.sql(&quiet("crm-sync", "incremental", &[1])).await;
    let health = project.health_of("odoo-crm-sync-incremental").await;
    assert_eq!(health.state, "ok", "{health:?}");

    project
        .sql(&format!(
            "delete from public.migration_logs; delete from odoo_sync.runs; {}",
            failed("crm-sync", &[9, 6, 3])
        ))
        .await;
    let health = project.health_of("odoo-crm-sync-incremental").await;
    assert_eq!(health.state, "not_moving");
    assert!(
        health.problem.contains("Odoo cannot be reached") && !health.problem.contains("17572"),
        "{health:?}"
    );
}

#[tokio::test]
async fn all_well_is_told() {
    let project = working_project(
        "with run as (
           insert into odoo_sync.runs (id, job, leased_until, finished_at, outcome)
           values (gen_random_uuid(), 'archive-batch', now(), now(), 'success') returning id)
         insert into public.migration_logs (migrated, remaining, status, run_id) select 16, 0, 'success', id from run",
    )
    .await;
    for _ in 0..4 {
        project.tick().await;
        project.is_answered().await;
    }
    let health = project.becomes("ok").await;
    assert!(
        health.ok && health.last_run && health.last_success,
        "{health:?}"
    );
    assert_eq!(health.problem, "");
}

#[tokio::test]
async fn a_key_in_clear_text_is_told() {
    let project = Project::calling(&nobody().await).await;
    for pasted in [
        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl",
        "sb_secret_N7UND0UgjKTVK-Uodkm0Hg",
        "Bearer 0123456789abcdef0123",
    ] {
        let command = format!(
            "select net.http_post('http://127.0.0.1:9/', headers := '{{\"Authorization\": \"{pasted}\"}}')"
        );
        project
            .owner
            .execute(
                "select cron.schedule('archive-odoo-files-batch', '* * * * *', $1)",
                &[&command],
            )
            .await
            .unwrap();
        let health = project.health().await;
        assert_eq!(health.state, "clear_text_key");
        says(&health, "key in clear text", "odoo_sync.schedule(");
        assert!(
            !format!("{health:?}").contains(pasted),
            "the key itself is told to nobody"
        );
    }
}

#[tokio::test]
async fn a_clock_that_stands_still_is_told() {
    let project = Project::calling(&nobody().await).await;
    project
        .sql("update odoo_sync.jobs set scheduled_at = now() - interval '1 hour'")
        .await;
    says(
        &project.becomes("never_ran").await,
        "never ran it",
        "cron.database_name",
    );

    project.tick().await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser.batch_execute("update cron.job_run_details set start_time = now() - interval '10 minutes'; update odoo_sync.calls set called_at = now() - interval '10 minutes'").await.unwrap();
    says(
        &project.becomes("late").await,
        "last ran it at",
        "restart the database",
    );
}

#[tokio::test]
async fn missing_extensions_are_told() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    for (schema, state) in [
        ("net", "no_pg_net"),
        ("vault", "vault_missing"),
        ("cron", without_pg_cron(&project.owner).await),
    ] {
        superuser
            .batch_execute(&format!("alter schema {schema} rename to away"))
            .await
            .unwrap();
        assert_eq!(project.health().await.state, state);
        superuser
            .batch_execute(&format!("alter schema away rename to {schema}"))
            .await
            .unwrap();
    }
}

/// Components that answer 202, and write that to Postgres, in their own role.
async fn working_project(record: &'static str) -> Project {
    let project = Project::new().await;
    let component = std::sync::Arc::new(project.database.connect_as_component().await.unwrap());
    let endpoint = Endpoint::answering(move |_| {
        let component = std::sync::Arc::clone(&component);
        async move {
            component.batch_execute(record).await.unwrap();
            answer(202, "{}")
        }
    })
    .await;
    project.schedule(&endpoint.url()).await;
    // It serves until the test process ends.
    std::mem::forget(endpoint);
    project
}

#[tokio::test]
async fn what_cannot_be_read_in_odoo_is_told_and_is_no_failure() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    project.tick().await;
    let health = project.becomes("ok").await;
    assert!(health.detail.get("unreadable").is_none(), "{health:?}");
    project
        .sql(
            "insert into odoo_sync.unreadable (model, id, job, said) values ('ir.attachment', 7, 'archive-batch', 'No right.');
             insert into odoo_sync.unreadable (model, id, job, fields, said) values ('crm.lead', 0, 'crm-sync', '{x_a}', 'No right.')",
        )
        .await;
    let health = project.health().await;
    assert_eq!((health.state.as_str(), health.ok), ("ok", true));
    assert_eq!(health.detail["unreadable"], 1, "{health:?}");
    let problem = "1 records or fields of Odoo cannot be read";
    assert!(health.problem.contains(problem), "{health:?}");
    let remedy = "from odoo_sync.unreadable where job = 'archive-batch'";
    assert!(health.remedy.contains(remedy), "{health:?}");
}

/// A row of `cron.job_run_details` as `pg_cron` leaves it where it could not even start a job.
async fn could_not_start(project: &Project, job: &str, message: &str) {
    let superuser = project.database.connect_as_superuser().await.unwrap();
    let row = "insert into cron.job_run_details (runid, jobid, username, command, status, return_message)
        select coalesce((select max(runid) from cron.job_run_details), 0) + 1000 + nextval('cron.runid_seq'), c.jobid, c.username, c.command, 'failed', $2
        from cron.job c where c.jobname = $1";
    let written = superuser.execute(row, &[&job, &message]).await.unwrap();
    assert_eq!(written, 1);
}

#[tokio::test]
async fn a_job_that_pg_cron_could_not_start_is_told_in_its_words() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    for (message, remedy) in [
        ("connection failed", "max_connections"),
        ("job startup timeout", "max_worker_processes"),
        ("something new", "pg_cron's own words"),
    ] {
        project.tick().await;
        project.becomes("ok").await;
        could_not_start(&project, ARCHIVE, message).await;
        let health = project.health().await;
        assert_eq!(health.state, "cron_failed");
        says(&health, message, remedy);
        assert_eq!(
            project.health_of("odoo-crm-sync-nightly").await.state,
            "waiting"
        );
        // Scheduled again, what was before is bygone.
        project.sql("select odoo_sync.schedule()").await;
        assert_eq!(project.health().await.state, "waiting");
    }

    // One that never came so far, and a purge that did.
    could_not_start(&project, "odoo-crm-sync-nightly", "connection failed").await;
    assert_eq!(
        project.health_of("odoo-crm-sync-nightly").await.state,
        "cron_failed"
    );
    could_not_start(&project, "odoo-sync-purge", "connection failed").await;
    assert_eq!(
        project.health_of("odoo-sync-purge").await.state,
        "cron_failed"
    );
    // They are not kept for ever, though they have no date.
    for _ in 0..150 {
        could_not_start(&project, ARCHIVE, "connection failed").await;
    }
    let run = project.supabase.tick("odoo-sync-purge").await.unwrap();
    assert_eq!(run.status, "succeeded", "{}", run.return_message);
    let left = "select count(*) from cron.job_run_details d join cron.job c using (jobid) where d.start_time is null and c.jobname = 'archive-odoo-files-batch'";
    assert_eq!(project.sql(left).await, ["100"]);
}

#[tokio::test]
async fn a_worker_that_is_down_is_told_also_where_a_call_raises_it() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("create or replace function net.wake() returns void language plpgsql as $$ begin raise exception 'the pg_net background worker is not up'; end $$")
        .await
        .unwrap();
    assert_eq!(
        project.supabase.tick(ARCHIVE).await.unwrap().status,
        "failed"
    );
    let health = project.health().await;
    assert_eq!(health.state, "worker_down");
    says(&health, "worker is not up", "net.worker_restart()");
}

#[tokio::test]
async fn broken_grants_of_pg_net_are_told() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    for (broken, mended) in [
        (
            "revoke all on net.http_request_queue from public, postgres",
            "grant all on net.http_request_queue to postgres",
        ),
        (
            "revoke all on sequence net.http_request_queue_id_seq from public, postgres",
            "grant usage on sequence net.http_request_queue_id_seq to postgres",
        ),
        (
            "revoke execute on function net.http_post(text, jsonb, jsonb, jsonb, integer) from public",
            "grant execute on function net.http_post(text, jsonb, jsonb, jsonb, integer) to postgres",
        ),
    ] {
        superuser.batch_execute(broken).await.unwrap();
        let run = project.supabase.tick(ARCHIVE).await.unwrap();
        assert_eq!(run.status, "failed", "{broken}");
        let health = project.health().await;
        assert_eq!(health.state, "net_grants", "{broken}: {health:?}");
        says(
            &health,
            "may not use pg_net",
            "grant usage on schema net to postgres",
        );
        let run = project.supabase.tick("odoo-sync-purge").await.unwrap();
        assert_eq!(run.status, "succeeded", "{broken}: {}", run.return_message);
        superuser.batch_execute(mended).await.unwrap();
        project.sql("select odoo_sync.schedule()").await;
        project.tick().await;
        project.becomes("refused").await;
    }
}

#[tokio::test]
async fn a_job_of_a_role_that_may_not_call_is_told() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("update cron.job set username = 'service_role'")
        .await
        .unwrap();
    let health = project.health().await;
    assert_eq!(health.state, "other_role");
    says(
        &health,
        "runs as role service_role",
        "select cron.unschedule(",
    );
}

#[tokio::test]
async fn a_clock_that_serves_another_database_is_told() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("update cron.job set database = 'template1'")
        .await
        .unwrap();
    let health = project.health().await;
    assert_eq!(health.state, "other_database");
    says(
        &health,
        "runs in the database template1",
        "select cron.unschedule(",
    );

    superuser
        .batch_execute("drop schema cron cascade")
        .await
        .unwrap();
    // Where pg_cron is preloaded it is so already, and cannot be changed.
    let serves = format!(
        "alter database {} set cron.database_name = 'postgres'",
        project.database.dbname()
    );
    let _ = superuser.batch_execute(&serves).await;
    let owner = project.database.connect().await.unwrap();
    let told =
        "select state || ': ' || problem from odoo_sync.health() where job = 'odoo-sync-purge'";
    let told = query(&owner, told).await.unwrap();
    assert!(
        told[0].starts_with("other_database: pg_cron works in the database postgres only"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_vault_with_another_root_key_is_told_and_a_rotation_heals_it() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    // What a restore into another project comes to.
    superuser
        .batch_execute("update vault.secrets set secret = 'of another root key: ' || secret")
        .await
        .unwrap();
    let run = project.supabase.tick(ARCHIVE).await.unwrap();
    assert_eq!(run.status, "failed");
    let refusal = project
        .refusal("select odoo_sync.run_now('archive-batch')")
        .await;
    for said in [&run.return_message, &refusal] {
        assert!(
            said.contains("the vault cannot be read")
                && said.contains("invalid ciphertext")
                && said.contains("odoo_sync.rotate_key()"),
            "{said}"
        );
    }
    let health = project.health().await;
    assert_eq!(health.state, "vault_unreadable");
    says(&health, "invalid ciphertext", "odoo_sync.rotate_key()");
    project.sql("select odoo_sync.status()").await;
    assert!(endpoint.calls().is_empty());

    project.sql("select odoo_sync.rotate_key()").await;
    project.tick().await;
    project.becomes("ok").await;
    // Scheduling heals it too.
    superuser
        .batch_execute("update vault.secrets set secret = 'of another root key: ' || secret")
        .await
        .unwrap();
    let told = project.schedule(&endpoint.url()).await;
    assert!(told.contains("made a key"), "{told}");
    project.tick().await;
    project.becomes("ok").await;
}

#[tokio::test]
async fn a_look_asks_pg_cron_once_for_all_jobs_however_many_runs_it_has() {
    let project = Project::calling(&nobody().await).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute(
            "insert into cron.job_run_details (jobid, runid, username, command, status, start_time, end_time)
             select case when n % 5 = 0 then (select min(jobid) from cron.job) else 99 end, 1000 + n, 'postgres', 'select ' || n, 'succeeded', now(), now()
             from generate_series(1, 100000) n; analyze cron.job_run_details",
        )
        .await
        .unwrap();
    // What this session counted is not to arrive later.
    for _ in 0..2 {
        let flush = "select pg_stat_force_next_flush()";
        superuser.batch_execute(flush).await.unwrap();
    }
    let read = async || {
        project.sql("select pg_stat_force_next_flush()").await;
        let read = "select seq_scan + idx_scan || ' ' || seq_tup_read + idx_tup_fetch from pg_stat_all_tables where relid = 'cron.job_run_details'::regclass";
        let read = project.sql(read).await.remove(0);
        let (scans, rows) = read.split_once(' ').unwrap();
        (scans.parse::<u64>().unwrap(), rows.parse::<u64>().unwrap())
    };
    project.sql("select count(*) from odoo_sync.health()").await;
    let before = read().await;
    project.sql("select count(*) from odoo_sync.health()").await;
    let after = read().await;
    assert_eq!(after.0 - before.0, 1, "times that it was asked");
    assert!(
        after.1 - before.1 <= 20_000,
        "{} rows were read",
        after.1 - before.1
    );
}
