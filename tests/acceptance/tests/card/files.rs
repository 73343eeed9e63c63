//! The list at `/files` of what waits for a person, the way to it, and what else the card tells beside errors.

use acceptance::card::Scene;
use serde_json::Value;
use stage::SERVICE_KEY;

use crate::{Visit, stage};

const HOSTILE: &str = "<img src=x onerror=\"window.hacked = 1\">.pdf";

/// Three dead files of one kind, more than a page of another, and two that wait for a password.
async fn with_files_that_wait() -> Scene {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_000, 0).await.unwrap();
    scene.batches(3, 92).await.unwrap();
    let said = "mime type image/jpeg is not supported";
    for (first, number, kind, name) in [
        (40_000, 3, "mime_refused", HOSTILE),
        (50_000, 120, "too_large", "=SUM(A1).mov"),
    ] {
        scene
            .failures(first, number, "dead", kind, "configuration", said, name)
            .await
            .unwrap();
    }
    let more = "insert into public.odoo_attachments (id, name, file_size, checksum, state, reason, res_model, res_id)
        select n, 'plan.dwg', 90000000, md5(n::text), 'skipped', 'needs_password', 'crm.lead', 7 from generate_series(60000, 60001) n;
        insert into odoo_sync.final_checks (asked_by, jobs, state, ended_at) values ('anna@example.com', array['archive-batch'], 'not_ready', now());
        insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
        select max(id), 'attachments', 'dead', 40001, 'it is dead' from odoo_sync.final_checks";
    scene.sql(more).await.unwrap();
    scene
}

impl Visit {
    async fn page(&self, of: &str) -> String {
        let text = format!("document.querySelector('{of}').textContent");
        self.browser.text(&text).await.unwrap()
    }

    async fn rows(&self, number: usize) {
        let drawn = format!("document.querySelectorAll('#files tbody tr').length === {number}");
        self.browser.until(&drawn).await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_a_person_is_one_click_from_its_list_and_is_dealt_with_there() {
    let scene = with_files_that_wait().await;
    let Some(visit) = Visit::to("what_waits_for_a_person", scene).await else {
        return;
    };
    visit.badge("Errors detected").await;
    assert_eq!(
        visit.says("remaining").await,
        "0 remaining, 123 dead, 2 waiting"
    );
    visit.portrait("files-wait").await;
    visit.browser.run("$('for-people').click()").await.unwrap();
    visit
        .browser
        .until("location.pathname === '/files'")
        .await
        .unwrap();
    visit.rows(100).await;
    for words in [
        HOSTILE,
        "mime_refused; mime type image/jpeg is not supported",
        "Allow the MIME type on the bucket, then retry dead files.",
    ] {
        let page = visit.page("#files").await;
        assert!(page.contains(words), "{words}: {page}");
    }
    let hacked = visit.browser.text("String(window.hacked)").await.unwrap();
    assert_eq!(hacked, "undefined", "a text ran");
    assert_eq!(
        visit.page("#kind").await,
        "All (125)too_large (120)mime_refused (3)needs_password (2)"
    );
    visit
        .browser
        .run("document.querySelector('#next').click()")
        .await
        .unwrap();
    visit.rows(25).await;
    let choose = "const kind = document.querySelector('#kind'); kind.value = 'needs_password'; kind.dispatchEvent(new Event('change'))";
    visit.browser.run(choose).await.unwrap();
    visit.rows(2).await;
    let page = visit.page("#files").await;
    for words in [
        "60000: plan.dwg",
        "crm.lead 7",
        "90.0 MB",
        "Set odoo_password",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Retry"), "it is taken up by itself: {page}");

    let choose = choose.replace("needs_password", "mime_refused");
    visit.browser.run(&choose).await.unwrap();
    visit.rows(3).await;
    visit.portrait("files").await;
    // One is accepted: the newest final check found it.
    let accept = "window.prompt = () => 'a scan'; document.querySelector('[aria-label=\"Accept that file 40001 is left behind\"]').click()";
    visit.browser.run(accept).await.unwrap();
    let accepted = "document.querySelector('#outcome').textContent.startsWith('1 acknowledged')";
    visit.browser.until(accepted).await.unwrap();
    let by = "document.querySelector('#files').textContent.includes('accepted by a service key')";
    visit.browser.until(by).await.unwrap();
    // Another is not: nothing has found it yet.
    let accept = accept.replace("40001", "40002");
    visit.browser.run(&accept).await.unwrap();
    let refused =
        "document.querySelector('#outcome').textContent.includes('the newest check found nothing')";
    visit.browser.until(refused).await.unwrap();
    let retry = "document.querySelector('[aria-label=\"Retry file 40000\"]').click()";
    visit.browser.run(retry).await.unwrap();
    visit.rows(2).await;
    let queued =
        "select count(*) from public.odoo_attachments where state = 'pending' and id = 40000";
    assert_eq!(visit.scene.stage.count(queued).await.unwrap(), 1);
    let console = visit.browser.console().await.unwrap();
    let is_expected = |line: &String| line.contains("409 (Conflict)");
    assert!(console.iter().all(is_expected), "{console:?}");
}

#[tokio::test]
async fn the_whole_list_is_saved_and_no_name_is_a_formula() {
    let scene = with_files_that_wait().await;
    let url = format!("{}/files", scene.stage.url());
    let Some(visit) = Visit::at("the_whole_list_is_saved", scene, &url).await else {
        return;
    };
    visit
        .browser
        .until("!document.querySelector('#sign-in').hidden")
        .await
        .unwrap();
    let sign_in = format!(
        "document.querySelector('#token').value = '{SERVICE_KEY}'; document.querySelector('#sign-in button').click()"
    );
    visit.browser.run(&sign_in).await.unwrap();
    visit.rows(100).await;
    let caught = "const made = URL.createObjectURL; URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return made.call(URL, blob); };
        document.querySelector('#csv').click()";
    visit.browser.run(caught).await.unwrap();
    visit.browser.until("window.saved").await.unwrap();
    let saved = visit.browser.text("window.saved").await.unwrap();
    let lines: Vec<_> = saved.trim_end().split("\r\n").collect();
    assert_eq!(lines.len(), 126, "{saved}");
    assert!(
        lines[0].ends_with(
            "id,name,model,record,bytes,state,reason,message,remedy,failed_at,accepted_by"
        ),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with("40000,\"<img src=x onerror=\"\"window.hacked = 1\"\">.pdf\","),
        "{}",
        lines[1]
    );
    assert!(lines[4].starts_with("50000,'=SUM(A1).mov,"), "{}", lines[4]);

    // What breaks off is not saved as if it were the whole; it can be tried again.
    let cut_off = "window.saved = ''; window.fetch = async () => new Response('{}', { status: 503 }); document.querySelector('#csv').click()";
    visit.browser.run(cut_off).await.unwrap();
    visit
        .browser
        .until("document.querySelector('#refused').textContent.includes('503: try again')")
        .await
        .unwrap();
    let left = "[window.saved, document.querySelector('#csv').disabled, document.querySelector('#sign-in').hidden]";
    assert_eq!(visit.browser.text(left).await.unwrap(), ",false,true");
}

#[tokio::test]
async fn the_list_is_for_who_may_look_and_what_it_is_asked_is_told_by_name() {
    let scene = with_files_that_wait().await;
    let stage = &scene.stage;
    let asked = async |query: &str, key: Option<&str>| {
        let answer = stage
            .caller()
            .get(&format!("/status/files{query}"), key)
            .await
            .unwrap();
        (answer.status.as_u16(), answer.json())
    };
    assert_eq!(asked("", None).await.0, 401);
    let reader = stage
        .value("select to_jsonb(odoo_sync.new_key('reader', 'read'))")
        .await
        .unwrap();
    let reader = reader.as_str();
    let (status, page) = asked("?limit=2&after=40001", reader).await;
    assert_eq!(status, 200);
    let ids = |page: &Value| -> Vec<i64> {
        let files = page["files"].as_array().into_iter().flatten();
        files.filter_map(|file| file["id"].as_i64()).collect()
    };
    assert_eq!(
        (ids(&page), &page["next_after"]),
        (vec![40_002, 50_000], &Value::from(50_000))
    );
    let (_, last) = asked("?kind=needs_password&after=60000", reader).await;
    assert_eq!(
        (ids(&last), &last["next_after"]),
        (vec![60_001], &Value::Null)
    );
    let (status, refusal) = asked("?limit=501", reader).await;
    assert_eq!(
        (status, refusal["error"].as_str()),
        (400, Some("limit: a number from 1 to 500"))
    );
    // To read is not to act.
    let act = stage
        .caller()
        .post("/actions/retry", reader.unwrap(), r#"{"ids": [40000]}"#)
        .await
        .unwrap();
    assert_eq!(act.status, 403);
}

#[tokio::test]
async fn what_will_break_and_what_was_compared_are_told_to_admins() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(18_323, 0).await.unwrap();
    scene.batches(10, 92).await.unwrap();
    for sync in ["crm-sync", "chatter-sync"] {
        scene.ran(sync, "success", 240, None).await.unwrap();
    }
    let told = r#"update odoo_sync.checks set lines = '[{"name": "API key of Odoo", "state": "warning", "found": "It ends on 2026-12-10.", "remedy": "Make another."}]';
        insert into public.sync_validation_log (entity, verdict, source_count, destination_count, missing) values ('leads', 'same', 1939, 1939, 0), ('field_changes', 'differs', 412, 404, 8)"#;
    scene.sql(told).await.unwrap();
    let Some(visit) = Visit::to("what_will_break", scene).await else {
        return;
    };
    visit.badge("Done").await;
    assert_eq!(visit.says("errors-title").await, "No errors");
    assert_eq!(visit.says("warnings-count").await, "1");
    let warned = visit.says("warned").await;
    assert!(
        warned.contains("Files: API key of Odoo: It ends on 2026-12-10.Make another."),
        "{warned}"
    );
    let compared = visit.says("compared").await;
    for words in [
        "leads1,939 in Odoo, 1,939 here",
        "field changes412 in Odoo, 404 here",
    ] {
        assert!(compared.contains(words), "{words}: {compared}");
    }
    visit
        .browser
        .run("$('warnings').open = true; $('comparisons').open = true")
        .await
        .unwrap();
    visit.portrait("warnings").await;
    let leads = visit.browser.text("$('certificate').href").await.unwrap();
    assert_eq!(leads, format!("{}/certificate", visit.scene.stage.url()));
}
