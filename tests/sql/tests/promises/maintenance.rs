//! What grows is bounded, and only what is ours is deleted.

use crate::endpoint::Endpoint;
use crate::project::{ARCHIVE, Project, query, server};

#[tokio::test]
async fn a_purge_keeps_what_is_young_and_what_is_not_ours() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    project
        .sql("select cron.schedule('somebody-elses', '* * * * *', 'select 1')")
        .await;
    for job in [ARCHIVE, "somebody-elses"] {
        project.supabase.tick(job).await.unwrap();
    }
    project.is_answered().await;
    project.sql("select odoo_sync.collect_answers()").await;
    superuser
        .batch_execute(
            "update cron.job_run_details set end_time = now() - interval '8 days';
             update net._http_response set created = now() - interval '2 days';
             update odoo_sync.calls set answered_at = now() - interval '2 days';
             insert into net._http_response (id, created) values (77777, now() - interval '2 days');
             insert into public.migration_logs (created_at, run_id) values (now() - interval '91 days', gen_random_uuid()), (now() - interval '89 days', gen_random_uuid());
             insert into public.sync_validation_log (created_at, run_id, entity, verdict) values (now() - interval '91 days', gen_random_uuid(), 'leads', 'same');
             insert into odoo_sync.runs (id, job, started_at, leased_until, outcome) values
               (gen_random_uuid(), 'crm-sync', now() - interval '31 days', now(), 'success'),
               (gen_random_uuid(), 'crm-sync', now() - interval '31 days', now(), 'running');
             insert into odoo_sync.calls (job, request_id, called_at) values ('archive-odoo-files-batch', 1, now() - interval '15 days');
             insert into odoo_sync.accepted_keys (hash, expires_at) values (sha256('old'), now() - interval '2 days')",
        )
        .await
        .unwrap();

    // The purge asks for the look of the day, and pg_net clears its own answers when it is asked for anything.
    project.supabase.stop_net_worker().await.unwrap();
    let run = project.supabase.tick("odoo-sync-purge").await.unwrap();
    assert_eq!(run.status, "succeeded", "{}", run.return_message);
    for (what, left) in [
        ("public.migration_logs", "1"),
        ("public.sync_validation_log", "0"),
        ("odoo_sync.runs where outcome = 'running'", "1"),
        ("odoo_sync.runs", "1"),
        ("odoo_sync.calls", "1"),
        ("cron.job_run_details where command = 'select 1'", "1"),
        ("cron.job_run_details where command ~ 'odoo_sync.call'", "0"),
        ("net._http_response where id = 77777", "1"),
        ("net._http_response", "1"),
        ("odoo_sync.accepted_keys", "1"),
    ] {
        assert_eq!(
            project.sql(&format!("select count(*) from {what}")).await,
            [left],
            "{what}"
        );
    }
    let health = project.health_of("odoo-sync-purge").await;
    assert_eq!(
        (health.state.as_str(), health.last_success),
        ("ok", true),
        "{health:?}"
    );
}

#[tokio::test]
async fn a_purge_leaves_the_rows_of_an_older_application_alone() {
    let database = server().await.bare_database().await.unwrap();
    let owner = database.connect().await.unwrap();
    // What such an application writes itself: in its own words also of calls that it refused.
    let theirs = "insert into public.migration_logs (created_at, migrated, status, errors)
        select now() - interval '1 year', 1, s.status, array['missing Authorization header']
        from generate_series(1, 60), unnest(array['success', 'error', 'auth_error']) s (status)";
    owner
        .batch_execute(&format!(
            "create table public.migration_logs (
               id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
               migrated int not null default 0, failed int not null default 0, remaining int, elapsed_s numeric,
               errors text[] default '{{}}', status text);
             {theirs}"
        ))
        .await
        .unwrap();
    database.apply_sql().await.unwrap();
    let project = Project::of(database).await;
    let component = project.database.connect_as_component().await.unwrap();
    // The old functions may run on for a while.
    project.sql(theirs).await;
    for ours in [
        "insert into public.migration_logs (created_at, job, run_id, migrated, status) values (now() - interval '1 year', 'archive-batch', gen_random_uuid(), 7, 'success')",
        "insert into public.migration_logs (created_at, job, errors, status) values (now() - interval '1 year', 'crm-sync', array['a call came with a key that is not accepted: is it the one in the vault?'], 'auth_error')",
    ] {
        query(&component, ours).await.unwrap();
    }
    let purged = project.sql("select odoo_sync.purge()").await;
    assert!(purged[0].contains(r#""migration_logs": 2"#), "{purged:?}");
    assert_eq!(
        project
            .sql("select count(*) from public.migration_logs")
            .await,
        ["360"]
    );
}

#[tokio::test]
async fn a_purge_is_known_to_have_run_however_many_runs_others_have_meanwhile() {
    let project = Project::calling("https://sync.example.com").await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    let purge = "odoo-sync-purge";
    project
        .sql("update odoo_sync.jobs set scheduled_at = now() - interval '9 days'")
        .await;
    assert_eq!(project.health_of(purge).await.state, "never_ran");
    let run = project.supabase.tick(purge).await.unwrap();
    assert_eq!(run.status, "succeeded", "{}", run.return_message);
    superuser
        .batch_execute(
            "insert into cron.job_run_details (jobid, runid, username, command, status, start_time, end_time)
             select 99, 1000 + n, 'postgres', 'select 1', 'succeeded', now(), now() from generate_series(1, 25000) n",
        )
        .await
        .unwrap();
    let health = project.health_of(purge).await;
    assert_eq!(
        (health.state.as_str(), health.last_run, health.last_success),
        ("ok", true, true),
        "{health:?}"
    );

    // And one that ran too long ago is still told.
    project
        .sql("update odoo_sync.jobs set ran_at = ran_at - interval '3 days'")
        .await;
    let health = project.health_of(purge).await;
    assert_eq!(health.state, "late", "{health:?}");
}

#[tokio::test]
async fn a_person_sets_how_long_things_are_kept() {
    let project = Project::new().await;
    project.sql("insert into public.migration_logs (created_at, run_id) values (now() - interval '10 days', gen_random_uuid()); select odoo_sync.purge()").await;
    assert_eq!(
        project
            .sql("select count(*) from public.migration_logs")
            .await,
        ["1"]
    );
    let purged = project.sql("select odoo_sync.set('keep_days.migration_logs', '7'); select odoo_sync.run_now('odoo-sync-purge')").await;
    assert!(
        purged.last().unwrap().contains(r#""migration_logs": 1"#),
        "{purged:?}"
    );
}

#[tokio::test]
async fn counters_follow_the_table_and_a_recount_mends_them() {
    let project = Project::new().await;
    project.sql("insert into public.odoo_attachments (id, file_size) select n, 10 from generate_series(1, 50) n").await;
    project.sql("update public.odoo_attachments set state = 'moved' where id <= 20; update public.odoo_attachments set attempts = 1 where id > 45").await;
    let counts = "select bucket || ' ' || files || ' ' || bytes from odoo_sync.progress where files <> 0 order by 1";
    assert_eq!(
        project.sql(counts).await,
        ["failed 5 50", "moved 20 200", "pending 25 250"]
    );
    assert_eq!(
        project.sql("select bucket from odoo_sync.recount()").await,
        Vec::<String>::new()
    );
    project
        .sql("update odoo_sync.progress set files = 21 where bucket = 'moved'")
        .await;
    assert_eq!(
        project
            .sql("select bucket || ' ' || files_before || ' ' || files from odoo_sync.recount()")
            .await,
        ["moved 21 20"]
    );
    assert_eq!(
        project.sql(counts).await,
        ["failed 5 50", "moved 20 200", "pending 25 250"]
    );
}

#[tokio::test]
async fn files_are_claimed_in_the_order_of_the_queue_before_anything_was_analysed() {
    let project = Project::new().await;
    project
        .sql(
            "alter table public.odoo_attachments set (autovacuum_enabled = off);
             insert into public.odoo_attachments (id, name, mimetype, file_size, checksum)
             select n, 'file ' || n, 'application/pdf', 10, encode(sha256(n::text::bytea), 'hex') from generate_series(1, 20000) n",
        )
        .await;
    let component = project.database.connect_as_component().await.unwrap();
    let sorts = async |before: &str| {
        let plan = format!(
            "begin; {before};
             explain select id from public.odoo_attachments where state = 'pending' and next_attempt_at <= now()
               order by next_attempt_at, id limit 200 for update skip locked;
             rollback"
        );
        let plan = query(&component, &plan).await.unwrap();
        plan.iter().any(|line| line.contains("Sort"))
    };
    assert!(!sorts("").await);
    // What the role is for: with the server's own setting, all that is due is sorted.
    assert!(sorts("set local random_page_cost = 4").await);
}

#[tokio::test]
async fn what_is_read_again_leaves_the_list_of_the_unreadable() {
    let project = Project::new().await;
    let seen = |days: u32| format!("now() - interval '{days} days'");
    project
        .sql(&format!(
            "insert into odoo_sync.unreadable (model, id, job, fields, said, seen_at) values
               ('crm.lead', 1, 'crm-sync', '{{x_a}}', 'x', {old}), ('crm.lead', 2, 'crm-sync', '{{x_a}}', 'x', {new}),
               ('mail.message', 3, 'chatter-sync', '{{}}', 'x', {old}), ('mail.message', 4, 'chatter-sync', '{{body}}', 'x', {old})",
            old = seen(4),
            new = seen(2),
        ))
        .await;
    project.sql("select odoo_sync.purge()").await;
    // A message of which a part was left out is not read again until it changes.
    assert_eq!(
        project
            .sql("select id from odoo_sync.unreadable order by 1")
            .await,
        ["2", "4"]
    );
}
