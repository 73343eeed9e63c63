//! Who may start a run: a browser with supabase-js for an admin, and nobody else.

use anyhow::Result;
use http::Method;
use serde_json::json;
use stage::{Answer, JWT_SECRET, Stage, token_of};

use crate::scene::*;

const ORIGIN: &str = "https://dashboard.example.com";
/// What `functions.invoke` calls, with its client pointed at this app.
const FUNCTION: &str = "/functions/v1/odoo-crm-sync";

async fn dashboard() -> Result<Stage> {
    set(18, 5, |builder| {
        builder
            .variable("allowed_origins", ORIGIN)
            .variable("jwt_secret", JWT_SECRET)
    })
    .await
}

/// The token of a new user.
async fn token(stage: &Stage, admin: bool) -> Result<String> {
    let user = stage
        .owner
        .query_one(
            "insert into auth.users default values returning id::text",
            &[],
        )
        .await?;
    let user: String = user.try_get(0)?;
    if admin {
        let grant =
            format!("insert into public.user_roles (user_id, role) values ('{user}', 'admin')");
        stage.owner.batch_execute(&grant).await?;
    }
    token_of(&user)
}

/// As the functions client of supabase-js calls from a page.
async fn invoke(stage: &Stage, token: &str) -> Result<Answer> {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("origin", ORIGIN),
        ("authorization", authorization.as_str()),
        ("apikey", "sb_publishable_0123456789"),
        ("x-client-info", "supabase-js-web/2.58.0"),
        ("content-type", "application/json"),
    ];
    stage
        .caller()
        .send(
            Method::POST,
            FUNCTION,
            &headers,
            r#"{"mode":"incremental"}"#,
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_syncs_from_the_dashboard_with_supabase_js() -> Result<()> {
    let stage = dashboard().await?;
    let asked = [
        ("origin", ORIGIN),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "apikey,authorization,content-type,x-client-info",
        ),
    ];
    let preflight = stage
        .caller()
        .send(Method::OPTIONS, FUNCTION, &asked, "")
        .await?;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), ORIGIN);
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("POST")
    );
    let allowed = preflight
        .header("access-control-allow-headers")
        .to_lowercase();
    for header in ["authorization", "apikey", "x-client-info", "content-type"] {
        assert!(allowed.contains(header), "{header}: {allowed}");
    }
    let answer = invoke(&stage, &token(&stage, true).await?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["status"], "success");
    assert_same(&stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_get_a_403_that_their_page_can_read_and_start_nothing() -> Result<()> {
    let stage = dashboard().await?;
    let answer = invoke(&stage, &token(&stage, false).await?).await?;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert_eq!(stage.count("select count(*) from odoo_sync.runs").await?, 0);
    let answer = invoke(&stage, "sb_publishable_0123456789").await?;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (401, json!({"error": "Unauthorized"}))
    );
    // How many files remain is not this job's to say.
    let logged =
        "select jsonb_agg(jsonb_build_array(job, status, remaining)) from public.migration_logs";
    assert_eq!(
        stage.value(logged).await?,
        json!([["crm-sync", "auth_error", null]])
    );
    assert_eq!(stage.odoo.counters().total().calls, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_told_nothing() -> Result<()> {
    let stage = dashboard().await?;
    let asked = [
        ("origin", "https://elsewhere.example.com"),
        ("access-control-request-method", "POST"),
    ];
    for function in [
        FUNCTION,
        "/functions/v1/archive-odoo-files",
        "/functions/v1/odoo-chatter-sync",
    ] {
        let foreign = stage
            .caller()
            .send(Method::OPTIONS, function, &asked, "")
            .await?;
        assert_eq!(
            foreign.header("access-control-allow-origin"),
            "",
            "{function}"
        );
        let own = [
            ("origin", ORIGIN),
            ("access-control-request-method", "POST"),
        ];
        let preflight = stage
            .caller()
            .send(Method::OPTIONS, function, &own, "")
            .await?;
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            ORIGIN,
            "{function}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_read_by_admins_and_by_nobody_else() -> Result<()> {
    let stage = pipeline(18, 5).await?;
    sync(&stage).await?;
    let claims = |user: &str| json!({"sub": user, "role": "authenticated"});
    let (admin, other) = (
        "11111111-2222-4333-8444-555555555555",
        "11111111-2222-4333-8444-666666666666",
    );
    stage
        .owner
        .batch_execute(&format!(
            "insert into auth.users (id) values ('{admin}'), ('{other}');
             insert into public.user_roles (user_id, role) values ('{admin}', 'admin')"
        ))
        .await?;
    for (user, sees) in [(admin, 5_i64), (other, 0)] {
        let client = stage
            .database
            .connect_as("authenticated", Some(&claims(user)))
            .await?;
        for table in ["odoo_leads", "odoo_pipeline"] {
            let row = client
                .query_one(&format!("select count(*) from public.{table}"), &[])
                .await?;
            assert_eq!(row.try_get::<_, i64>(0)?, sees, "{table}");
        }
    }
    let anonymous = stage.database.connect_as("anon", None).await?;
    for table in [
        "odoo_leads",
        "odoo_pipeline",
        "odoo_pipeline_stages",
        "odoo_partners",
    ] {
        assert!(
            anonymous
                .query_one(&format!("select count(*) from public.{table}"), &[])
                .await
                .is_err(),
            "{table}"
        );
    }
    Ok(())
}
