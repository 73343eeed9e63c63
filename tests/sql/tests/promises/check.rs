//! What `odoo_sync.check()` finds by itself. What the components find is asked of them, in `tests/acceptance`.

use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::project::{Project, query};

/// The state of a line, what was found and the remedy.
async fn line(project: &Project, name: &str) -> String {
    let lines = project
        .sql(&format!(
            "select concat_ws(' | ', c.state, c.found, c.remedy) from odoo_sync.check() c where c.name = '{name}'"
        ))
        .await;
    lines.join("\n")
}

#[tokio::test]
async fn whether_the_components_are_reached_is_told_by_the_answer_to_a_real_call() {
    let forbidden = r#"{"error": "Forbidden: this key is for other things; select …"}"#;
    for (status, body, told) in [
        (403, forbidden, "ok | pg_net reaches the components at "),
        (
            403,
            "<html>",
            "failed | Something else than the components answers at ",
        ),
        (
            200,
            "{}",
            "failed | Something else than the components answers at ",
        ),
        (401, r#"{"error": "Unauthorized"}"#, "failed | The call of "),
        (404, "", "failed | There is no function at "),
        (405, "", "most likely a redirect"),
        (502, "<html>", "are they running?"),
    ] {
        let endpoint = Endpoint::with(status, body).await;
        let project = Project::calling(&endpoint.url()).await;
        let began = Instant::now();
        let mut said = line(&project, "address").await;
        while said.starts_with("not_tried") {
            assert!(began.elapsed() < Duration::from_secs(30), "{said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            said = line(&project, "address").await;
        }
        assert!(said.contains(told), "{status} {body}: {said}");
        assert_eq!(
            project.sql("select count(*) from odoo_sync.calls").await,
            ["0"]
        );
    }
    let nobody = Project::calling("http://127.0.0.1:1").await;
    line(&nobody, "address").await;
    nobody.supabase.stop_net_worker().await.unwrap();
    let superuser = nobody.database.connect_as_superuser().await.unwrap();
    let lost = "delete from net.http_request_queue; delete from net._http_response; update odoo_sync.checks set knocked_at = now() - interval '50 seconds'";
    superuser.batch_execute(lost).await.unwrap();
    let said = line(&nobody, "address").await;
    assert!(said.starts_with("not_tried"), "it may still come: {said}");
}

#[tokio::test]
async fn a_key_that_may_do_more_knocks_where_nothing_is_asked_of_it() {
    let endpoint = Endpoint::with(200, r#"{"status": "ok"}"#).await;
    let project = Project::calling(&endpoint.url()).await;
    project
        .sql("update odoo_sync.accepted_keys set scope = 'admin'")
        .await;
    line(&project, "address").await;
    let by = project.sql("select knocked_by from odoo_sync.checks").await;
    assert_eq!(by, ["/healthz"]);
    let said = line(&project, "key of the jobs").await;
    assert!(
        said.starts_with("warning") && said.contains("odoo_sync.rotate_key()"),
        "{said}"
    );
}

#[tokio::test]
async fn on_the_first_day_each_line_says_what_to_do_and_only_admins_may_ask() {
    let project = Project::new().await;
    let states = project
        .sql("select concat_ws(': ', c.name, c.state) from odoo_sync.check() c")
        .await;
    assert_eq!(
        states,
        [
            "components: not_tried",
            "pg_cron: ok",
            "pg_net: ok",
            "key of the jobs: failed",
            "jobs: failed",
            "address: failed",
            "admins: warning"
        ]
    );
    let without = project
        .sql("select c.name from odoo_sync.check() c where c.state <> 'ok' and c.remedy is null")
        .await;
    assert_eq!(without, Vec::<String>::new());
    project.user(true).await;
    assert!(line(&project, "admins").await.starts_with("ok"));
    let user = project.user(false).await;
    let refused = query(&user, "select name from odoo_sync.check()").await;
    assert!(
        refused
            .expect_err("a user")
            .contains("only an admin may do this")
    );
    let admin = project.user(true).await;
    let shown = query(&admin, "select name from odoo_sync.check()").await;
    assert_eq!(shown.unwrap().len(), 7);
    for inner in ["odoo_sync.knock()", "odoo_sync.check_lines()"] {
        let refused = query(&admin, &format!("select {inner}")).await;
        assert!(refused.expect_err(inner).contains("permission denied"));
    }
}
