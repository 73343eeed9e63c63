//! Every state has its badge, its words and its picture.

use acceptance::card::{ARCHIVE_JOB, Scene};

use crate::{Visit, stage};

const TURNS: &str = "getComputedStyle(root.querySelector('.gear path')).animationName === 'turn'";
const BEATS: &str =
    "getComputedStyle(root.querySelector('.dot'), '::after').animationName === 'beat'";

#[tokio::test]
async fn while_files_move_the_gear_turns_and_the_rest_is_foreseen() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(751, 17_572).await.unwrap();
    scene.batches(25, 92).await.unwrap();
    scene.ran("crm-sync", "success", 240, None).await.unwrap();
    let same = "insert into public.sync_validation_log (entity, verdict, source_count, destination_count) values ('leads', 'same', 412, 412)";
    scene.sql(same).await.unwrap();
    let Some(visit) = Visit::to("while_files_move", scene).await else {
        return;
    };
    visit.badge("Running").await;
    assert_eq!(visit.says("migrated").await, "751 / 18,323 migrated");
    assert_eq!(visit.says("remaining").await, "17,572 remaining");
    assert_eq!(visit.says("percent").await, "4.0%");
    assert!(
        visit.says("eta").await.starts_with("ETA ~3h"),
        "{}",
        visit.says("eta").await
    );
    assert!(visit.says("eta-range").await.contains('–'));
    assert!(
        visit.says("rate").await.contains("files/min"),
        "{}",
        visit.says("rate").await
    );
    assert!(visit.says("liveness").await.starts_with("Live · last tick"));
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "true");
    assert_eq!(visit.browser.text(BEATS).await.unwrap(), "true");
    assert_eq!(
        visit
            .browser
            .text("$('bar').getAttribute('aria-valuetext')")
            .await
            .unwrap(),
        "4.0%, 751 of 18,323 files"
    );
    assert!(
        visit
            .browser
            .text("$('sparkline').querySelector('.line').getAttribute('d')")
            .await
            .unwrap()
            .starts_with('M')
    );
    assert!(
        visit.says("crm").await.contains("behind"),
        "{}",
        visit.says("crm").await
    );
    assert_eq!(visit.says("crm-verdict").await, "✓ Validated");
    assert_eq!(visit.says("chatter").await, "Never ran");
    assert_eq!(
        visit.browser.text("$('errors').open").await.unwrap(),
        "false"
    );
    visit.portrait("running").await;
    assert_eq!(
        visit.browser.console().await.unwrap(),
        Vec::<String>::new(),
        "the page is quiet"
    );
}

#[tokio::test]
async fn where_only_retries_wait_the_next_one_is_told_and_no_time_is_foreseen() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_000, 3).await.unwrap();
    scene.batches(10, 92).await.unwrap();
    let failed = "update public.odoo_attachments
        set attempts = 3, reason = 'source_timeout', message = 'Odoo did not answer in time', blame = 'source', failed_at = now(),
            next_attempt_at = now() + interval '9 minutes 50 seconds' where state = 'pending'";
    scene.sql(failed).await.unwrap();
    let Some(visit) = Visit::to("where_only_retries_wait", scene).await else {
        return;
    };
    visit.badge("Running").await;
    assert_eq!(visit.says("eta").await, "Next retry in 9 min");
    visit.portrait("retries").await;
    // Also while a batch is at work that moved others.
    let at_work = "insert into odoo_sync.runs (id, job, mode, started_at, leased_until, outcome, counts)
        values (gen_random_uuid(), 'archive-batch', 'migrate', now() - interval '30 seconds', now() + interval '2 minutes', 'running', '{\"moved\": 50}')";
    visit.scene.sql(at_work).await.unwrap();
    visit.badge("Running").await;
    assert_eq!(visit.says("phase").await, "Moving files");
    assert_eq!(visit.says("eta").await, "Next retry in 9 min");
    let due = "update public.odoo_attachments set next_attempt_at = now() where state = 'pending'";
    visit.scene.sql(due).await.unwrap();
    visit.badge("Running").await;
    assert_eq!(visit.says("eta").await, "Retrying");
    // What was never tried is foreseen, whatever else waits.
    let new =
        "update public.odoo_attachments set attempts = 0 where state = 'pending' and id = 18001";
    visit.scene.sql(new).await.unwrap();
    visit.badge("Running").await;
    assert!(
        visit.says("eta").await.starts_with("ETA ~"),
        "{}",
        visit.says("eta").await
    );
}

#[tokio::test]
async fn on_the_first_day_it_says_what_to_do() {
    let scene = Scene::first_day(stage()).await.unwrap();
    let Some(visit) = Visit::to("on_the_first_day", scene).await else {
        return;
    };
    visit.badge("Cron failing").await;
    assert_eq!(visit.says("liveness").await, "No tick yet");
    assert_eq!(visit.browser.text(BEATS).await.unwrap(), "false");
    let diagnosis = visit.says("diagnosis").await;
    assert!(diagnosis.contains("odoo_sync.schedule("), "{diagnosis}");
    assert_eq!(
        visit.browser.text("$('errors').open").await.unwrap(),
        "true",
        "what to do is in sight"
    );
    assert_eq!(visit.says("eta").await, "");
    visit.portrait("first-day").await;
}

#[tokio::test]
async fn the_set_up_ticks_itself_off_until_all_was_right_and_comes_back_when_something_is_not() {
    let scene = Scene::first_day(stage()).await.unwrap();
    let Some(visit) = Visit::to("the_set_up", scene).await else {
        return;
    };
    let looked = "$('lines').children.length > 0 && !$('look').disabled";
    visit.browser.until(looked).await.unwrap();
    let lines = visit.says("lines").await;
    for line in [
        "✓Right: Odoo",
        "✓Right: bucket",
        "✗Wrong: key of the jobs: The vault holds no secret",
        "Run: select odoo_sync.rotate_key()",
        "✗Wrong: jobs",
    ] {
        assert!(lines.contains(line), "{line}: {lines}");
    }
    let title = visit.says("setup-title").await;
    assert!(
        title.starts_with("Set-up: 2") && title.contains(" of 29 are right"),
        "{title}"
    );
    visit.portrait("setup").await;

    // What it says is done, and it is looked at again.
    let set_up = format!(
        "select odoo_sync.rotate_key(); select * from odoo_sync.schedule('{}')",
        visit.scene.stage.url()
    );
    visit.scene.sql(&set_up).await.unwrap();
    visit.browser.run("$('look').click()").await.unwrap();
    visit.browser.until("$('setup').hidden").await.unwrap();
    visit.badge("Running").await;
    assert_eq!(
        visit.browser.text("$('setup').hidden").await.unwrap(),
        "true"
    );

    // Somebody else's look finds something: this card looks for itself.
    visit.scene.stage.storage.remove_bucket("odoo-archive");
    visit.scene.stage.post("/check", "").await.unwrap();
    visit.browser.run("await card.refresh()").await.unwrap();
    let told = "!$('setup').hidden && $('lines').textContent.includes('Wrong: bucket')";
    visit.browser.until(told).await.unwrap();
    // Nothing was moved yet, and nothing can be.
    visit.badge("Not set up").await;
    visit.portrait("setup-broken").await;
}

#[tokio::test]
async fn a_stale_key_is_named_and_nothing_beats() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(751, 17_572).await.unwrap();
    scene
        .ran("archive-batch", "success", 600, None)
        .await
        .unwrap();
    scene
        .sql("delete from odoo_sync.accepted_keys")
        .await
        .unwrap();
    scene.answered(401).await.unwrap();
    let Some(visit) = Visit::to("a_stale_key", scene).await else {
        return;
    };
    visit.badge("Cron failing").await;
    assert!(
        visit
            .says("liveness")
            .await
            .starts_with("Not live · last tick 10m ago"),
        "{}",
        visit.says("liveness").await
    );
    assert_eq!(visit.browser.text(BEATS).await.unwrap(), "false");
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "false");
    let diagnosis = visit.says("diagnosis").await;
    assert!(
        diagnosis.contains("stale") && diagnosis.contains("odoo_sync.rotate_key()"),
        "{diagnosis}"
    );
    visit.portrait("cron-failing").await;
}

#[tokio::test]
async fn failed_files_are_grouped_and_a_hostile_name_does_nothing() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_000, 0).await.unwrap();
    scene.batches(3, 92).await.unwrap();
    let hostile = "<img src=x onerror=\"document.title='owned'\">.pdf";
    scene
        .failures(
            30_000,
            41,
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
            hostile,
        )
        .await
        .unwrap();
    scene
        .failures(
            50_000,
            1,
            "dead",
            "source_empty",
            "source",
            "<script>document.title='owned'</script>Attachment not found or empty",
            hostile,
        )
        .await
        .unwrap();
    let Some(visit) = Visit::to("failed_files", scene).await else {
        return;
    };
    visit.badge("Errors detected").await;
    assert_eq!(visit.says("errors-count").await, "45");
    visit
        .browser
        .run("root.querySelector('summary').click()")
        .await
        .unwrap();
    let groups = visit.says("groups").await;
    for part in [
        "Last error (",
        "Upload 30000: Storage asks for a pause (429)",
        "× 41",
        "File 50000: <script>",
        hostile,
        "× 3",
    ] {
        assert!(groups.contains(part), "{part}: {groups}");
    }
    assert_eq!(
        visit.browser.text("document.title").await.unwrap(),
        "Odoo migration"
    );
    assert_eq!(
        visit
            .browser
            .text("root.querySelectorAll('#groups img, #groups script').length")
            .await
            .unwrap(),
        "0"
    );
    assert_eq!(visit.says("retry").await, "Retry 4 dead files");
    visit.portrait("errors").await;

    // And the way out: retry, asked for once more, on record.
    visit.browser.run("$('retry').click()").await.unwrap();
    visit.browser.until("$('confirm').open").await.unwrap();
    visit.portrait("confirm").await;
    visit.browser.run("$('yes').click()").await.unwrap();
    visit
        .browser
        .until("$('retry').hidden && $('outcome').textContent.includes('queue: 4')")
        .await
        .unwrap();
    let actions = "select count(*) from odoo_sync.actions where action = 'retry' and succeeded and who = 'a service key'";
    assert_eq!(visit.scene.stage.count(actions).await.unwrap(), 1);
}

#[tokio::test]
async fn a_fault_that_stops_everything_comes_first_with_its_remedy() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(751, 17_572).await.unwrap();
    let fault = r#"{"kind": "quota_exceeded", "blame": "destination", "message": "Upload 4521: bucket quota exceeded"}"#;
    scene
        .ran("archive-batch", "error", 30, Some(fault))
        .await
        .unwrap();
    let Some(visit) = Visit::to("a_fault_that_stops", scene).await else {
        return;
    };
    visit.badge("Errors detected").await;
    let diagnosis = visit.says("diagnosis").await;
    assert!(
        diagnosis.contains("Upload 4521: bucket quota exceeded")
            && diagnosis.contains("raise its quota"),
        "{diagnosis}"
    );
    assert_eq!(visit.says("phase").await, "Stopped by a fault");
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "false");
    visit.portrait("stopped").await;
}

#[tokio::test]
async fn paused_by_a_click_and_resumed_by_another() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(9_000, 9_323).await.unwrap();
    scene.batches(5, 92).await.unwrap();
    let Some(visit) = Visit::to("paused_by_a_click", scene).await else {
        return;
    };
    visit.badge("Running").await;
    // By the keyboard alone: open, then confirm.
    visit.browser.run("$('pause').focus()").await.unwrap();
    visit.browser.press("\u{E007}").await.unwrap();
    visit.browser.until("$('confirm').open").await.unwrap();
    visit.browser.run("$('yes').focus()").await.unwrap();
    visit.browser.press("\u{E007}").await.unwrap();
    visit
        .browser
        .until("$('state').textContent === 'Paused'")
        .await
        .unwrap();
    assert_eq!(
        visit.says("eta").await,
        "",
        "nothing is foreseen while it is paused"
    );
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "false");
    let by = "select count(*) from odoo_sync.jobs where component = 'archive-batch' and paused_by = 'a service key'";
    assert_eq!(visit.scene.stage.count(by).await.unwrap(), 1);
    visit.portrait("paused").await;

    visit
        .browser
        .run("$('resume').click(); $('yes').click()")
        .await
        .unwrap();
    visit
        .browser
        .until("$('state').textContent === 'Running'")
        .await
        .unwrap();
    let actions =
        "select count(*) from odoo_sync.actions where action in ('pause', 'resume') and succeeded";
    assert_eq!(visit.scene.stage.count(actions).await.unwrap(), 2);
}

#[tokio::test]
async fn done_is_said_only_when_all_is_moved() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_322, 1).await.unwrap();
    scene.batches(10, 92).await.unwrap();
    let differs = "insert into public.sync_validation_log (entity, verdict, source_count, destination_count, missing, stale) values ('messages', 'differs', 9120, 9112, 8, 3)";
    scene.sql(differs).await.unwrap();
    scene
        .ran("chatter-sync", "success", 3_000, None)
        .await
        .unwrap();
    let begun = "insert into odoo_sync.runs (id, job, mode, leased_until, finished_at, outcome, counts)
                 values (gen_random_uuid(), 'crm-sync', 'incremental', now(), now(), 'success', '{\"as_of\": {\"leads\": null}}')";
    scene.sql(begun).await.unwrap();
    let Some(visit) = Visit::to("done_is_said", scene).await else {
        return;
    };
    visit.badge("Running").await;
    assert_eq!(visit.says("percent").await, "99.9%");
    visit
        .scene
        .sql("update public.odoo_attachments set state = 'moved' where state = 'pending'")
        .await
        .unwrap();
    visit.badge("Running").await;
    assert_eq!(visit.says("percent").await, "100%");
    let pipeline = visit.says("crm").await;
    assert!(pipeline.starts_with("Not complete yet"), "{pipeline}");
    visit.portrait("first-load").await;
    visit
        .scene
        .ran("crm-sync", "success", 1, None)
        .await
        .unwrap();
    visit.badge("Done").await;
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "false");
    assert_eq!(visit.says("chatter-verdict").await, "11 differences");
    assert_eq!(visit.says("spoken").await, "Done, 100% migrated");
    visit.portrait("done").await;
}

#[tokio::test]
async fn differences_that_stay_are_told_with_what_to_do() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_323, 0).await.unwrap();
    scene.batches(10, 92).await.unwrap();
    for sync in ["crm-sync", "chatter-sync"] {
        scene.ran(sync, "success", 240, None).await.unwrap();
    }
    let differs = "insert into public.sync_validation_log (created_at, entity, verdict, source_count, destination_count, missing)
                   values (clock_timestamp(), 'leads', 'differs', 412, 404, 8)";
    scene.sql(differs).await.unwrap();
    let Some(visit) = Visit::to("differences_that_stay", scene).await else {
        return;
    };
    visit.badge("Done").await;
    visit.scene.sql(differs).await.unwrap();
    visit.badge("Errors detected").await;
    let diagnosis = visit.says("diagnosis").await;
    for part in ["Pipeline", "leads: 8 rows differ", "Call crm-sync with"] {
        assert!(diagnosis.contains(part), "{part}: {diagnosis}");
    }
    visit.portrait("differences").await;
    let same = differs.replace("'differs'", "'same'");
    visit.scene.sql(&same).await.unwrap();
    visit.badge("Done").await;

    let failed = "insert into public.sync_validation_log (created_at, entity, verdict, detail)
                  values (clock_timestamp(), 'leads', 'error', '{\"problem\": \"Odoo''s list lacks 400 of 412 rows\"}')";
    visit.scene.sql(failed).await.unwrap();
    visit.badge("Errors detected").await;
    let diagnosis = visit.says("diagnosis").await;
    for part in ["lacks 400 of 412 rows", "lost rights"] {
        assert!(diagnosis.contains(part), "{part}: {diagnosis}");
    }
}

#[tokio::test]
async fn without_a_server_old_data_is_said_to_be_old() {
    let Some(mut visit) = Visit::while_files_move("without_a_server").await else {
        return;
    };
    visit.scene.stage.stop_app().await;
    visit.badge("Offline").await;
    assert!(
        visit
            .says("liveness")
            .await
            .starts_with("Offline, last data"),
        "{}",
        visit.says("liveness").await
    );
    assert_eq!(
        visit.says("percent").await,
        "4.0%",
        "the last data stays in sight"
    );
    assert_eq!(visit.browser.text(BEATS).await.unwrap(), "false");
    assert_eq!(visit.browser.text(TURNS).await.unwrap(), "false");
    assert_eq!(
        visit.browser.text("$('actions').hidden").await.unwrap(),
        "true"
    );
    visit.portrait("offline").await;
}

#[tokio::test]
async fn a_real_batch_is_followed_to_its_end() {
    use world::odoo::{self, Attachments};
    let odoo = odoo::Options {
        attachments: Attachments::of(60),
        ..odoo::Options::default()
    };
    let scene = Scene::scheduled(stage().odoo(odoo)).await.unwrap();
    for sync in ["crm-sync", "chatter-sync"] {
        scene.ran(sync, "success", 240, None).await.unwrap();
    }
    let Some(visit) = Visit::to("a_real_batch", scene).await else {
        return;
    };
    visit.badge("Running").await;
    assert_eq!(visit.says("liveness").await, "No tick yet");
    let run = visit.scene.supabase.tick(ARCHIVE_JOB).await.unwrap();
    assert_eq!(run.status, "succeeded", "{}", run.return_message);
    visit
        .browser
        .until("(await card.refresh(), $('state').textContent === 'Done')")
        .await
        .unwrap();
    assert_eq!(visit.says("migrated").await, "60 / 60 migrated");
    assert!(visit.says("liveness").await.starts_with("Live · last tick"));
}
