//! From the two broken set-ups to this one, by one statement.

use crate::endpoint::{Endpoint, answer};
use crate::project::{ARCHIVE, Project};
use crate::released;

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

/// An installation of an older version that calls, with the key that this statement set.
async fn calling_with(version: &str, key: &str, endpoint: &Endpoint) -> Project {
    let project = released::installed(version).await;
    project.sql(key).await;
    project.schedule(&endpoint.url()).await;
    project.tick().await;
    project.is_answered().await;
    project
}

/// Keys that an older version held, by how it came to them; what becomes of them; and what is told.
const KEYS: [(&str, &str, &str); 4] = [
    (
        "select odoo_sync.rotate_key()",
        "goes on",
        "is in the vault as odoo_sync_key from now on",
    ),
    (
        "select odoo_sync.set_key('a-service-key-that-was-given-by-hand')",
        "goes on",
        "is in the vault as odoo_sync_key from now on",
    ),
    (
        "select vault.create_secret('a-service-key-that-others-read-too', 'supabase_service_role_key')",
        "is accepted and not sent",
        "came from elsewhere",
    ),
    (
        "select odoo_sync.set_key('of-twenty-characters')",
        "is accepted for ten minutes",
        "shorter than 32 characters",
    ),
];

#[tokio::test]
async fn the_key_of_an_older_version_moves_to_its_own_name_without_a_gap() {
    for (set, becomes, told) in KEYS {
        let endpoint = Endpoint::with(202, "{}").await;
        let project = calling_with("0.1.0", set, &endpoint).await;
        let old = endpoint.calls()[0].key().unwrap().to_owned();
        let secret = "select decrypted_secret from vault.decrypted_secrets where name = 'supabase_service_role_key'";
        assert_eq!(project.sql(secret).await, std::slice::from_ref(&old));

        project.database.apply_sql().await.unwrap();
        project.tick().await;
        project.is_answered().await;
        let new = endpoint.calls()[1].key().unwrap().to_owned();
        let accepted = project
            .sql(&format!("select odoo_sync.is_accepted('{new}')"))
            .await;
        assert_eq!(accepted, ["t"], "{set}");
        assert_eq!(
            project.sql(secret).await,
            std::slice::from_ref(&old),
            "the old secret is left alone"
        );
        let of_old = format!(
            "select case when expires_at is null then 'for ever' else round(extract(epoch from expires_at - now()) / 60) || ' minutes' end from odoo_sync.accepted_keys where hash = sha256('{old}')"
        );
        let (same_key, until) = match becomes {
            "goes on" => (true, "for ever"),
            "is accepted and not sent" => (false, "for ever"),
            _ => (false, "10 minutes"),
        };
        assert_eq!(new == old, same_key, "{set}");
        assert_eq!(project.sql(&of_old).await, [until], "{set}");
        let health = project.health_of("odoo-sync-purge").await;
        assert!(
            health.state == "notice"
                && health.problem.contains(told)
                && !health.problem.contains(&old),
            "{set}: {health:?}"
        );

        // Once, and what moved can be rotated.
        project.sql("delete from odoo_sync.notices").await;
        project.database.apply_sql().await.unwrap();
        assert_eq!(project.health_of("odoo-sync-purge").await.state, "waiting");
        project.sql("select odoo_sync.rotate_key()").await;
        project.tick().await;
        project.is_answered().await;
        let rotated = endpoint.calls()[2].key().unwrap().to_owned();
        assert!(rotated != new && rotated.starts_with("ots_"), "{set}");
    }
}

#[tokio::test]
async fn a_public_key_that_an_older_version_adopted_ends() {
    let anon = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl";
    let endpoint = Endpoint::with(202, "{}").await;
    let put = format!("select vault.create_secret('{anon}', 'supabase_service_role_key')");
    let project = calling_with("0.1.0", &put, &endpoint).await;
    project.database.apply_sql().await.unwrap();
    let accepted = project
        .sql(&format!("select odoo_sync.is_accepted('{anon}')"))
        .await;
    assert_eq!(accepted, ["f"]);
    project.tick().await;
    project.becomes("ok").await;
    assert!(endpoint.calls()[1].key().unwrap().starts_with("ots_"));
}

#[tokio::test]
async fn nothing_that_a_foreign_server_says_is_kept() {
    for (said, kept) in [
        (
            r#"{"status": "accepted", "run_id": "5d1cf5a4-2a0f-4d25-8b1e-9a1f0f5d7c22"}"#,
            true,
        ),
        (r#"{"error": "Unauthorized"}"#, true),
        (
            r#"{"error": "odoo_url is missing", "kind": "setting", "blame": "configuration"}"#,
            true,
        ),
        (
            r#"{"AccessKeyId": "AKIA0", "Token": "of the machine"}"#,
            false,
        ),
        (r#"{"error": "no", "password": "hunter2"}"#, false),
        ("<html>a proxy's page</html>", false),
        ("[1, 2]", false),
        ("{not json}", false),
        ("", false),
    ] {
        let endpoint = Endpoint::with(500, said).await;
        let project = Project::calling(&endpoint.url()).await;
        project.tick().await;
        project.is_answered().await;
        let health = project.health().await;
        assert_eq!(
            health.problem.contains(said) && !said.is_empty(),
            kept,
            "{health:?}"
        );
        project.sql("select odoo_sync.collect_answers()").await;
        let content = project.sql("select content from odoo_sync.calls").await;
        assert_eq!(content, [if kept { said } else { "" }]);
    }
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
        told.contains("left alone")
            && told.contains("belongs to role supabase_admin")
            && told.contains("pg_cron says: permission denied for table job"),
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
