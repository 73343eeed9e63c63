//! The page at `/certificate`: what a person reads on the last day, and prints.

use acceptance::card::Scene;
use stage::SERVICE_KEY;

use crate::{Visit, stage};

/// A check that found a dead file and three hidden leads, in words that are no words of ours.
const FOUND: &str = r#"
    with checked as (
      insert into odoo_sync.final_checks (asked_by, jobs, asked_at, parts_done_at, ended_at)
      values ('anna@example.com', array['archive-batch', 'crm-sync', 'chatter-sync'], now() - interval '9 minutes', now(), now())
      returning id
    ), parts as (
      insert into odoo_sync.final_check_parts (check_id, entity, job, done_at, evidence)
      select c.id, p.entity, p.job, now(), p.evidence::jsonb from checked c, (values
        ('attachments', 'archive-batch', '{"model": "ir.attachment", "source_count": 18323, "destination_count": 18322, "source_bytes": 7340032000, "destination_bytes": 7339000000, "compared": "SHA-1 and size of each file; size and etag of each object"}'),
        ('leads', 'crm-sync', '{"model": "crm.lead", "source_count": 1939, "destination_count": 1939, "compared": "contents"}')) p (entity, job, evidence)
    )
    insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
    select c.id, f.entity, f.kind, f.id, f.said from checked c, (values
      ('attachments', 'dead', 4521, '<img src=x onerror="window.hacked = 1">.pdf: larger than the bucket allows'),
      ('leads', 'hidden', 5, 'crm.lead 5 exists, and the Odoo user may not read it'),
      ('leads', 'hidden', 41, 'crm.lead 41 exists, and the Odoo user may not read it')) f (entity, kind, id, said)"#;

const JUDGE: &str =
    "do $$ begin perform odoo_sync.judge_check(max(id)) from odoo_sync.final_checks; end $$";

impl Visit {
    /// Looks at the certificate anew; what the page says of the verdict.
    async fn verdict(&self) -> String {
        let url = format!("{}/certificate", self.scene.stage.url());
        self.browser.go(&url).await.unwrap();
        let signs_in = format!(
            "const form = document.querySelector('#sign-in'); if (!form.hidden) {{ document.querySelector('#token').value = '{SERVICE_KEY}'; form.querySelector('button').click() }}"
        );
        let drawn = "document.querySelector('.verdict')";
        self.browser
            .until(&format!(
                "{drawn} || !document.querySelector('#sign-in').hidden"
            ))
            .await
            .unwrap();
        self.browser.run(&signs_in).await.unwrap();
        self.browser.until(drawn).await.unwrap();
        self.words(".verdict").await
    }

    async fn words(&self, of: &str) -> String {
        let text = format!("document.querySelector('{of}').textContent");
        self.browser.text(&text).await.unwrap()
    }
}

#[tokio::test]
async fn the_certificate_is_read_and_printed_by_people() {
    let scene = Scene::scheduled(stage()).await.unwrap();
    let url = format!("{}/certificate", scene.stage.url());
    let Some(visit) = Visit::at("the_certificate_is_read", scene, &url).await else {
        return;
    };
    assert!(visit.verdict().await.starts_with("Not checked. "));
    visit.portrait("certificate-none").await;

    visit.scene.sql(FOUND).await.unwrap();
    visit.scene.sql(JUDGE).await.unwrap();
    assert_eq!(
        visit.verdict().await,
        "Not ready. Odoo must not be switched off yet."
    );
    let page = visit.words("#certificate").await;
    for words in [
        "anna@example.com",
        "4521: <img src=x",
        "5: crm.lead 5 exists",
        "41: crm.lead 41 exists",
        "1,939",
        "give the user the company or the group",
        "What is left out",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let hacked = visit.browser.text("String(window.hacked)").await.unwrap();
    assert_eq!(hacked, "undefined", "a text ran");
    visit.portrait("certificate-not-ready").await;

    let accepted = "do $$ begin
        perform odoo_sync.acknowledge('attachments', 'dead', array[4521], 'a scan that nobody can open');
        perform odoo_sync.acknowledge('leads', 'hidden'); end $$";
    visit.scene.sql(accepted).await.unwrap();
    assert!(visit.verdict().await.starts_with("Ready. "));
    let page = visit.words("#certificate").await;
    assert!(
        page.contains("What was accepted") && page.contains("a scan that nobody can open"),
        "{page}"
    );
    assert!(!page.contains("What stands in the way"), "{page}");
    visit.portrait("certificate-ready").await;

    let stale = "update odoo_sync.final_checks set stale_at = now(), stale_why = 'crm-sync found 2 changes'";
    visit.scene.sql(stale).await.unwrap();
    assert!(visit.verdict().await.starts_with("Out of date. "));
    assert!(
        visit
            .words("#certificate")
            .await
            .contains("crm-sync found 2 changes")
    );
    let console = visit.browser.console().await.unwrap();
    let asked_without_a_token = |line: &String| line.contains("401 (Unauthorized)");
    assert!(console.iter().all(asked_without_a_token), "{console:?}");
}
