//! What `GET /status` and its neighbours promise to whoever reads them by program.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that meets what it did not expect has failed"
)]

use acceptance::card::{ARCHIVE_JOB, Scene};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use stage::{Answer, SERVICE_KEY, Stage};

const ORIGIN: &str = "https://admin.example.com";

async fn scene() -> Scene {
    Scene::scheduled(Stage::builder().variable("allowed_origins", ORIGIN))
        .await
        .unwrap()
}

/// A project in which much has happened.
async fn busy() -> Scene {
    let scene = scene().await;
    scene.files(751, 17_572).await.unwrap();
    scene.batches(25, 92).await.unwrap();
    scene
        .failures(
            30_000,
            700,
            "pending",
            "storage_busy",
            "destination",
            "Storage asks for a pause (429)",
            "plan.pdf",
        )
        .await
        .unwrap();
    scene
        .failures(
            40_000,
            3,
            "dead",
            "mime_refused",
            "configuration",
            "mime type image/jpeg is not supported",
            "a\"<b>.pdf",
        )
        .await
        .unwrap();
    let fault = r#"{"kind": "source_login", "blame": "configuration", "message": "Odoo refused the login"}"#;
    scene.ran("crm-sync", "success", 3_600, None).await.unwrap();
    scene
        .ran("crm-sync", "error", 60, Some(fault))
        .await
        .unwrap();
    scene.sql("insert into public.sync_validation_log (entity, verdict, source_count, destination_count, missing)
               values ('leads', 'same', 412, 412, 0), ('partners', 'differs', 90, 88, 2), ('messages', 'same', 9000, 9000, 0)").await.unwrap();
    scene
}

async fn get(scene: &Scene, path: &str, headers: &[(&str, &str)]) -> Answer {
    let authorization = format!("Bearer {SERVICE_KEY}");
    let mut all = vec![("authorization", authorization.as_str())];
    all.extend(headers);
    scene
        .stage
        .caller()
        .send(Method::GET, path, &all, "")
        .await
        .unwrap()
}

fn assert_valid(document: &Value) {
    let schema = include_str!("../../../../components/status-api/status.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{document:#}");
}

#[tokio::test]
async fn the_document_is_what_its_schema_says_on_the_first_day_and_on_a_bad_one() {
    let first_day = Scene::first_day(Stage::builder()).await.unwrap();
    let document = get(&first_day, "/status", &[]).await.json();
    assert_valid(&document);
    assert_eq!(
        (&document["state"], &document["archive"]["phase"]),
        (&json!("cron_failing"), &json!("waiting"))
    );

    let busy = busy().await;
    let answer = get(&busy, "/status", &[]).await;
    let document = answer.json();
    assert_valid(&document);
    assert!(answer.body.len() < 16_384, "{}", answer.body.len());
    let archive = &document["archive"];
    assert_eq!(archive["total"], 751 + 17_572 + 703);
    assert_eq!(
        [
            &archive["migrated"],
            &archive["failed"],
            &archive["dead"],
            &archive["remaining"]
        ],
        [751, 700, 3, 18_272]
    );
    assert_eq!(
        document["errors"]["count"], 704,
        "files and the run that failed since the last success"
    );
    assert_eq!(document["syncs"]["crm"]["validation"]["verdict"], "differs");
    assert_eq!(document["syncs"]["crm"]["validation"]["missing"], 2);
    assert_eq!(
        document["syncs"]["chatter"]["validation"]["verdict"],
        "same"
    );
    assert_eq!(
        document["syncs"]["chatter"]["last_run"],
        Value::Null,
        "it never ran"
    );
    let lag = document["syncs"]["crm"]["lag_s"].as_f64().unwrap();
    assert!((3_600.0..3_700.0).contains(&lag), "{lag}");
}

#[tokio::test]
async fn a_run_that_only_looked_or_read_a_part_makes_nothing_bygone() {
    let scene = busy().await;
    let ran = |mode: &'static str, counts: &'static str| {
        let run = format!(
            "insert into odoo_sync.runs (id, job, mode, leased_until, finished_at, outcome, counts)
             select id, 'crm-sync', '{mode}', now(), now(), 'success', replace('{counts}', 'itself', id::text)::jsonb
               from (select gen_random_uuid() as id) s"
        );
        async { scene.sql(&{ run }).await.unwrap() }
    };
    let nothing_new = r#"{"as_of": {"leads": null}, "only": null}"#;
    ran("dry_run", nothing_new).await;
    ran("validate", nothing_new).await;
    ran(
        "incremental",
        r#"{"as_of": {"leads": null}, "only": ["stages"]}"#,
    )
    .await;
    let document = get(&scene, "/status", &[]).await.json();
    assert_eq!(document["errors"]["count"], 704, "{document:#}");
    assert!(document["syncs"]["crm"]["lag_s"].as_f64().unwrap() >= 3_600.0);

    // A run that had no time for all of it works, and leaves the rest to the next.
    ran("incremental", nothing_new).await;
    let document = get(&scene, "/status", &[]).await.json();
    assert_eq!(document["errors"]["count"], 703);
    assert!(document["syncs"]["crm"]["lag_s"].as_f64().unwrap() >= 3_600.0);
    ran("incremental", r#"{"as_of": {"leads": "itself"}}"#).await;
    let document = get(&scene, "/status", &[]).await.json();
    assert!(document["syncs"]["crm"]["lag_s"].as_f64().unwrap() < 3_600.0);
}

#[tokio::test]
async fn the_schema_refuses_what_is_not_in_it() {
    let schema: Value = serde_json::from_str(include_str!(
        "../../../../components/status-api/status.schema.json"
    ))
    .unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let scene = scene().await;
    let mut document = get(&scene, "/status", &[]).await.json();
    assert!(validator.is_valid(&document));
    document["archive"]["phase"] = json!("flying");
    assert!(!validator.is_valid(&document));
}

#[tokio::test]
async fn who_knows_it_already_gets_304_until_something_happens() {
    let scene = scene().await;
    scene.files(10, 5).await.unwrap();
    let first = get(&scene, "/status", &[]).await;
    let tag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert!(first.header("vary").contains("Authorization"));
    let second = get(&scene, "/status", &[("if-none-match", &tag)]).await;
    assert_eq!(
        (second.status, second.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    assert!(
        second.header("x-server-time") > first.header("x-server-time"),
        "the time goes on"
    );
    scene
        .sql("update public.odoo_attachments set state = 'moved' where id = 11")
        .await
        .unwrap();
    assert_eq!(
        get(&scene, "/status", &[("if-none-match", &tag)])
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_look_is_one_statement_and_so_is_a_304() {
    let scene = Scene::scheduled(Stage::builder()).await.unwrap();
    let tag = get(&scene, "/status", &[]).await.header("etag").to_owned();
    let superuser = scene.stage.database.connect_as_superuser().await.unwrap();
    // Statements of the app that committed something or read; each is a transaction of its own.
    let statements = || async {
        superuser
            .execute("select pg_stat_clear_snapshot()", &[])
            .await
            .unwrap();
        let row = superuser.query_one("select calls from pg_stat_user_functions where schemaname = 'odoo_sync' and funcname = 'status'", &[]).await;
        row.map_or(0, |row| row.get::<_, i64>(0))
    };
    let database = scene.stage.database.dbname();
    superuser
        .batch_execute(&format!(
            "alter database {database} set track_functions = 'all'"
        ))
        .await
        .unwrap();
    let keys = "select count(*) from pg_stat_activity where datname = current_database() and usename = 'odoo_sync' and query ilike '%accepted_keys%'";
    // New connections count; those that the app holds do not.
    let (replica, caller) = scene.stage.replica(&[]).await.unwrap();
    let authorization = format!("Bearer {SERVICE_KEY}");
    let answer = caller
        .send(
            Method::GET,
            "/status",
            &[("authorization", &authorization), ("if-none-match", &tag)],
            "",
        )
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    drop(replica);
    let started = std::time::Instant::now();
    while statements().await != 1 {
        assert!(
            started.elapsed().as_secs() < 120,
            "odoo_sync.status() was called {} times",
            statements().await
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        scene.stage.count(keys).await.unwrap(),
        0,
        "a key of the variables asks nobody"
    );
}

#[tokio::test]
async fn a_page_of_a_configured_origin_may_ask_and_no_other() {
    let scene = scene().await;
    let preflight = |origin: &'static str, path: &'static str, method: &'static str| {
        let caller = scene.stage.caller().clone();
        async move {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", method),
                (
                    "access-control-request-headers",
                    "authorization,if-none-match",
                ),
            ];
            caller
                .send(Method::OPTIONS, path, &headers, "")
                .await
                .unwrap()
        }
    };
    let known = preflight(ORIGIN, "/status", "GET").await;
    assert_eq!(known.status, StatusCode::NO_CONTENT);
    assert_eq!(known.header("access-control-allow-origin"), ORIGIN);
    assert!(known.header("access-control-allow-methods").contains("GET"));
    assert!(
        known
            .header("access-control-allow-headers")
            .contains("if-none-match")
    );
    assert!(
        preflight(ORIGIN, "/actions/pause", "POST")
            .await
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert_eq!(
        preflight("https://evil.example.com", "/status", "GET")
            .await
            .header("access-control-allow-origin"),
        ""
    );
    let read = get(&scene, "/status", &[("origin", ORIGIN)]).await;
    assert_eq!(read.header("access-control-allow-origin"), ORIGIN);
    assert!(
        read.header("access-control-expose-headers")
            .contains("etag")
    );
}

#[tokio::test]
async fn an_app_that_is_not_set_up_names_the_settings_that_are_missing() {
    let scene = scene().await;
    let set_up = scene.stage.caller().get("/status", None).await.unwrap();
    assert!(
        set_up
            .header("www-authenticate")
            .starts_with("Bearer realm=")
            && set_up
                .header("www-authenticate")
                .contains("odoo_sync.new_key"),
        "a refusal says which keys are accepted"
    );
    assert_eq!(set_up.json(), json!({ "error": "Unauthorized" }));
    for (unset, missing) in [
        (vec![("db_host", "database.invalid")], json!(["db_host"])),
        (
            vec![("db_host", "database.invalid"), ("db_password", "")],
            json!(["db_host", "db_password"]),
        ),
    ] {
        let (_replica, caller) = scene.stage.replica(&unset).await.unwrap();
        let stranger = caller.get("/status", None).await.unwrap();
        assert_eq!(
            (stranger.status, stranger.json()),
            (
                StatusCode::UNAUTHORIZED,
                json!({ "error": "Unauthorized", "missing": missing })
            )
        );
        // A key that Postgres may know cannot be compared with its keys.
        let key = "ots_of-at-least-thirty-two-characters";
        let unknown = caller.get("/status", Some(key)).await.unwrap();
        assert_eq!(
            (unknown.status, &unknown.json()["missing"]),
            (StatusCode::SERVICE_UNAVAILABLE, &missing),
            "{}",
            unknown.text()
        );
    }
}

#[tokio::test]
async fn without_a_right_nobody_reads_and_nobody_acts() {
    let scene = scene().await;
    scene.files(1, 1).await.unwrap();
    let caller = scene.stage.caller();
    for path in ["/status", "/status/files/1", "/metrics"] {
        let refused = caller.get(path, None).await.unwrap();
        assert_eq!(
            (refused.status, refused.json()),
            (StatusCode::UNAUTHORIZED, json!({ "error": "Unauthorized" })),
            "{path}"
        );
    }
    for action in ["retry", "pause", "resume", "run"] {
        let path = format!("/actions/{action}");
        assert_eq!(
            caller.post(&path, "wrong", "{}").await.unwrap().status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        assert_eq!(
            get(&scene, &path, &[]).await.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{path}"
        );
    }
    assert_eq!(
        scene
            .stage
            .count("select count(*) from odoo_sync.actions")
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        caller.get("/healthz", None).await.unwrap().status,
        StatusCode::OK
    );
    assert_eq!(
        scene.stage.post("/status", "{}").await.unwrap().status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn an_open_status_is_open_for_looking_only() {
    let scene = Scene::scheduled(Stage::builder().variable("status_public", true))
        .await
        .unwrap();
    scene.files(1, 1).await.unwrap();
    scene
        .failures(
            9,
            1,
            "dead",
            "mime_refused",
            "configuration",
            "no",
            "salary.pdf",
        )
        .await
        .unwrap();
    let caller = scene.stage.caller();
    let open = caller.get("/status", None).await.unwrap();
    assert_valid(&open.json());
    assert_eq!(open.json()["viewer"]["admin"], false);
    assert!(!open.text().contains("salary"));
    assert!(get(&scene, "/status", &[]).await.text().contains("salary"));
    assert_eq!(
        caller.get("/status/files/9", None).await.unwrap().status,
        StatusCode::UNAUTHORIZED
    );
    let act = caller
        .send(Method::POST, "/actions/pause", &[], "{}")
        .await
        .unwrap();
    assert_eq!(act.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_file_is_found_by_its_id() {
    let scene = scene().await;
    scene.files(3, 0).await.unwrap();
    let file = get(&scene, "/status/files/2", &[]).await.json();
    assert_eq!(
        (&file["name"], &file["state"]),
        (&json!("offer 2.pdf"), &json!("moved"))
    );
    assert_eq!(
        get(&scene, "/status/files/99", &[]).await.status,
        StatusCode::NOT_FOUND
    );
    for id in ["0", "-1", "x", "99999999999999999999", ""] {
        assert_eq!(
            get(&scene, &format!("/status/files/{id}"), &[])
                .await
                .status,
            StatusCode::BAD_REQUEST,
            "{id}"
        );
    }
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let scene = busy().await;
    let answer = get(&scene, "/metrics", &[]).await;
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    for line in text.lines() {
        let described =
            line.starts_with("# HELP odoo_sync_") || line.starts_with("# TYPE odoo_sync_");
        let sample = line.rsplit_once(' ').is_some_and(|(name, value)| {
            name.starts_with("odoo_sync_") && value.parse::<f64>().is_ok()
        });
        assert!(described || sample, "{line}");
    }
    for wanted in [
        "odoo_sync_archive_files{state=\"moved\"} 751",
        "odoo_sync_archive_remaining_files 18272",
        "odoo_sync_state{state=\"errors\"} 1",
    ] {
        assert!(
            text.lines().any(|line| line == wanted),
            "{wanted} in {text}"
        );
    }
}

#[tokio::test]
async fn every_action_does_what_it_says_and_is_on_record() {
    let scene = scene().await;
    scene
        .failures(
            40_000,
            3,
            "dead",
            "mime_refused",
            "configuration",
            "no",
            "a.pdf",
        )
        .await
        .unwrap();
    let act = |action: &'static str, body: &'static str| scene.stage.post(action, body);

    let retried = act("/actions/retry", r#"{"ids": [40000, 40001]}"#)
        .await
        .unwrap();
    assert_eq!(
        (retried.status, &retried.json()["ok"]),
        (StatusCode::OK, &json!(true))
    );
    assert_eq!(
        scene
            .stage
            .count("select count(*) from public.odoo_attachments where state = 'dead'")
            .await
            .unwrap(),
        1
    );

    assert_eq!(
        act("/actions/pause", "").await.unwrap().status,
        StatusCode::OK
    );
    let run = act("/actions/run", "{}").await.unwrap();
    assert_eq!(run.status, StatusCode::CONFLICT, "{}", run.text());
    assert!(
        run.json()["outcome"]
            .as_str()
            .unwrap()
            .contains("is paused")
    );
    assert!(
        run.json()["remedy"]
            .as_str()
            .unwrap()
            .contains("odoo_sync.resume")
    );
    assert_eq!(
        act("/actions/resume", "{}").await.unwrap().status,
        StatusCode::OK
    );
    assert_eq!(
        act("/actions/run", "{}").await.unwrap().status,
        StatusCode::OK
    );
    let calls = format!(
        "select count(*) from odoo_sync.calls where job = '{ARCHIVE_JOB}' and request_id > 0"
    );
    assert_eq!(scene.stage.count(&calls).await.unwrap(), 1);
    assert_eq!(
        act("/actions/pause", r#"{"job": "no-such-job"}"#)
            .await
            .unwrap()
            .status,
        StatusCode::CONFLICT
    );
    assert_eq!(
        act("/actions/pause", "[").await.unwrap().status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        act("/actions/fly", "{}").await.unwrap().status,
        StatusCode::NOT_FOUND
    );

    let record = scene.stage.value("select jsonb_agg(action || ' ' || succeeded || ' ' || who order by id) from odoo_sync.actions").await.unwrap();
    let by = |action: &str| format!("{action} a service key");
    assert_eq!(
        record,
        json!([
            by("retry true"),
            by("pause true"),
            by("run false"),
            by("resume true"),
            by("run true"),
            by("pause false")
        ])
    );
}

#[tokio::test]
async fn a_user_who_acts_is_named_and_old_records_go() {
    let scene = scene().await;
    scene.sql("insert into odoo_sync.actions (done_at, action, job, who, succeeded, outcome) values (now() - interval '2 years', 'pause', 'x', 'y', true, 'z')").await.unwrap();
    let user: uuid::Uuid = scene
        .stage
        .owner
        .query_one("insert into auth.users default values returning id", &[])
        .await
        .unwrap()
        .get(0);
    let component = scene.stage.database.connect_as_component().await.unwrap();
    component
        .execute(
            "select odoo_sync.act('pause', 'archive-batch', $1)",
            &[&user],
        )
        .await
        .unwrap();
    let who = scene
        .stage
        .value("select jsonb_agg(who) from odoo_sync.actions")
        .await
        .unwrap();
    assert_eq!(who, json!([user.to_string()]));
    let by = scene
        .stage
        .value("select to_jsonb(paused_by) from odoo_sync.jobs where component = 'archive-batch'")
        .await
        .unwrap();
    assert_eq!(by, json!(user.to_string()));
}

#[tokio::test]
async fn the_card_s_files_come_with_a_strict_policy_and_a_tag() {
    let scene = scene().await;
    let caller = scene.stage.caller();
    for (path, kind) in [
        ("/", "text/html"),
        ("/card/card.js", "text/javascript"),
        ("/card/card.css", "text/css"),
        ("/status.schema.json", "application/schema+json"),
    ] {
        let file = caller.get(path, None).await.unwrap();
        assert_eq!(file.status, StatusCode::OK, "{path}");
        assert!(file.header("content-type").starts_with(kind), "{path}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        let policy = file.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("frame-ancestors 'self'")
                && !policy.contains("unsafe"),
            "{policy}"
        );
        let known = caller
            .send(
                Method::GET,
                path,
                &[("if-none-match", file.header("etag"))],
                "",
            )
            .await
            .unwrap();
        assert_eq!(
            (known.status, known.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
    }
    assert_eq!(
        caller.get("/card/secret.js", None).await.unwrap().status,
        StatusCode::NOT_FOUND
    );
}

/// Puts a marker into every text, list of texts and document in every table, where the table lets it.
/// Of the runs' and jobs' names it leaves what they are joined by, and of settings the figures, so that all of it is read.
const MARK_EVERYTHING: &str = "
    do $$
    declare c record;
    begin
      for c in
        select a.attrelid::regclass as tab, a.attname, t.typname
          from pg_attribute a join pg_class r on r.oid = a.attrelid join pg_type t on t.oid = a.atttypid
         where r.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
           and t.typname in ('text', '_text', 'jsonb')
           and (r.relnamespace = 'odoo_sync'::regnamespace
                or r.oid in ('public.migration_logs'::regclass, 'public.sync_validation_log'::regclass, 'public.odoo_attachments'::regclass))
           and (r.relname, a.attname) not in (('runs', 'job'), ('jobs', 'component'), ('jobs', 'name'), ('calls', 'job'), ('settings', 'value'))
      loop
        begin
          execute format('update %s set %I = %L', c.tab, c.attname,
            case c.typname when '_text' then '{MARKER}' when 'jsonb' then '{\"kind\": \"MARKER\", \"blame\": \"MARKER\", \"message\": \"MARKER\", \"complete\": true}' else 'MARKER' end);
        exception when others then null;
        end;
      end loop;
    end
    $$";

#[tokio::test]
async fn an_open_status_says_nothing_but_words_of_its_own_lists() {
    let scene = Scene::scheduled(Stage::builder().variable("status_public", true))
        .await
        .unwrap();
    scene.files(3, 1).await.unwrap();
    scene
        .failures(9, 2, "dead", "mime_refused", "configuration", "no", "a.pdf")
        .await
        .unwrap();
    scene.batches(2, 5).await.unwrap();
    let fault = r#"{"kind": "source_login", "blame": "configuration", "message": "no"}"#;
    for (component, outcome, fault) in [
        ("archive-batch", "error", Some(fault)),
        ("crm-sync", "error", Some(fault)),
        ("chatter-sync", "success", None),
    ] {
        scene.ran(component, outcome, 5, fault).await.unwrap();
    }
    scene
        .sql("insert into public.sync_validation_log (entity, verdict, missing, detail) values ('leads', 'error', 1, '{}'), ('users', 'differs', 1, '{}')")
        .await
        .unwrap();
    scene.sql(MARK_EVERYTHING).await.unwrap();

    let caller = scene.stage.caller();
    let admin = get(&scene, "/status", &[]).await;
    assert!(admin.text().contains("MARKER"), "the markers are not read");
    for path in ["/status", "/metrics"] {
        let open = caller.get(path, None).await.unwrap();
        assert_eq!(open.status, StatusCode::OK, "{}", open.text());
        assert!(!open.text().contains("MARKER"), "{path}: {}", open.text());
    }
    let open = caller.get("/status", None).await.unwrap().json();
    assert_valid(&open);
    assert_eq!(open["archive"]["dead"], 2);
}

#[tokio::test]
async fn an_open_status_that_cannot_be_read_says_nothing_of_what_postgres_says() {
    let scene = Scene::scheduled(Stage::builder().variable("status_public", true))
        .await
        .unwrap();
    scene
        .sql(
            "create or replace function odoo_sync.status() returns jsonb language plpgsql as
             $$ begin raise exception 'MARKER'; end $$",
        )
        .await
        .unwrap();
    for path in ["/status", "/metrics"] {
        let open = scene.stage.caller().get(path, None).await.unwrap();
        assert_eq!(open.status, StatusCode::BAD_GATEWAY, "{}", open.text());
        assert!(!open.text().contains("MARKER"), "{}", open.text());
        assert!(get(&scene, path, &[]).await.text().contains("MARKER"));
    }
}
