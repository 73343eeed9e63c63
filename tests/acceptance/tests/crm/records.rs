//! Any other model, whole.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stage::Stage;
use world::faults::Fault;

use crate::scene::*;

/// The models of the default that a fresh Odoo of the newest versions has.
const MODELS: [&str; 15] = [
    "res.country",
    "res.country.state",
    "res.company",
    "res.currency",
    "utm.source",
    "utm.medium",
    "utm.campaign",
    "crm.recurring.plan",
    "crm.team.member",
    "mail.activity.type",
    "mail.activity",
    "mail.followers",
    "calendar.event",
    "res.partner.category",
    "res.partner.industry",
];

/// A record of a model as JSON; null if there is none.
async fn record(stage: &Stage, model: &str, id: i64) -> Result<Value> {
    let query = format!(
        "select coalesce((select to_jsonb(r) from public.odoo_records r where r.model = '{model}' and r.id = {id}), 'null')"
    );
    stage.value(&query).await
}

async fn model(stage: &Stage, name: &str) -> Result<Value> {
    let query = format!(
        "select coalesce((select to_jsonb(m) from public.odoo_models m where m.model = '{name}'), 'null')"
    );
    stage.value(&query).await
}

/// Something of each model that is not a dictionary.
fn plan(stage: &Stage) {
    let insert = |model: &str, values: Value| stage.odoo.records(model).insert(values);
    insert(
        "mail.activity",
        json!({"id": 1, "summary": "Call back", "res_model": "crm.lead", "res_id": 3, "activity_type_id": 901,
            "note": "<p>Ask for <b>Ada</b></p><script>alert(1)</script>", "date_deadline": "2026-12-24", "user_id": 2}),
    );
    insert(
        "mail.followers",
        json!({"id": 1, "res_model": "crm.lead", "res_id": 3, "partner_id": 3, "subtype_ids": [1, 2]}),
    );
    insert(
        "calendar.event",
        json!({"id": 1, "name": "Visit", "start": "2026-12-01 09:00:00", "stop": "2026-12-01 10:00:00", "duration": 1.0,
            "opportunity_id": 3, "partner_ids": [3], "access_token": "let-me-in"}),
    );
    insert(
        "crm.team.member",
        json!({"id": 1, "crm_team_id": 1, "user_id": 2}),
    );
}

/// An offer with two lines.
fn offer(stage: &Stage) {
    let insert = |model: &str, values: Value| stage.odoo.records(model).insert(values);
    insert(
        "sale.order",
        json!({"id": 7, "name": "S00007", "state": "sale", "partner_id": 3, "opportunity_id": 3, "company_id": 1, "currency_id": 901,
            "date_order": "2026-11-21 20:21:22", "validity_date": "2026-12-24", "amount_total": 1250.5, "tag_ids": [1, 2],
            "note": "<p>Thanks</p>", "signature": "AAAA", "order_line": [1, 2]}),
    );
    for id in [1, 2] {
        insert(
            "sale.order.line",
            json!({"id": id, "order_id": 7, "name": format!("Line {id}"), "price_unit": 10.5, "product_uom_qty": 2.0}),
        );
    }
    let states = json!([["draft", "Quotation"], ["sale", "Sales Order"]]);
    let orders = stage.odoo.records("sale.order");
    orders.describe_field("state", "Status", &states);
    orders.describe_field("validity_date", "Expiration", &json!(null));
    orders.add_field("x_about", "reference", None);
    orders.update(7, &json!({"x_about": "res.country,901"}));
}

async fn every_model_is_here(version: u8) -> Result<()> {
    let stage = pipeline(version, 6).await?;
    plan(&stage);
    stage.odoo.install_sales();
    offer(&stage);
    let report = sync(&stage).await?;
    assert_eq!(report["unfinished"], json!([]), "{report:#}");
    assert_eq!(
        report["entities"]["crm.team.member"]
            .get("absent")
            .is_some(),
        version == 14
    );
    for name in MODELS.into_iter().chain(["sale.order", "sale.order.line"]) {
        if (version, name) == (14, "crm.team.member") {
            assert_eq!(model(&stage, name).await?["reason"], "absent");
            continue;
        }
        assert_eq!(
            model(&stage, name).await?["copied_to"],
            "public.odoo_records",
            "{name}"
        );
        let records = stage.odoo.records(name);
        let here = format!(
            "select count(*) from public.odoo_records r where r.model = '{name}' and r.deleted_at is null"
        );
        assert_eq!(
            stage.count(&here).await?,
            i64::try_from(records.count())?,
            "{name}"
        );
    }
    let activity = record(&stage, "mail.activity", 1).await?;
    assert_eq!(activity["name"], "Call back", "{activity:#}");
    assert_eq!(activity["data"]["date_deadline"], "2026-12-24");
    assert_eq!(activity["data"]["activity_type_id"], 901);
    assert_eq!(activity["html"]["note"]["text"], "Ask for Ada");
    assert!(!activity["html"].to_string().contains("script"));
    // A model without dates.
    let follower = record(&stage, "mail.followers", 1).await?;
    assert_eq!(
        follower["name"], "YourCompany, Mitchell Admin",
        "{follower:#}"
    );
    assert_eq!(follower["data"]["subtype_ids"], json!([1, 2]));
    assert_eq!(
        (&follower["create_date"], &follower["write_date"]),
        (&json!(null), &json!(null))
    );
    // A currency that is not active.
    assert_eq!(
        record(&stage, "res.currency", 902).await?["data"]["active"],
        false
    );
    let order = record(&stage, "sale.order", 7).await?;
    assert_eq!(order["data"]["opportunity_id"], 3, "{order:#}");
    assert_eq!(order["data"]["date_order"], "2026-11-21T20:21:22Z");
    assert!(order["data"].get("signature").is_none());
    let country = "select to_jsonb(n.name) from public.odoo_names n where n.model = 'mail.activity.type' and n.id = 901";
    assert_eq!(stage.value(country).await?, "Call");
    assert_eq!(model(&stage, "mail.activity").await?["label"], "Activity");
    assert_eq!(
        model(&stage, "crm.lead").await?["label"],
        "Lead/Opportunity"
    );
    Ok(())
}

macro_rules! version {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            every_model_is_here($version).await
        }
    };
}

version!(of_odoo_14_every_model_is_copied_whole, 14);
version!(of_odoo_15_every_model_is_copied_whole, 15);
version!(of_odoo_16_every_model_is_copied_whole, 16);
version!(of_odoo_17_every_model_is_copied_whole, 17);
version!(of_odoo_18_every_model_is_copied_whole, 18);
version!(of_odoo_19_every_model_is_copied_whole, 19);

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_of_any_model_arrives_with_the_next_run_and_what_goes_is_marked() -> Result<()>
{
    let stage = pipeline(18, 3).await?;
    plan(&stage);
    sync(&stage).await?;
    let followers = stage.odoo.records("mail.followers");
    followers.insert(json!({"id": 2, "res_model": "crm.lead", "res_id": 1, "partner_id": 3}));
    stage
        .odoo
        .records("mail.activity")
        .update(1, &json!({"summary": "Write"}));
    let report = sync(&stage).await?;
    assert_eq!(changed(&report), [1, 1, 0], "{report:#}");
    assert_eq!(record(&stage, "mail.activity", 1).await?["name"], "Write");
    assert_eq!(
        record(&stage, "mail.followers", 2).await?["data"]["res_id"],
        1
    );
    // Without dates a change is found when contents are compared; done activities are deleted, all of them at times.
    followers.update(1, &json!({"subtype_ids": [1]}));
    followers.delete([2]);
    stage.odoo.records("mail.activity").delete([1]);
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(changed(&report), [0, 1, 2], "{report:#}");
    assert_eq!(
        record(&stage, "mail.followers", 1).await?["data"]["subtype_ids"],
        json!([1])
    );
    for (model, id) in [("mail.followers", 2), ("mail.activity", 1)] {
        assert!(
            record(&stage, model, id).await?["deleted_at"].is_string(),
            "{model}"
        );
    }
    // The same id of another model is another record.
    assert!(record(&stage, "calendar.event", 1).await?["deleted_at"].is_null());
    assert_eq!(
        validation(&stage, "mail.followers").await?["verdict"],
        "same"
    );
    let quiet = sync(&stage).await?;
    assert_eq!(changed(&quiet), [0, 0, 0], "{quiet:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_this_odoo_lacks_is_told_once_and_arrives_when_it_is_installed() -> Result<()>
{
    let stage = pipeline(19, 3).await?;
    let first = sync(&stage).await?;
    assert_eq!(first["entities"]["sale.order"]["absent"], true, "{first:#}");
    let logged = "select count(*) from public.migration_logs l where l.detail #> '{entities,sale.order,absent}' = 'true'";
    assert_eq!(stage.count(logged).await?, 1);
    let second = sync(&stage).await?;
    assert!(second["entities"]["sale.order"].get("absent").is_none());
    assert_eq!(stage.count(logged).await?, 1);
    assert_eq!(model(&stage, "sale.order").await?["reason"], "absent");
    assert_eq!(fresh_as_of(&stage).await?, began(&stage).await?);
    stage.odoo.install_sales();
    offer(&stage);
    sync(&stage).await?;
    assert_eq!(record(&stage, "sale.order", 7).await?["name"], "S00007");
    assert_eq!(model(&stage, "sale.order").await?["reason"], json!(null));
    // What was copied stays.
    stage.odoo.uninstall_sales();
    let report = run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(report["entities"]["sale.order"]["absent"], true);
    assert!(record(&stage, "sale.order", 7).await?["deleted_at"].is_null());
    Ok(())
}

/// How Odoo 14 to 19 answer JSON-RPC with an exception.
fn exception(name: &str, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 200, "message": "Odoo Server Error", "data": {
        "name": name, "message": message, "arguments": [message], "context": {}, "debug": "Traceback"}}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_lacking_in_any_language_and_a_table_that_lacks_a_column_is_no_model_that_is_lacking()
-> Result<()> {
    let stage = pipeline(17, 3).await?;
    offer(&stage);
    let fields = || Fault::on_call("sale.order", "fields_get");
    // Odoo translates what it says for its user.
    let words = exception(
        "odoo.exceptions.UserError",
        "Object sale.order bestaat niet",
    );
    let dutch = stage.odoo.faults().add(fields().answer(
        200,
        &[("content-type", "application/json")],
        &words,
    ));
    let report = sync(&stage).await?;
    assert_eq!(
        (
            &report["status"],
            &report["entities"]["sale.order"]["absent"]
        ),
        (&json!("success"), &json!(true)),
        "{report:#}"
    );
    stage.odoo.faults().remove(dutch);

    // A module whose update was not finished.
    let words = exception(
        "psycopg2.errors.UndefinedColumn",
        "column sale_order.x_new does not exist\nLINE 1: SELECT",
    );
    stage
        .odoo
        .faults()
        .add(fields().answer(200, &[("content-type", "application/json")], &words));
    let report = failing_run(&stage, "{}").await?;
    let said = report["fault"]["message"].as_str().unwrap_or_default();
    assert!(
        said.contains("sale.order") && said.contains("column sale_order.x_new does not exist"),
        "{said}"
    );
    assert!(
        report["entities"]["sale.order"].get("absent").is_none(),
        "{report:#}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_rights_are_taken_away_keeps_what_it_had_and_goes_on_when_they_are_back()
-> Result<()> {
    let stage = pipeline(18, 3).await?;
    plan(&stage);
    sync(&stage).await?;
    let events = stage.odoo.records("calendar.event");
    events.close(true);
    events.update(1, &json!({"name": "Moved"}));
    for mode in ["{}", r#"{"mode": "full"}"#] {
        let report = run(&stage, mode).await?;
        let told = report["entities"]["calendar.event"].get("forbidden");
        assert_eq!(told.is_some(), mode == "{}", "{report:#}");
        assert_eq!(report["deleted"], 0);
    }
    let kept = record(&stage, "calendar.event", 1).await?;
    assert_eq!(
        (&kept["name"], &kept["deleted_at"]),
        (&json!("Visit"), &json!(null))
    );
    assert_eq!(
        model(&stage, "calendar.event").await?["reason"],
        "forbidden"
    );
    events.close(false);
    sync(&stage).await?;
    assert_eq!(record(&stage, "calendar.event", 1).await?["name"], "Moved");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_behind_many_that_the_user_may_not_see_is_found() -> Result<()> {
    let stage = set(18, 3, |builder| builder.user(world::odoo::User::salesman())).await?;
    let activities = stage.odoo.records("mail.activity");
    let secret = |id: i64| json!({"id": id, "summary": "Secret", "res_model": "x", "res_id": 1});
    activities.insert_many((1..=1500).map(secret));
    activities.hide_from_salesmen(1..=1500);
    activities.insert(json!({"id": 1501, "summary": "Call", "res_model": "crm.lead", "res_id": 1}));
    sync(&stage).await?;
    assert_eq!(record(&stage, "mail.activity", 1501).await?["name"], "Call");
    assert!(record(&stage, "mail.activity", 1500).await?.is_null());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn crm_models_is_checked_and_may_be_empty() -> Result<()> {
    for (given, said) in [
        (
            "crm.lead",
            "crm_models names crm.lead, which has a table of its own",
        ),
        (
            "sale.order; drop table x",
            "crm_models must be models of Odoo",
        ),
    ] {
        let stage = set(18, 1, |builder| builder.variable("crm_models", given)).await?;
        let report = failing_run(&stage, "{}").await?;
        assert!(report["errors"].to_string().contains(said), "{report:#}");
    }
    let stage = set(18, 1, |builder| builder.variable("crm_models", "")).await?;
    sync(&stage).await?;
    assert_eq!(
        stage
            .count("select count(*) from public.odoo_records")
            .await?,
        0
    );
    let report = failing_run(&stage, r#"{"entities": ["res.country"]}"#).await?;
    assert!(
        report["errors"]
            .to_string()
            .contains("crm_models does not name res.country"),
        "{report:#}"
    );
    Ok(())
}

/// The rows of a query as this user, or what is said against it.
async fn seen_as(stage: &Stage, admin: bool, query: &str) -> Result<i64> {
    let inserted = "insert into auth.users default values returning id::text";
    let user: String = stage.owner.query_one(inserted, &[]).await?.try_get(0)?;
    if admin {
        let grant =
            format!("insert into public.user_roles (user_id, role) values ('{user}', 'admin')");
        stage.owner.batch_execute(&grant).await?;
    }
    let claims = format!(r#"{{"sub": "{user}", "role": "authenticated"}}"#);
    let asked = format!(
        "begin; set local role authenticated; set local request.jwt.claims = '{claims}'; create temporary table seen on commit preserve rows as {query}; commit"
    );
    stage.owner.batch_execute(&asked).await.context(asked)?;
    let count = stage.count("select count(*) from pg_temp.seen").await?;
    stage.owner.batch_execute("drop table pg_temp.seen").await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_a_model_is_read_like_a_table_by_an_admin_and_by_nobody_else() -> Result<()> {
    let stage = pipeline(18, 3).await?;
    stage.odoo.install_sales();
    offer(&stage);
    sync(&stage).await?;
    let made = "select to_jsonb(odoo_sync.make_view('sale.order'))";
    assert_eq!(stage.value(made).await?, "public.odoo_sale_order");
    let row = stage
        .value("select to_jsonb(o) from public.odoo_sale_order o where o.id = 7")
        .await?;
    for (column, wanted) in [
        ("display_name", json!("S00007")),
        ("amount_total", json!(1250.5)),
        ("validity_date", json!("2026-12-24")),
        ("date_order", json!("2026-11-21T20:21:22+00:00")),
        ("tag_ids", json!([1, 2])),
        ("state", json!("sale")),
        ("state_name", json!("Sales Order")),
        ("currency_id", json!(901)),
        ("currency_id_name", json!("CHF")),
        ("x_about", json!("res.country,901")),
        ("x_about_name", json!("Switzerland")),
    ] {
        assert_eq!(row[column], wanted, "{column} of {row:#}");
    }
    let of_type = "select to_jsonb(array_agg(format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attname))
         from pg_attribute a where a.attrelid = 'public.odoo_sale_order'::regclass and a.attname in ('amount_total', 'date_order', 'opportunity_id', 'tag_ids', 'validity_date')";
    assert_eq!(
        stage.value(of_type).await?,
        json!([
            "amount_total numeric",
            "date_order timestamp with time zone",
            "opportunity_id bigint",
            "tag_ids bigint[]",
            "validity_date date"
        ])
    );
    let label = "select to_jsonb(col_description('public.odoo_sale_order'::regclass, a.attnum)) from pg_attribute a
         where a.attrelid = 'public.odoo_sale_order'::regclass and a.attname = 'validity_date'";
    assert_eq!(stage.value(label).await?, "Expiration");
    let all = "select * from public.odoo_sale_order";
    assert_eq!(seen_as(&stage, true, all).await?, 1);
    assert_eq!(seen_as(&stage, false, all).await?, 0);
    let rights =
        "select to_jsonb(array[has_table_privilege('anon', 'public.odoo_sale_order', 'select'),
        has_function_privilege('authenticated', 'odoo_sync.make_view(text)', 'execute'),
        has_function_privilege('anon', 'odoo_sync.make_view(text)', 'execute')])";
    assert_eq!(stage.value(rights).await?, json!([false, false, false]));
    // A field more, and it is made anew.
    let orders = stage.odoo.records("sale.order");
    orders.add_field("x_rank", "integer", None);
    orders.update(7, &json!({"x_rank": 3}));
    sync(&stage).await?;
    stage.value(made).await?;
    let rank = "select to_jsonb(o.x_rank) from public.odoo_sale_order o";
    assert_eq!(stage.value(rank).await?, 3);
    // What is of another type than before is null until it is read again, and nothing fails.
    stage.owner.batch_execute("update public.odoo_records set data = data || '{\"x_rank\": \"a\", \"validity_date\": 3}' where model = 'sale.order'").await?;
    assert_eq!(stage.value("select to_jsonb(array[o.x_rank::text, o.validity_date::text]) from public.odoo_sale_order o").await?, json!([null, null]));
    for (asked, said) in [
        (
            "crm.lead",
            "crm.lead has a table of its own: public.odoo_leads",
        ),
        ("no.such", "there is no model no.such here"),
    ] {
        let refused = stage
            .value(&format!("select to_jsonb(odoo_sync.make_view('{asked}'))"))
            .await;
        let refused = format!("{:?}", refused.err().context("it was made")?);
        assert!(refused.contains(said), "{refused}");
    }
    stage
        .owner
        .batch_execute("create view public.odoo_res_country as select 1 as one")
        .await?;
    let refused = stage
        .value("select to_jsonb(odoo_sync.make_view('res.country'))")
        .await;
    let refused = format!("{:?}", refused.err().context("it was replaced")?);
    assert!(
        refused.contains("was not made by odoo_sync.make_view()"),
        "{refused}"
    );
    Ok(())
}
