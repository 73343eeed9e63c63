//! How it behaves towards its reader, its server, and whoever has no right to see it.

use acceptance::card::Scene;
use stage::SERVICE_KEY;

use crate::{Visit, axe, stage};

#[tokio::test]
async fn without_a_token_it_asks_for_one_and_shows_nothing() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(751, 17_572).await.unwrap();
    let url = scene.stage.url();
    let Some(visit) = Visit::at("without_a_token", scene, &url).await else {
        return;
    };
    visit
        .browser
        .until("$('state').textContent === 'No access'")
        .await
        .unwrap();
    assert_eq!(visit.says("migrated").await, "–");
    assert_eq!(
        visit
            .browser
            .text("document.querySelector('#sign-in').hidden")
            .await
            .unwrap(),
        "false"
    );
    visit.portrait("no-access").await;
    visit
        .browser
        .run(&format!("document.querySelector('#token').value = '{SERVICE_KEY}'; document.querySelector('#sign-in button').click()"))
        .await
        .unwrap();
    visit
        .browser
        .until("$('migrated').textContent === '751 / 18,323 migrated'")
        .await
        .unwrap();
    assert_eq!(
        visit
            .browser
            .text("document.querySelector('#sign-in').hidden")
            .await
            .unwrap(),
        "true"
    );
}

#[tokio::test]
async fn before_it_is_set_up_it_says_which_settings_are_missing() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    let unset = [("db_host", "database.invalid"), ("db_password", "")];
    let (replica, _caller) = scene.stage.replica(&unset).await.unwrap();
    for fragment in ["", "#token=ots_of-at-least-thirty-two-characters"] {
        let url = format!("http://{}/{fragment}", replica.address());
        let scene = Scene::scheduled(stage()).await.unwrap();
        let Some(visit) = Visit::at("before_it_is_set_up", scene, &url).await else {
            return;
        };
        visit
            .browser
            .until("$('state').textContent === 'Not set up'")
            .await
            .unwrap();
        assert_eq!(
            visit.says("liveness").await,
            "Not set up yet: set db_host and db_password"
        );
        let way = "!$('how').hidden && await (await fetch($('how').href)).text()";
        let way = visit.browser.text(&format!("String({way})")).await.unwrap();
        assert!(way.starts_with("# From zero to production"), "{way}");
        visit.portrait("not-set-up").await;
    }
}

#[tokio::test]
async fn where_the_status_is_open_anyone_sees_figures_but_no_names_and_no_buttons() {
    let scene = Scene::scheduled(stage().variable("status_public", true))
        .await
        .unwrap();
    scene.files(751, 17_572).await.unwrap();
    scene
        .failures(
            40_000,
            3,
            "dead",
            "mime_refused",
            "configuration",
            "mime type image/jpeg is not supported",
            "salary.pdf",
        )
        .await
        .unwrap();
    let url = scene.stage.url();
    let Some(visit) = Visit::at("where_the_status_is_open", scene, &url).await else {
        return;
    };
    visit.badge("Errors detected").await;
    assert_eq!(
        visit.browser.text("$('actions').hidden").await.unwrap(),
        "true"
    );
    assert!(!visit.says("groups").await.contains("salary"));
}

#[tokio::test]
async fn where_the_status_is_open_an_admin_may_still_sign_in() {
    let scene = Scene::scheduled(stage().variable("status_public", true))
        .await
        .unwrap();
    scene.files(751, 17_572).await.unwrap();
    scene.batches(5, 92).await.unwrap();
    let url = scene.stage.url();
    let Some(visit) = Visit::at("an_admin_may_still_sign_in", scene, &url).await else {
        return;
    };
    let hidden = |id: &'static str| format!("document.querySelector('#{id}').hidden");
    visit.badge("Running").await;
    visit
        .browser
        .until(&format!("!{}", hidden("way-in")))
        .await
        .unwrap();
    assert_eq!(
        visit.browser.text(&hidden("sign-in")).await.unwrap(),
        "true"
    );
    visit.portrait("open").await;
    visit
        .browser
        .run("document.querySelector('#way-in').click()")
        .await
        .unwrap();
    assert_eq!(
        visit
            .browser
            .text("document.activeElement.id")
            .await
            .unwrap(),
        "token"
    );

    let enter = |token: &str| {
        format!(
            "document.querySelector('#token').value = '{token}'; document.querySelector('#sign-in button').click()"
        )
    };
    visit.browser.run(&enter("nonsense")).await.unwrap();
    visit
        .browser
        .until("document.querySelector('#refused').textContent.includes('does not let in')")
        .await
        .unwrap();
    assert_eq!(
        visit.browser.text(&hidden("sign-in")).await.unwrap(),
        "false"
    );
    visit.portrait("open-refused").await;

    visit.browser.run(&enter(SERVICE_KEY)).await.unwrap();
    visit.browser.until("!$('actions').hidden").await.unwrap();
    for id in ["sign-in", "way-in"] {
        assert_eq!(
            visit.browser.text(&hidden(id)).await.unwrap(),
            "true",
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_reader_who_wants_no_motion_gets_none_and_a_hidden_page_asks_nothing() {
    let Some(visit) = Visit::while_files_move("a_reader_who_wants_no_motion").await else {
        return;
    };
    visit.browser.reduce_motion().await.unwrap();
    assert_eq!(
        visit
            .browser
            .text("root.getAnimations().length")
            .await
            .unwrap(),
        "0"
    );

    // Every question is counted; then the page is hidden, as a tab in the background is. What is looked
    // at lies within one script: the driver may be slower than the page, which asks on.
    let looked = visit
        .browser
        .run("window.asked = 0; const send = window.fetch;
              window.fetch = (...all) => { window.asked += 1; return send(...all); };
              let hidden = false;
              Object.defineProperty(document, 'hidden', { get: () => hidden });
              window.hide = (on) => { hidden = on; document.dispatchEvent(new Event('visibilitychange')); };
              const wait = window.setTimeout; window.waits = [];
              window.setTimeout = (what, ms, ...rest) => { window.waits.push(ms); return wait(what, ms, ...rest); };
              await card.refresh(); hide(true);
              window.asked = 0; window.waits.length = 0; hide(false);
              while (window.waits.length === 0) await new Promise((done) => wait(done, 10));
              return `${window.asked} then ${window.waits}`")
        .await
        .unwrap();
    assert_eq!(looked, "1 then 5000", "while files move");
    visit
        .browser
        .run("hide(true); window.waits.length = 0; await card.refresh()")
        .await
        .unwrap();
    assert_eq!(
        visit.browser.text("window.waits.length").await.unwrap(),
        "0",
        "nobody looks: nothing is planned"
    );

    visit
        .scene
        .sql("update public.odoo_attachments set state = 'moved' where state = 'pending'")
        .await
        .unwrap();
    visit.browser.run("hide(false)").await.unwrap();
    visit
        .browser
        .until("window.waits.length === 1")
        .await
        .unwrap();
    assert_eq!(
        visit.browser.text("window.waits").await.unwrap(),
        "30000",
        "while nothing moves"
    );

    // Each failure makes it wait longer.
    visit.browser.run("window.fetch = () => Promise.reject(new TypeError('no network')); window.waits.length = 0;
                       for (let n = 0; n < 7; n += 1) await card.refresh()").await.unwrap();
    let waits = visit.browser.text("window.waits").await.unwrap();
    let waits: Vec<f64> = waits.split(',').map(|ms| ms.parse().unwrap()).collect();
    assert!(
        waits[0] >= 5_000.0 && waits[1] >= 10_000.0 && waits[2] >= 20_000.0,
        "{waits:?}"
    );
    assert!(waits.iter().all(|ms| *ms <= 150_000.0), "{waits:?}");
}

#[tokio::test]
async fn a_change_moves_nothing_about_and_every_ten_percent_is_spoken() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    scene.files(1_000, 9_000).await.unwrap();
    scene.batches(5, 92).await.unwrap();
    let Some(visit) = Visit::to("a_change_moves_nothing", scene).await else {
        return;
    };
    visit.badge("Running").await;
    assert_eq!(
        visit.says("spoken").await,
        "",
        "the first look is no change"
    );
    visit
        .browser
        .run("window.shift = 0; new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) {
                  window.shift += entry.value;
                  window.shifted = [window.shifted, ...entry.sources.map((s) => `${entry.value} ${s.node?.nodeName}.${s.node?.className ?? s.node?.textContent}#${s.node?.id} ${s.previousRect.top}-${s.currentRect.top} ${s.previousRect.left}-${s.currentRect.left}`)].join('; ');
                }
              }).observe({ type: 'layout-shift', buffered: true })")
        .await
        .unwrap();
    visit
        .scene
        .sql("update public.odoo_attachments set state = 'moved' where id <= 3456")
        .await
        .unwrap();
    visit.browser.run("await card.refresh()").await.unwrap();
    visit
        .browser
        .until("$('migrated').textContent === '3,456 / 10,000 migrated'")
        .await
        .unwrap();
    assert_eq!(visit.says("spoken").await, "30% migrated");
    visit
        .scene
        .sql("update public.odoo_attachments set state = 'moved' where id <= 3500")
        .await
        .unwrap();
    visit
        .browser
        .run("$('spoken').textContent = ''; await card.refresh()")
        .await
        .unwrap();
    assert_eq!(visit.says("spoken").await, "", "not at every look");
    let shift: f64 = visit
        .browser
        .text("window.shift")
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        shift < 0.01,
        "{shift}: {}",
        visit.browser.text("window.shifted").await.unwrap()
    );
    if axe().is_ok() {
        assert_eq!(
            visit
                .browser
                .text("root.querySelectorAll('[aria-live=polite]').length")
                .await
                .unwrap(),
            "1"
        );
    }
}

#[tokio::test]
async fn a_wrong_clock_of_the_reader_makes_no_wrong_time() {
    let Some(visit) = Visit::while_files_move("a_wrong_clock").await else {
        return;
    };
    visit
        .browser
        .run("const real = Date.now; Date.now = () => real() - 86400000 * 3")
        .await
        .unwrap();
    visit.badge("Running").await;
    let liveness = visit.says("liveness").await;
    // Seconds, or minutes where the machine is slow; days would be the reader's clock.
    assert!(
        ["s ago", "m ago", "just now"]
            .iter()
            .any(|end| liveness.ends_with(end)),
        "{liveness}"
    );
    let negative = visit
        .browser
        .text("/-\\d/.test(root.querySelector('.card').innerText)")
        .await
        .unwrap();
    assert_eq!(negative, "false");
}

#[tokio::test]
async fn a_browser_ends_with_its_visit() {
    let Some(chromium) = acceptance::card::Chromium::start().await.unwrap() else {
        return;
    };
    let browser = chromium.open().await.unwrap();
    let process = format!("/proc/{}", browser.process());
    drop(browser);
    let started = std::time::Instant::now();
    // A zombie, which its driver has yet to bury, runs no more.
    while std::fs::read_to_string(format!("{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(
            started.elapsed().as_secs() < 120,
            "{process} is still there"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
