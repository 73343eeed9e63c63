//! From the two broken set-ups to this one, by one statement.

use crate::endpoint::{Endpoint, answer};
use crate::project::{ARCHIVE, Project};

const STALE: &str = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c3RhbGU";

#[tokio::test]
async fn the_job_that_read_a_setting_that_does_not_exist() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::new().await;
    let old = format!(
        "select net.http_post(url := '{}/functions/v1/archive-odoo-files', headers := jsonb_build_object('Content-Type', 'application/json', \
         'Authorization', 'Bearer ' || current_setting('supabase.service_role_key')), body := '{{}}'::jsonb)",
        endpoint.url()
    );
    project
        .owner
        .execute(
            "select cron.schedule('archive-odoo-files-batch', '* * * * *', $1)",
            &[&old],
        )
        .await
        .unwrap();
    assert_eq!(
        project.supabase.tick(ARCHIVE).await.unwrap().status,
        "failed"
    );

    let health = project.health().await;
    assert_eq!(health.state, "sql_error");
    assert!(
        health
            .problem
            .contains(r#"unrecognized configuration parameter "supabase.service_role_key""#),
        "{health:?}"
    );
    assert!(
        health
            .problem
            .contains("fails at every run before it calls anything"),
        "{health:?}"
    );
    assert!(health.remedy.contains("odoo_sync.schedule("), "{health:?}");

    let told = project.schedule(&endpoint.url()).await;
    assert!(
        told.contains("archive-odoo-files-batch: replaced")
            && told.contains("which does not exist"),
        "{told}"
    );
    assert_eq!(
        project
            .sql("select command from odoo_sync.replaced_jobs")
            .await,
        [old]
    );
    assert_eq!(
        project.health().await.state,
        "waiting",
        "the old command's failures are bygone"
    );
    project.tick().await;
    project.becomes("ok").await;
    assert!(endpoint.calls()[0].key().unwrap().starts_with("ots_"));
}

#[tokio::test]
async fn the_jobs_with_a_pasted_key_that_went_stale() {
    let endpoint = Endpoint::answering(|call| async move {
        if call.key() == Some(STALE) {
            answer(401, r#"{"error":"Unauthorized"}"#)
        } else {
            answer(202, "{}")
        }
    })
    .await;
    let project = Project::new().await;
    for (name, function) in [
        ("odoo-crm-sync-incremental", "odoo-crm-sync"),
        ("chatter", "odoo-chatter-sync"),
    ] {
        let command = format!(
            "select net.http_post('{}/functions/v1/{function}', headers := '{{\"Content-Type\": \"application/json\", \"Authorization\": \"Bearer {STALE}\"}}')",
            endpoint.url()
        );
        project
            .owner
            .execute(
                "select cron.schedule($1, '*/15 * * * *', $2)",
                &[&name, &command],
            )
            .await
            .unwrap();
        // pg_cron is content with it: the call was enqueued.
        assert_eq!(
            project.supabase.tick(name).await.unwrap().status,
            "succeeded"
        );
    }
    crate::project::eventually(|| async {
        let answers = project
            .sql("select count(*) from net._http_response where status_code = 401")
            .await;
        if answers == ["2"] {
            Ok(())
        } else {
            Err(format!("{answers:?}"))
        }
    })
    .await
    .unwrap();

    let health = project.health_of("odoo-crm-sync-incremental").await;
    assert_eq!(health.state, "clear_text_key");
    assert!(
        health
            .problem
            .contains("2 answers of the last 6 hours were a 401"),
        "{health:?}"
    );
    let health = project.health_of("odoo-chatter-sync-hourly").await;
    assert_eq!(health.state, "not_scheduled");
    assert!(
        health.problem.contains("(chatter) calls the same function")
            && health.problem.contains("5 s"),
        "{health:?}"
    );
    assert_eq!(health.detail["also"][0]["state"], "clear_text_key");

    let told = project.schedule(&endpoint.url()).await;
    assert!(
        told.contains("odoo-crm-sync-incremental: replaced")
            && told.contains("odoo-chatter-sync-hourly: replaced"),
        "{told}"
    );
    assert!(
        told.contains("holds a key in clear text") && !told.contains(STALE),
        "{told}"
    );
    assert_eq!(
        project
            .sql("select count(*) from cron.job where command ~ 'eyJ' or jobname = 'chatter'")
            .await,
        ["0"]
    );
    assert_eq!(
        project
            .sql("select jobname from odoo_sync.replaced_jobs order by 1")
            .await,
        ["chatter", "odoo-crm-sync-incremental"]
    );
    for job in ["odoo-crm-sync-incremental", "odoo-chatter-sync-hourly"] {
        project.supabase.tick(job).await.unwrap();
        project.is_answered().await;
        assert_eq!(project.health_of(job).await.state, "ok");
    }
}

#[tokio::test]
async fn a_key_that_is_in_the_vault_already_is_accepted_and_not_replaced() {
    let project = Project::new().await;
    project.sql("select vault.create_secret('a-service-role-key-others-read-too', 'supabase_service_role_key')").await;
    let told = project.schedule("https://sync.example.com").await;
    assert!(
        told.contains("accepted the key found in the vault"),
        "{told}"
    );
    assert_eq!(
        project
            .sql("select decrypted_secret from vault.decrypted_secrets")
            .await,
        ["a-service-role-key-others-read-too"]
    );
    assert_eq!(project.sql("select count(*) from odoo_sync.accepted_keys where hash = sha256('a-service-role-key-others-read-too')").await, ["1"]);
}

#[tokio::test]
async fn a_job_of_another_role_is_left_alone_and_told() {
    let project = Project::new().await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute("select cron.schedule('archive-odoo-files-batch', '* * * * *', 'select 1')")
        .await
        .unwrap();
    let told = project.schedule("https://sync.example.com").await;
    assert!(
        told.contains("left alone") && told.contains("belongs to role supabase_admin"),
        "{told}"
    );
    assert_eq!(
        project
            .sql("select count(*) from cron.job where jobname = 'archive-odoo-files-batch'")
            .await,
        ["2"]
    );
    let health = project.health().await;
    assert_eq!(health.state, "doubled");
    assert!(
        health
            .remedy
            .contains("role supabase_admin removes by select cron.unschedule(1)"),
        "{health:?}"
    );
}

#[tokio::test]
async fn notes_that_were_copied_as_if_others_might_see_them_are_mended_at_once() {
    let project = Project::new().await;
    // As version 0.1 left them: Odoo's own flag, which people's notes do not have.
    project
        .sql(
            "drop function public.search_odoo_chatter(text, integer);
             create function public.search_odoo_chatter(words text, at_most integer default 20)
               returns table (id bigint, model text, res_id bigint, date timestamptz, kind text, author text, subject text, found text, rank real)
               language plpgsql as 'begin return; end';
             insert into public.odoo_messages (id, kind, subtype_id, subtype, is_internal) values
               (1, 'note', 2, 'mail.mt_note', false), (2, 'message', 1, 'mail.mt_comment', false),
               (3, 'message', null, null, null), (4, 'system', 3, 'mail.mt_activities', false), (5, 'note', 2, null, false)",
        )
        .await;
    project.database.apply_sql().await.unwrap();
    assert_eq!(
        project
            .sql("select id || ' ' || is_internal from public.odoo_messages order by id")
            .await,
        ["1 true", "2 false", "3 true", "4 true", "5 true"]
    );
    // What Odoo says of both now is left as it is.
    project
        .sql("update public.odoo_messages set is_internal = false, is_internal_flag = false where id = 1")
        .await;
    project.database.apply_sql().await.unwrap();
    let first = "select is_internal from public.odoo_messages where id = 1";
    assert_eq!(project.sql(first).await, ["f"]);
    let admin = project.user(true).await;
    let search = "select is_internal from public.search_odoo_chatter('hello')";
    assert_eq!(crate::project::query(&admin, search).await, Ok(Vec::new()));
}
