//! Jobs are scheduled by name, call with today's key, and can be steered.

use crate::endpoint::{Endpoint, nobody};
use crate::project::{ARCHIVE, Project};

#[tokio::test]
async fn scheduling_again_changes_addresses_and_doubles_nothing() {
    let project = Project::new().await;
    let jobs = "select jobname || ' ' || schedule from cron.job order by jobname";
    let first = project.schedule("https://one.example.com").await;
    assert!(first.contains("made a key"), "{first}");
    let scheduled = project.sql(jobs).await;
    assert_eq!(
        scheduled,
        [
            "archive-odoo-files-batch * * * * *",
            "odoo-chatter-sync-hourly 7 * * * *",
            "odoo-crm-sync-incremental */15 * * * *",
            "odoo-crm-sync-nightly 22 2 * * *",
            "odoo-sync-alarm */5 * * * *",
            "odoo-sync-purge 41 3 * * *",
        ]
    );
    let second = project
        .schedule("https://two.example.com/functions/v1/odoo-crm-sync")
        .await;
    assert!(
        !second.contains("key") && !second.contains("replaced"),
        "{second}"
    );
    assert_eq!(project.sql(jobs).await, scheduled);
    assert_eq!(
        project.sql("select odoo_sync.setting('base_url')").await,
        [r#""https://two.example.com""#]
    );
    assert_eq!(
        project
            .sql("select count(*) from cron.job where command ~ 'http'")
            .await,
        ["0"],
        "no address and no key in a command"
    );
}

#[tokio::test]
async fn a_call_carries_key_body_and_wish_for_an_early_answer() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    for job in [
        "odoo-crm-sync-incremental",
        "odoo-chatter-sync-hourly",
        "odoo-crm-sync-nightly",
        ARCHIVE,
    ] {
        project.supabase.tick(job).await.unwrap();
        project.is_answered().await;
    }
    let key = project
        .sql("select decrypted_secret from vault.decrypted_secrets")
        .await
        .remove(0);
    let calls = endpoint.calls();
    for call in &calls {
        assert_eq!(
            (call.method.as_str(), call.key()),
            ("POST", Some(key.as_str()))
        );
        assert_eq!(call.header("prefer"), Some("respond-async"));
        assert_eq!(call.header("content-type"), Some("application/json"));
    }
    let sent: Vec<_> = calls
        .iter()
        .map(|call| (call.path.as_str(), call.body.replace(' ', "")))
        .collect();
    assert_eq!(
        sent,
        [
            (
                "/functions/v1/odoo-crm-sync",
                r#"{"mode":"incremental"}"#.to_owned()
            ),
            (
                "/functions/v1/odoo-chatter-sync",
                r#"{"mode":"missing"}"#.to_owned()
            ),
            (
                "/functions/v1/odoo-crm-sync",
                r#"{"mode":"full","validate":true}"#.to_owned()
            ),
            ("/functions/v1/archive-odoo-files", "{}".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_paused_job_calls_nothing_until_it_is_resumed() {
    let endpoint = Endpoint::with(202, "{}").await;
    let project = Project::calling(&endpoint.url()).await;
    assert_eq!(
        project.sql("select odoo_sync.pause('archive-batch')").await,
        [ARCHIVE]
    );
    project.tick().await;
    assert!(
        project
            .refusal("select odoo_sync.run_now('archive-batch')")
            .await
            .contains("odoo_sync.resume")
    );
    assert_eq!(
        project
            .sql("select odoo_sync.is_paused('archive-batch'), 1")
            .await,
        ["t"]
    );

    // A component with several jobs is paused when all of them are.
    project
        .sql("select odoo_sync.pause('odoo-crm-sync-nightly')")
        .await;
    assert_eq!(
        project.sql("select odoo_sync.is_paused('crm-sync')").await,
        ["f"]
    );
    assert_eq!(
        project
            .sql("select odoo_sync.is_paused('odoo-crm-sync-nightly')")
            .await,
        ["t"]
    );
    project.sql("select odoo_sync.pause('crm-sync')").await;
    assert_eq!(
        project.sql("select odoo_sync.is_paused('crm-sync')").await,
        ["t"]
    );

    // Scheduling again is no way round a pause.
    assert!(
        project
            .schedule(&endpoint.url())
            .await
            .contains("paused: odoo_sync.resume")
    );
    project.tick().await;
    assert!(endpoint.calls().is_empty());

    project
        .sql("select odoo_sync.resume('archive-batch')")
        .await;
    project
        .sql("select odoo_sync.run_now('archive-batch')")
        .await;
    project.is_answered().await;
    assert_eq!(endpoint.calls().len(), 1);
}

#[tokio::test]
async fn a_job_switched_off_in_pg_cron_is_told_and_switched_on_by_scheduling() {
    let project = Project::calling(&nobody().await).await;
    project
        .sql("select cron.alter_job(jobid, active := false) from cron.job")
        .await;
    assert_eq!(project.health().await.state, "paused");
    project.sql("select * from odoo_sync.schedule()").await;
    assert_eq!(
        project.sql("select bool_and(active) from cron.job").await,
        ["t"]
    );
}

#[tokio::test]
async fn unscheduling_takes_a_job_a_component_or_all() {
    let project = Project::calling(&nobody().await).await;
    project
        .sql("select cron.schedule('somebody-elses', '* * * * *', 'select 1')")
        .await;
    assert_eq!(
        project
            .sql("select odoo_sync.unschedule('odoo-sync-purge')")
            .await,
        ["odoo-sync-purge"]
    );
    assert_eq!(
        project
            .sql("select odoo_sync.unschedule('crm-sync')")
            .await
            .len(),
        2
    );
    assert_eq!(project.sql("select odoo_sync.unschedule()").await.len(), 3);
    assert_eq!(
        project.sql("select jobname from cron.job").await,
        ["somebody-elses"]
    );
    assert_eq!(project.health().await.state, "not_scheduled");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_to_do() {
    let project = Project::new().await;
    for (statement, expected) in [
        (
            "select * from odoo_sync.schedule()",
            "base_url is the address of the components",
        ),
        (
            "select * from odoo_sync.schedule('sync.example.com')",
            "base_url is the address",
        ),
        (
            "select * from odoo_sync.schedule('https://user:secret@sync.example.com')",
            "base_url is the address",
        ),
        (
            "select * from odoo_sync.schedule('https://a', array['nonsense'])",
            "select name from odoo_sync.jobs",
        ),
        ("select odoo_sync.call('nonsense')", "odoo_sync.jobs"),
        (
            "select odoo_sync.call('archive-odoo-files-batch')",
            "odoo_sync.schedule(",
        ),
        (
            "select odoo_sync.pause('nonsense')",
            "select name, component from odoo_sync.jobs",
        ),
        (
            "select odoo_sync.unschedule('nonsense')",
            "select name, component from odoo_sync.jobs",
        ),
        (
            "select odoo_sync.set('nonsense', '1')",
            "odoo_sync.settings",
        ),
        (
            "select odoo_sync.set('keep_days.runs', '0')",
            "number of days",
        ),
        (
            "select odoo_sync.set('keep_days.runs', '\"long\"')",
            "number of days",
        ),
    ] {
        let refusal = project.refusal(statement).await;
        assert!(refusal.contains(expected), "{statement}: {refusal}");
    }
}

/// The components hold Odoo's and Storage's addresses against the same table.
#[tokio::test]
async fn a_key_that_would_travel_in_clear_text_is_not_sent() {
    let project = Project::new().await;
    let near = "http://127.0.0.1:3000";
    assert!(!project.schedule(near).await.contains("warning"));
    let cases = include_str!("../../../../components/shared/outbound/src/origins.txt");
    let cases = cases.lines().filter_map(|case| case.split_once(' '));
    let mut far = Vec::new();
    for (kind, address) in cases.filter(|(kind, _)| *kind != "#") {
        // A path follows, as it may.
        let schedule = format!("select * from odoo_sync.schedule('{address}/tools/')");
        if kind == "near" {
            project.sql(&schedule).await;
        } else {
            let refusal = project.refusal(&schedule).await;
            assert!(refusal.contains("plain http"), "{address}: {refusal}");
            far.push(address);
        }
    }
    assert!(far.len() > 10);
    // What it was stays, and its jobs with it.
    project.schedule(near).await;
    project
        .refusal("select * from odoo_sync.schedule('http://sync.example.com')")
        .await;
    let kept = "select odoo_sync.setting('base_url') #>> '{}'";
    assert_eq!(project.sql(kept).await, [near]);
    // Where the network is one's own, a person may say so.
    project
        .sql("select odoo_sync.set('allow_http', 'true')")
        .await;
    for address in far {
        let told = project.schedule(address).await;
        assert!(
            told.contains("warning: base_url is http"),
            "{address}: {told}"
        );
    }
    let refusal = project
        .refusal("select odoo_sync.set('allow_http', '\"yes\"')")
        .await;
    assert!(refusal.contains("true or false"), "{refusal}");
}
