//! The alarm: what rings, when, in which words, and that it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use world::postgres::Postgres;

use crate::endpoint::{Endpoint, answer};
use crate::project::{ARCHIVE, Project, eventually, query};
use crate::real_cron::has_real_cron;

const ALARM: &str = "odoo-sync-alarm";

const A_DEAD_FILE: &str = "insert into odoo_sync.progress (bucket, files) values ('dead', 1)";

/// What rings until it is mended.
struct Failure {
    subject: &'static str,
    state: &'static str,
    made_by: &'static str,
    mended_by: &'static str,
    /// What the components answer meanwhile.
    status: u16,
    says: &'static str,
}

const FAILURES: [Failure; 9] = [
    // The two failures of what this program replaces.
    Failure {
        subject: ARCHIVE,
        state: "sql_error",
        made_by: "update cron.job set command = 'select current_setting(''supabase.service_role_key'')' where jobname = 'archive-odoo-files-batch'",
        mended_by: "select * from odoo_sync.schedule()",
        status: 202,
        says: "a setting that does not exist here",
    },
    Failure {
        subject: ARCHIVE,
        state: "unauthorized",
        made_by: "delete from odoo_sync.accepted_keys",
        mended_by: "select odoo_sync.rotate_key()",
        status: 401,
        says: "Run: select odoo_sync.rotate_key()",
    },
    Failure {
        subject: ARCHIVE,
        state: "server_error",
        made_by: "",
        mended_by: "",
        status: 503,
        says: "are they running?",
    },
    Failure {
        subject: ARCHIVE,
        state: "not_moving",
        made_by: "insert into odoo_sync.runs (id, job, mode, leased_until, finished_at, outcome, fault)
            select gen_random_uuid(), 'archive-batch', 'migrate', now(), now(), 'error', '{\"kind\": \"source_unreachable\", \"message\": \"of Müller & Söhne\", \"remedy\": \"Is Odoo up, and odoo_url right?\"}' from generate_series(1, 3)",
        mended_by: "update odoo_sync.runs set outcome = 'success', fault = null",
        status: 202,
        says: "The last 3 runs failed (source_unreachable). Is Odoo up, and odoo_url right?",
    },
    Failure {
        subject: ARCHIVE,
        state: "vault_unreadable",
        made_by: "update vault.secrets set secret = 'of another root key: ' || secret",
        mended_by: "select odoo_sync.rotate_key()",
        status: 202,
        says: "its root key is another project's",
    },
    Failure {
        subject: "files",
        state: "dead",
        made_by: "insert into odoo_sync.progress (bucket, files) values ('dead', 3)",
        mended_by: "update odoo_sync.progress set files = 0 where bucket = 'dead'",
        status: 202,
        says: "3 files could not be moved and were given up",
    },
    Failure {
        subject: "comparison of leads",
        state: "differs",
        made_by: "insert into public.sync_validation_log (run_id, entity, missing, verdict, created_at)
            select gen_random_uuid(), 'leads', 7, 'differs', now() - n * interval '1 minute' from generate_series(1, 2) n",
        mended_by: "insert into public.sync_validation_log (run_id, entity, verdict) values (gen_random_uuid(), 'leads', 'same')",
        status: 202,
        says: "7 missing",
    },
    Failure {
        subject: "final check",
        state: "stale",
        made_by: "insert into odoo_sync.final_checks (asked_by, state, jobs, ended_at, stale_at, stale_why)
            values ('somebody', 'ready', array['archive-batch'], now(), now(), 'crm-sync found 3 changes')",
        mended_by: "insert into odoo_sync.final_checks (asked_by, jobs) values ('somebody', array['archive-batch'])",
        status: 202,
        says: "since then crm-sync found 3 changes. Check again: select odoo_sync.final_check()",
    },
    Failure {
        subject: "health",
        state: "broken",
        made_by: "alter function odoo_sync.cron_runs() rename to cron_runs_away",
        mended_by: "alter function odoo_sync.cron_runs_away() rename to cron_runs",
        status: 202,
        says: "nobody knows how things are",
    },
];

/// A project whose components answer as a test wants, and a receiver of alarms.
struct Scene {
    project: Project,
    status: Arc<AtomicU16>,
    receiver: Endpoint,
    taken_with: Arc<AtomicU16>,
    _components: Endpoint,
}

impl Scene {
    async fn new() -> Self {
        let (components, status) = switched(202).await;
        let (receiver, taken_with) = switched(200).await;
        let project = Project::calling(&components.url()).await;
        let scene = Self {
            project,
            status,
            receiver,
            taken_with,
            _components: components,
        };
        scene.set("alert_url", &scene.receiver.url()).await;
        let worked = "insert into odoo_sync.runs (id, job, mode, leased_until, finished_at, outcome) values (gen_random_uuid(), 'archive-batch', 'migrate', now(), now(), 'success')";
        scene.change(worked).await;
        scene.tick().await;
        scene
    }

    async fn set(&self, name: &str, address: &str) {
        let set = format!("select odoo_sync.set('{name}', '\"{address}/a-secret-path\"')");
        self.project.sql(&set).await;
    }

    /// As a superuser, where the world itself is changed.
    async fn change(&self, statements: &str) {
        let superuser = self.project.database.connect_as_superuser().await.unwrap();
        superuser.batch_execute(statements).await.unwrap();
    }

    /// The archive's minute.
    async fn tick(&self) {
        self.project.supabase.tick(ARCHIVE).await.unwrap();
        self.project.is_answered().await;
        if self.status.load(Ordering::SeqCst) == 202 {
            let sees =
                "update odoo_sync.runs set seen_at = clock_timestamp() where outcome = 'success'";
            self.project.sql(sees).await;
        }
    }

    /// Five minutes pass, and the alarm looks.
    async fn look(&self) {
        self.passes("5 minutes").await;
        let run = self.project.supabase.tick(ALARM).await.unwrap();
        assert_eq!(run.status, "succeeded", "{}", run.return_message);
        self.is_delivered().await;
    }

    async fn passes(&self, time: &str) {
        let earlier = format!(
            "update odoo_sync.alarms set since = since - interval '{time}', rung_at = rung_at - interval '{time}', over_since = over_since - interval '{time}'"
        );
        self.project.sql(&earlier).await;
    }

    /// Waits until `pg_net` has an answer to all that was posted.
    async fn is_delivered(&self) {
        let open = "select count(*) from odoo_sync.alerts a where a.answered_at is null and not exists (select from net._http_response r where r.id = a.request_id)";
        eventually(|| async {
            let open = self.project.sql(open).await;
            if open == ["0"] {
                Ok(())
            } else {
                Err(format!("{open:?} alerts are open"))
            }
        })
        .await
        .unwrap();
    }

    /// Every message so far, in order.
    fn heard(&self) -> Vec<Value> {
        let calls = self.receiver.calls();
        let posts = calls.iter().filter(|call| call.method == "POST");
        posts
            .map(|call| serde_json::from_str(&call.body).unwrap())
            .collect()
    }
}

/// Answers with the status that the switch says.
async fn switched(first: u16) -> (Endpoint, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(first));
    let says = Arc::clone(&status);
    let endpoint = Endpoint::answering(move |_| {
        let status = says.load(Ordering::SeqCst);
        async move { answer(status, "") }
    })
    .await;
    (endpoint, status)
}

#[tokio::test]
async fn what_fails_rings_once_says_what_to_do_and_is_told_when_it_is_over() {
    for failure in FAILURES {
        let scene = Scene::new().await;
        scene.look().await;
        scene.look().await;
        assert_eq!(scene.heard(), Vec::<Value>::new(), "all is well");

        scene.change(failure.made_by).await;
        scene.status.store(failure.status, Ordering::SeqCst);
        scene.tick().await;
        for _ in 0..3 {
            scene.look().await;
        }
        let heard = scene.heard();
        assert_eq!(heard.len(), 1, "{}: {heard:?}", failure.state);
        let trouble = &heard[0]["troubles"][0];
        assert_eq!(
            (&trouble["subject"], &trouble["state"]),
            (&json!(failure.subject), &json!(failure.state)),
            "{heard:?}"
        );
        let text = heard[0]["text"].as_str().unwrap();
        assert!(text.contains(failure.says), "{text}");
        assert!(!text.contains("Müller"), "{text}");

        scene.project.sql(failure.mended_by).await;
        scene.status.store(202, Ordering::SeqCst);
        scene.tick().await;
        for _ in 0..4 {
            scene.look().await;
        }
        let heard = scene.heard();
        assert_eq!(heard.len(), 2, "{}: {heard:?}", failure.state);
        assert_eq!(heard[1]["event"], "over", "{}", heard[1]);
        assert_eq!(heard[1]["over"][0]["subject"], failure.subject);
        let left = scene
            .project
            .sql("select subject from odoo_sync.alarms")
            .await;
        assert_eq!(left, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_lasts_rings_again_after_a_day() {
    let scene = Scene::new().await;
    scene.change(A_DEAD_FILE).await;
    scene.look().await;
    scene.passes("22 hours").await;
    scene.look().await;
    assert_eq!(scene.heard().len(), 1);
    scene.passes("2 hours").await;
    scene.look().await;
    assert_eq!(scene.heard().len(), 2);
    assert_eq!(scene.heard()[1]["event"], "alarm");
}

#[tokio::test]
async fn one_refused_call_between_two_that_went_well_does_not_ring() {
    let scene = Scene::new().await;
    scene.status.store(503, Ordering::SeqCst);
    scene.tick().await;
    // A look in the very minute.
    scene.project.supabase.tick(ALARM).await.unwrap();
    scene.status.store(202, Ordering::SeqCst);
    scene.tick().await;
    for _ in 0..3 {
        scene.look().await;
    }
    assert_eq!(scene.heard(), Vec::<Value>::new());
}

/// The alarm's minute is the archive's too.
#[tokio::test]
async fn a_run_that_has_just_begun_hides_no_failure() {
    let scene = Scene::new().await;
    scene.change(FAILURES[0].made_by).await;
    scene.tick().await;
    assert_eq!(scene.project.health().await.state, "sql_error");
    let begins = "insert into cron.job_run_details (jobid, database, username, command, status, start_time)
        select jobid, database, username, command, 'running', clock_timestamp() from cron.job where jobname = 'archive-odoo-files-batch'";
    scene.change(begins).await;
    assert_eq!(scene.project.health().await.state, "sql_error");
}

#[tokio::test]
async fn an_alarm_that_nobody_takes_is_a_state_and_is_posted_again() {
    let scene = Scene::new().await;
    scene.taken_with.store(404, Ordering::SeqCst);
    scene.change(A_DEAD_FILE).await;
    scene.look().await;
    scene.look().await;
    assert!(scene.heard().len() >= 2, "{:?}", scene.heard());
    let collected = "select odoo_sync.alarm(); update odoo_sync.alerts a set answered_at = now(), status_code = 404 where a.answered_at is null";
    scene.project.sql(collected).await;
    let health = scene.project.health_of(ALARM).await;
    assert_eq!((health.state.as_str(), health.ok), ("undelivered", false));
    assert!(
        health.problem.contains("the address answered 404"),
        "{health:?}"
    );
    assert!(!health.problem.contains("a-secret-path"), "{health:?}");

    scene.taken_with.store(200, Ordering::SeqCst);
    scene.look().await;
    scene.look().await;
    assert_eq!(scene.project.health_of(ALARM).await.state, "ok");
    let heard = scene.heard().len();
    scene.look().await;
    assert_eq!(scene.heard().len(), heard, "it was delivered");
}

#[tokio::test]
async fn the_heartbeat_is_called_while_all_is_well_only() {
    let scene = Scene::new().await;
    let (watch, _) = switched(200).await;
    scene.set("heartbeat_url", &watch.url()).await;
    scene.look().await;
    scene.look().await;
    assert_eq!(watch.calls().len(), 2);
    assert_eq!(watch.calls()[0].path, "/a-secret-path");
    scene.change(A_DEAD_FILE).await;
    scene.look().await;
    assert_eq!(watch.calls().len(), 2);
    let kept = "select count(*) from odoo_sync.alerts where event = 'heartbeat'";
    assert_eq!(scene.project.sql(kept).await, ["1"]);
}

#[tokio::test]
async fn a_test_arrives_with_a_link_and_without_an_address_says_what_to_do() {
    let scene = Scene::new().await;
    let told = scene.project.sql("select odoo_sync.alert_test()").await;
    assert!(told[0].contains("Posted as request"), "{told:?}");
    scene.is_delivered().await;
    let heard = scene.heard();
    assert_eq!(heard[0]["event"], "test");
    let card = scene
        .project
        .sql("select odoo_sync.setting('base_url') #>> '{}'")
        .await;
    assert_eq!(heard[0]["card"], format!("{}/", card[0]));
    scene
        .project
        .sql("select odoo_sync.set('alert_url', 'null')")
        .await;
    let refusal = scene.project.refusal("select odoo_sync.alert_test()").await;
    assert!(refusal.contains("odoo_sync.set('alert_url'"), "{refusal}");
}

#[tokio::test]
async fn every_chat_gets_a_body_that_it_shows() {
    let project = Project::new().await;
    let body = async |format: &str, url: &str| -> Value {
        let message =
            r#"{"event": "test", "text": "a <b> & c\nd", "card": "https://sync.example.com/"}"#;
        let ask = format!("select odoo_sync.alert_body('{message}', '{format}', '{url}')");
        serde_json::from_str(&project.sql(&ask).await[0]).unwrap()
    };
    let slack = json!({"text": "a &lt;b&gt; &amp; c\nd"});
    assert_eq!(
        body("auto", "https://hooks.slack.com/services/T0/B0/x").await,
        slack
    );
    let mattermost = json!({"text": "a <b> & c\nd"});
    assert_eq!(
        body(
            "auto",
            "https://chat.example.com/hooks/abcdefghij0123456789abcdef"
        )
        .await,
        mattermost
    );
    let discord = json!({"content": "a <b> & c\nd", "allowed_mentions": {"parse": []}});
    assert_eq!(
        body("auto", "https://discord.com/api/webhooks/1/x").await,
        discord
    );
    for url in [
        "https://example.webhook.office.com/webhookb2/1",
        "https://prod-01.westeurope.logic.azure.com:443/workflows/1",
        "https://x.1.environment.api.powerplatform.com:443/powerautomate/1",
    ] {
        let teams = body("auto", url).await;
        let lines = &teams["attachments"][0]["content"]["body"];
        assert_eq!(lines[0]["text"], "a <b> & c", "{teams}");
        assert_eq!(lines[1]["text"], "d", "{teams}");
    }
    assert_eq!(
        body("auto", "https://example.com/").await["card"],
        "https://sync.example.com/"
    );
    assert_eq!(body("slack", "https://example.com/").await, slack);
    let long = "select length(odoo_sync.alert_body(jsonb_build_object('text', repeat('x', 5000)), 'discord', '') ->> 'content') <= 2000";
    assert_eq!(project.sql(long).await, ["t"]);
}

#[tokio::test]
async fn where_alarms_go_is_the_owners_and_shown_to_nobody() {
    let scene = Scene::new().await;
    let project = &scene.project;
    for refused in [
        "'\"ftp://example.com\"'",
        "'\"http://example.com/x\"'",
        "'7'",
        "'\"https://a b\"'",
    ] {
        let refusal = project
            .refusal(&format!("select odoo_sync.set('alert_url', {refused})"))
            .await;
        assert!(refusal.contains("is an https address"), "{refusal}");
    }
    let admin = project.user(true).await;
    let service = project
        .database
        .connect_as("service_role", None)
        .await
        .unwrap();
    for client in [&admin, &service] {
        for statement in [
            "select url from odoo_sync.webhooks",
            "select odoo_sync.set('alert_url', '\"https://example.com/\"')",
            "select odoo_sync.alarm()",
            "select odoo_sync.post_alert('test', '{}')",
        ] {
            let refusal = query(client, statement).await.unwrap_err();
            assert!(
                refusal.contains("permission denied"),
                "{statement}: {refusal}"
            );
        }
        let settings = query(
            client,
            "select string_agg(s.value::text, ' ') from odoo_sync.settings s",
        )
        .await
        .unwrap();
        assert!(!settings[0].contains("a-secret-path"), "{settings:?}");
    }
}

/// With the real clock: its own connections meet a database that was set to read-only, as Supabase does.
#[tokio::test]
async fn a_database_that_takes_no_writes_rings_under_the_real_clock() {
    let server = Postgres::start_throw_away().await.unwrap();
    if !has_real_cron(&server).await {
        return;
    }
    server.main().apply_sql().await.unwrap();
    let (components, _) = switched(202).await;
    let (receiver, _) = switched(200).await;
    let project = Project::of(server.main().clone()).await;
    // A clock of minutes: the alarm comes with each of them.
    project
        .sql("update odoo_sync.jobs set schedule = '* * * * *'")
        .await;
    project.schedule(&components.url()).await;
    let address = receiver.url();
    project
        .sql(&format!(
            "select odoo_sync.set('alert_url', '\"{address}\"'), odoo_sync.set('alert_after_minutes', '0')"
        ))
        .await;
    let read_only = "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    project.sql(read_only).await;
    let rings = || async {
        let calls = receiver.calls();
        let said = calls.iter().find(|call| call.body.contains("read_only"));
        said.map(|call| call.body.clone())
            .ok_or_else(|| format!("{calls:?}"))
    };
    // Two minutes may pass before the second tick, whose alarm sees what became of the first.
    let body = match eventually(rings).await {
        Ok(body) => body,
        Err(_) => eventually(rings).await.unwrap(),
    };
    assert!(body.contains("The database takes no writes"), "{body}");
}
