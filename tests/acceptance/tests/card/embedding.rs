//! In pages that are not its own.

use acceptance::card::Scene;
use stage::SERVICE_KEY;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{Visit, stage};

/// An address that is free now. The origin of a page has to be known to the app before it starts.
async fn reserved() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

/// A page of another origin, with headers of its own.
async fn serve(listener: TcpListener, headers: String, html: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{html}",
            html.len()
        );
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn one_script_tag_brings_it_into_a_strict_page_of_a_known_origin() {
    let (listener, origin) = reserved().await;
    let scene = Scene::scheduled(stage().variable("allowed_origins", &origin))
        .await
        .unwrap();
    scene.files(751, 17_572).await.unwrap();
    let app = scene.stage.url();
    let headers = format!(
        "content-security-policy: default-src 'none'; script-src {app}; connect-src {app}; img-src 'self'\r\n"
    );
    let html = format!(
        "<!doctype html><title>Admin</title><script type=module src='{app}/card/card.js'></script><odoo-migration-status></odoo-migration-status>"
    );
    tokio::spawn(serve(listener, headers, html));
    let Some(visit) = Visit::at("one_script_tag", scene, &origin).await else {
        return;
    };
    visit
        .browser
        .until("root && $('state').textContent === 'No access'")
        .await
        .unwrap();
    visit
        .browser
        .run(&format!(
            "card.getToken = async () => '{SERVICE_KEY}'; await card.refresh()"
        ))
        .await
        .unwrap();
    visit
        .browser
        .until("$('migrated').textContent === '751 / 18,323 migrated'")
        .await
        .unwrap();
    // The second look is a 304, across origins too.
    visit.browser.run("window.seen = []; const send = window.fetch; window.fetch = async (...all) => { const a = await send(...all); window.seen.push(a.status); return a; }; await card.refresh(); await card.refresh()").await.unwrap();
    assert!(
        visit
            .browser
            .text("window.seen")
            .await
            .unwrap()
            .ends_with("304")
    );
    assert_eq!(
        visit
            .browser
            .text("getComputedStyle(root.querySelector('.card')).borderRadius")
            .await
            .unwrap(),
        "14px",
        "its style is there"
    );
}

#[tokio::test]
async fn a_page_of_an_unknown_origin_reads_nothing_and_may_not_frame_it() {
    let (listener, origin) = reserved().await;
    let scene = Scene::scheduled(stage()).await.unwrap();
    let app = scene.stage.url();
    let html = format!(
        "<!doctype html><title>Elsewhere</title><script type=module src='{app}/card/card.js'></script>\
         <odoo-migration-status token='{SERVICE_KEY}'></odoo-migration-status><iframe src='{app}/'></iframe>"
    );
    tokio::spawn(serve(listener, String::new(), html));
    let Some(visit) = Visit::at("a_page_of_an_unknown_origin", scene, &origin).await else {
        return;
    };
    visit
        .browser
        .until("root && $('state').textContent === 'Offline'")
        .await
        .unwrap();
    assert_eq!(visit.says("migrated").await, "–");
    let said = visit.browser.console().await.unwrap().join("\n");
    assert!(said.contains("frame-ancestors"), "{said}");
}

/// A page that frames the card, and hands it the service key when it asks.
fn framing(app: &str, fragment: &str) -> String {
    format!(
        "<!doctype html><title>Admin</title><iframe id=f width=500 height=700 src='{app}/{fragment}'></iframe>\
         <script>const frame = document.querySelector('#f'); window.asked = 0;\
         addEventListener('message', ({{ source, origin, data }}) => {{\
           if (source !== frame.contentWindow || origin !== '{app}' || data?.type !== 'odoo-migration-status:ready') return;\
           window.asked += 1;\
           frame.contentWindow.postMessage({{ type: 'odoo-migration-status:token', token: '{SERVICE_KEY}' }}, origin);\
         }});</script>"
    )
}

#[tokio::test]
async fn a_page_that_may_frame_it_hands_it_a_token() {
    let (listener, origin) = reserved().await;
    let stage = stage()
        .variable("frame_ancestors", format!("'self' {origin}"))
        .variable("allowed_origins", &origin);
    let scene = Scene::scheduled(stage).await.unwrap();
    scene.files(751, 17_572).await.unwrap();
    let html = framing(&scene.stage.url(), "");
    tokio::spawn(serve(listener, String::new(), html));
    let Some(visit) = Visit::at("a_page_that_may_frame_it", scene, &origin).await else {
        return;
    };
    visit.browser.enter_frame("f").await.unwrap();
    visit
        .browser
        .until("root && $('migrated').textContent === '751 / 18,323 migrated'")
        .await
        .unwrap();
    assert_eq!(
        visit
            .browser
            .text("document.documentElement.className")
            .await
            .unwrap(),
        "framed"
    );
    let kept = visit.browser.text("sessionStorage.length").await.unwrap();
    assert_eq!(kept, "0", "it is in memory only");
}

/// Whoever may frame the card, or leads somebody to it, would else have him look with a token that is not his.
#[tokio::test]
async fn a_token_is_taken_from_nobody_but_an_admin_and_known_origins() {
    let (listener, origin) = reserved().await;
    // It may be framed there, and that is all.
    let stage = stage().variable("frame_ancestors", format!("'self' {origin}"));
    let scene = Scene::scheduled(stage).await.unwrap();
    let app = scene.stage.url();
    let fragment = format!("#token={SERVICE_KEY}");
    let link = format!("<a id=link href='{app}/{fragment}'>Your migration</a>");
    let html = format!("{}{link}", framing(&app, &fragment));
    tokio::spawn(serve(listener, String::new(), html));
    let Some(visit) = Visit::at("a_token_is_taken_from_nobody", scene, &origin).await else {
        return;
    };
    visit.browser.until("window.asked > 0").await.unwrap();
    visit.browser.enter_frame("f").await.unwrap();
    let refused = "root && $('state').textContent === 'No access' && location.hash === ''";
    visit.browser.until(refused).await.unwrap();
    let refreshed = "await card.refresh(); return $('state').textContent";
    assert_eq!(visit.browser.run(refreshed).await.unwrap(), "No access");
    // A link of another page.
    visit.browser.go(&origin).await.unwrap();
    visit
        .browser
        .run("document.querySelector('#link').click()")
        .await
        .unwrap();
    visit.browser.until(refused).await.unwrap();
    // The same address, opened by a person.
    visit.browser.go("about:blank").await.unwrap();
    let opened = format!("{app}/{fragment}");
    visit.browser.go(&opened).await.unwrap();
    visit
        .browser
        .until("root && $('state').textContent !== 'No access' && location.hash === ''")
        .await
        .unwrap();
}
