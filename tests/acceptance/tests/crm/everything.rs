//! Everything behind an id: all fields, what they are, and all names.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use stage::Stage;
use world::faults::Fault;
use world::odoo::Records;

use crate::scene::*;

const CHATTER: &str = "/chatter-sync";

/// What is copied, and the record that each of its fields is filled of.
const MODELS: [(&str, &str, i64); 26] = [
    ("crm.stage", "odoo_stages", 2),
    ("crm.team", "odoo_teams", 1),
    ("crm.tag", "odoo_tags", 1),
    ("crm.lost.reason", "odoo_lost_reasons", 1),
    ("res.users", "odoo_users", 2),
    ("crm.lead", "odoo_leads", 3),
    ("res.partner", "odoo_partners", 3),
    ("mail.message", "odoo_messages", 5),
    ("mail.tracking.value", "odoo_field_changes", 1),
    ("res.country", "odoo_records", 901),
    ("res.country.state", "odoo_records", 901),
    ("res.company", "odoo_records", 1),
    ("res.currency", "odoo_records", 901),
    ("utm.source", "odoo_records", 9),
    ("utm.medium", "odoo_records", 901),
    ("utm.campaign", "odoo_records", 9),
    ("crm.recurring.plan", "odoo_records", 901),
    ("crm.team.member", "odoo_records", 9),
    ("mail.activity.type", "odoo_records", 901),
    ("mail.activity", "odoo_records", 9),
    ("mail.followers", "odoo_records", 9),
    ("calendar.event", "odoo_records", 9),
    ("res.partner.category", "odoo_records", 9),
    ("res.partner.industry", "odoo_records", 901),
    ("sale.order", "odoo_records", 9),
    ("sale.order.line", "odoo_records", 9),
];

/// What the rest of a record hangs on.
const GIVEN: [&str; 9] = [
    "id",
    "create_date",
    "write_date",
    "active",
    "model",
    "res_id",
    "mail_message_id",
    "partner_id",
    "author_id",
];

/// A value of the type that nothing else has.
fn filling(number: i64, name: &str, type_name: &str) -> Value {
    match type_name {
        "integer" | "many2one_reference" => json!(1000 + number),
        "float" | "monetary" => json!(1000.5 + f64::from(u16::try_from(number).unwrap_or(0))),
        "boolean" => json!(true),
        "date" => json!("2026-11-21"),
        "datetime" => json!("2026-11-21 20:21:22"),
        "many2one" => json!([100 + number, format!("Number {}", 100 + number)]),
        "many2many" => json!([100 + number, 200 + number]),
        "selection" => json!(number.to_string()),
        "html" => json!(format!("<p>{name}</p>")),
        "reference" => json!(format!("utm.source,{}", 100 + number)),
        "properties" | "properties_definition" => {
            json!([{"name": "a1", "string": "Region", "type": "char", "value": format!("{name}")}])
        }
        "json" => json!({ name: number }),
        _ => json!(format!("what {name} says")),
    }
}

/// Fills all stored fields of a record, lists of other records' but.
fn fill(records: &Records, id: i64) {
    let mut values = Map::new();
    for (number, (name, type_name, _)) in (0..).zip(records.stored_fields()) {
        if type_name != "one2many" && !GIVEN.contains(&name.as_str()) {
            let value = filling(number, &name, &type_name);
            values.insert(name, value);
        }
    }
    records.update(id, &Value::Object(values));
}

/// A value as text: whatever the type of the column that it went to.
fn plain(value: &Value) -> String {
    let moment = |text: &str| {
        let utc = text.strip_suffix("+00:00").or(text.strip_suffix('Z'));
        utc.map(|moment| moment.replace('T', " "))
    };
    match value {
        Value::String(text) => moment(text).unwrap_or_else(|| text.clone()),
        Value::Number(number) => format!("{:?}", number.as_f64()),
        other => other.to_string(),
    }
}

/// What Odoo has of a field, in the ways in which it may be kept; `None`: nothing.
fn wanted(value: &Value, type_name: &str) -> Option<Vec<String>> {
    match (type_name, value) {
        (_, Value::Null | Value::Bool(false)) => None,
        ("many2one", Value::Array(pair)) => {
            let id = pair.first()?;
            Some(vec![plain(id), plain(&json!([id])), plain(value)])
        }
        (_, Value::Array(values)) if values.is_empty() => None,
        (_, Value::String(text)) => {
            // A selection of digits is a number.
            let digits = text.parse::<i64>().ok().map(|number| plain(&json!(number)));
            Some(digits.into_iter().chain([text.clone()]).collect())
        }
        _ => Some(vec![plain(value)]),
    }
}

/// Where the dictionary says that a field's values are, or why they are not here.
async fn told(stage: &Stage, model: &str, field: &str) -> Result<Value> {
    let query = format!(
        "select coalesce((select to_jsonb(f) from public.odoo_fields f where f.model = '{model}' and f.name = '{field}'), 'null')"
    );
    stage.value(&query).await
}

/// A comparison that knows of the product no more than what it tells its users: stored values of copied rows that are
/// neither in Postgres nor on the list of what is left out.
async fn neither_here_nor_listed(stage: &Stage) -> Result<(Vec<String>, usize)> {
    let (mut lost, mut found) = (Vec::new(), 0);
    for (model, table, _) in MODELS {
        let records = stage.odoo.records(model);
        let mut fields = Vec::new();
        for (name, type_name, _) in records.stored_fields() {
            let told = told(stage, model, &name).await?;
            fields.push((name, type_name, told));
        }
        let of_model = match table {
            "odoo_records" => format!("and t.model = '{model}'"),
            _ => String::new(),
        };
        let rows = format!(
            "select coalesce(jsonb_agg(to_jsonb(t)), '[]') from public.{table} t where t.row_hash is not null {of_model}"
        );
        for row in stage.value(&rows).await?.as_array().context("rows")? {
            let id = row["id"].as_i64().unwrap_or_default();
            let record = records.get(id).context("a row without a record")?;
            for (name, type_name, told) in &fields {
                let Some(wanted) = wanted(&record[name], type_name) else {
                    continue;
                };
                let column = told["copied_to"].as_str().unwrap_or_default();
                let within = &row[column][name];
                let place = if within.is_null() {
                    &row[column]
                } else {
                    within
                };
                // What Odoo has of a change is kept there but for what is empty.
                let is_empty = column == "raw" && record[name].as_f64() == Some(0.0);
                let is_here =
                    told["copied"] == true && (is_empty || wanted.contains(&plain(place)));
                let is_listed = told["copied"] == false && told["reason"].is_string();
                if is_here {
                    found += 1;
                } else if !is_listed && type_name != "one2many" {
                    lost.push(format!(
                        "{model} {id} {name}: {wanted:?}, told {told}, is {place}"
                    ));
                }
            }
        }
    }
    Ok((lost, found))
}

async fn everything_is_here_or_listed(version: u8) -> Result<()> {
    let stage = pipeline(version, 6).await?;
    stage.odoo.install_sales();
    stage.odoo.stage_change(5);
    for (model, table, id) in MODELS {
        let records = stage.odoo.records(model);
        if table == "odoo_records" && records.get(id).is_none() {
            records.insert(json!({"id": id}));
        }
        fill(&records, id);
    }
    leads(&stage).update(3, &json!({"partner_id": 3}));
    sync(&stage).await?;
    let answer = stage.post(CHATTER, "{}").await?;
    ensure!(answer.status == 200, "{}", answer.text());
    let (lost, found) = neither_here_nor_listed(&stage).await?;
    assert!(lost.is_empty(), "{} are lost: {lost:#?}", lost.len());
    assert!(found > 450, "{found} values were found");
    let row = lead(&stage, 3).await?;
    assert_eq!(
        row["custom"]["email_normalized"],
        "what email_normalized says"
    );
    // Each id of a many2one has its name, as it came along, whatever the model.
    for (model, _, id) in MODELS {
        let records = stage.odoo.records(model);
        let Some(record) = records.get(id) else {
            ensure!((version, model) == (14, "crm.team.member"), "{model} {id}");
            continue;
        };
        for (name, type_name, relation) in records.stored_fields() {
            let relation = relation.unwrap_or_default();
            let pair = &record[&name];
            if type_name != "many2one" || !pair[1].is_string() || relation == "mail.message" {
                continue;
            }
            let query = format!(
                "select coalesce(to_jsonb((select n.name from public.odoo_names n where n.model = '{relation}' and n.id = {})), 'null')",
                pair[0]
            );
            assert_eq!(
                stage.value(&query).await?,
                pair[1],
                "{model}.{name}: {pair}"
            );
        }
    }
    Ok(())
}

macro_rules! version {
    ($name:ident, $version:literal) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            everything_is_here_or_listed($version).await
        }
    };
}

version!(of_odoo_14_no_stored_value_is_neither_here_nor_listed, 14);
version!(of_odoo_15_no_stored_value_is_neither_here_nor_listed, 15);
version!(of_odoo_16_no_stored_value_is_neither_here_nor_listed, 16);
version!(of_odoo_17_no_stored_value_is_neither_here_nor_listed, 17);
version!(of_odoo_18_no_stored_value_is_neither_here_nor_listed, 18);
version!(of_odoo_19_no_stored_value_is_neither_here_nor_listed, 19);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_of_a_model_is_said_once_and_stands_on_a_list() -> Result<()> {
    let stage = pipeline(18, 6).await?;
    leads(&stage).add_field("module_score", "integer", None);
    leads(&stage).add_field("module_scan", "binary", None);
    leads(&stage).add_field("module_token", "char", None);
    leads(&stage).add_field("module_partners", "many2many", Some("res.partner"));
    leads(&stage).fail_field("module_partners", "No rights on hr.employee.");
    leads(&stage).update(
        3,
        &json!({"module_score": 7, "module_scan": "AAAA", "module_token": "secret"}),
    );
    let first = sync(&stage).await?;
    assert_eq!(lead(&stage, 3).await?["custom"]["module_score"], 7);
    let left_out = &first["entities"]["leads"]["left_out"];
    assert_eq!(left_out["file"], json!(["module_scan"]), "{first:#}");
    assert_eq!(left_out["secret"], json!(["module_token"]));
    let not_stored = left_out["not_stored"].as_array().context("a list")?;
    assert!(not_stored.contains(&json!("activity_state")));
    assert!(first["entities"]["leads"]["unreadable"].as_u64() > Some(0));
    let logged = "select count(*) from public.migration_logs l where l.detail #> '{entities,leads,left_out,file}' ? 'module_scan'";
    assert_eq!(stage.count(logged).await?, 1);
    let second = sync(&stage).await?;
    assert!(second["entities"]["leads"].get("left_out").is_none());
    assert_eq!(stage.count(logged).await?, 1);
    for (field, copied_to, reason) in [
        ("module_score", json!("custom"), json!(null)),
        ("lost_reason_id", json!("lost_reason_id"), json!(null)),
        ("company_currency", json!("currency_id"), json!(null)),
        ("module_scan", json!(null), json!("file")),
        ("module_token", json!(null), json!("secret")),
        ("module_partners", json!("custom"), json!("unreadable")),
        ("activity_state", json!(null), json!("not_stored")),
        ("message_ids", json!(null), json!("one_to_many")),
    ] {
        let told = told(&stage, "crm.lead", field).await?;
        assert_eq!(
            (&told["copied_to"], &told["reason"]),
            (&copied_to, &reason),
            "{field}"
        );
        assert_eq!(told["copied"], reason.is_null(), "{field}");
    }
    let entry = told(&stage, "crm.lead", "module_scan").await?;
    assert_eq!(entry["archive_entry"], "module_scan");
    // Nothing of a secret is anywhere.
    assert!(!lead(&stage, 3).await?.to_string().contains("secret"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_read_by_its_labels_and_a_field_that_goes_keeps_its_own() -> Result<()> {
    let stage = pipeline(17, 3).await?;
    let choices = json!([["be", "Belgium"], ["nl", "The Netherlands"]]);
    leads(&stage).add_field("x_region", "selection", None);
    leads(&stage).describe_field("x_region", "Region", &choices);
    leads(&stage).update(2, &json!({"x_region": "nl"}));
    sync(&stage).await?;
    let label = "select to_jsonb((select s ->> 1 from jsonb_array_elements(f.selection) s where s ->> 0 = l.custom ->> 'x_region'))
         from public.odoo_leads l join public.odoo_fields f on f.model = 'crm.lead' and f.name = 'x_region' where l.id = 2";
    assert_eq!(stage.value(label).await?, "The Netherlands");
    let model = "select to_jsonb(m) from public.odoo_models m where m.model = 'crm.lead'";
    let model = stage.value(model).await?;
    assert_eq!(
        (&model["copied_to"], &model["readable"]),
        (&json!("public.odoo_leads"), &json!(true))
    );
    // Another label arrives with the next run, though no record changed.
    leads(&stage).describe_field("x_region", "Gewest", &choices);
    sync(&stage).await?;
    assert_eq!(
        told(&stage, "crm.lead", "x_region").await?["label"],
        "Gewest"
    );
    leads(&stage).remove_field("x_region");
    sync(&stage).await?;
    let gone = told(&stage, "crm.lead", "x_region").await?;
    assert_eq!(
        (&gone["label"], &gone["reason"]),
        (&json!("Gewest"), &json!("gone"))
    );
    assert_eq!(lead(&stage, 2).await?["custom"]["x_region"], "nl");
    assert_eq!(stage.value(label).await?, "The Netherlands");
    Ok(())
}

async fn name(stage: &Stage, model: &str, id: i64) -> Result<Value> {
    let query = format!(
        "select coalesce(to_jsonb((select n.name from public.odoo_names n where n.model = '{model}' and n.id = {id})), 'null')"
    );
    stage.value(&query).await
}

/// The dictionaries that leads point to.
fn furnish(stage: &Stage) {
    for (model, id, named) in [
        ("res.company", 1, "Ours"),
        ("res.company", 2, "Ours abroad"),
        ("res.currency", 1, "EUR"),
        ("res.currency", 2, "USD"),
        ("res.country", 20, "Belgium"),
        ("utm.source", 7, "Newsletter"),
        ("res.partner.category", 4, "VIP"),
        ("res.partner.category", 5, "Press"),
    ] {
        stage
            .odoo
            .records(model)
            .insert(json!({"id": id, "name": named}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_has_its_name_and_a_comparison_keeps_it_fresh() -> Result<()> {
    // Also of models that are not copied themselves.
    let stage = set(18, 6, |builder| builder.variable("crm_models", "")).await?;
    furnish(&stage);
    leads(&stage).add_field("x_partners", "many2many", Some("res.partner.category"));
    leads(&stage).add_field("x_about", "reference", None);
    leads(&stage).update(
        3,
        &json!({"country_id": 20, "source_id": 7, "x_partners": [4, 5, 9], "x_about": "res.company,2"}),
    );
    sync(&stage).await?;
    for (model, id, named) in [
        ("res.country", 20, json!("Belgium")),
        ("utm.source", 7, json!("Newsletter")),
        ("res.partner.category", 4, json!("VIP")),
        ("res.partner.category", 5, json!("Press")),
        // It is mentioned, and Odoo has it no more.
        ("res.partner.category", 9, json!(null)),
        ("res.company", 2, json!("Ours abroad")),
        ("crm.tag", 1, json!("Product")),
        ("crm.lead", 3, json!("Opportunity 00002")),
    ] {
        assert_eq!(name(&stage, model, id).await?, named, "{model} {id}");
    }
    let shown = "select jsonb_build_array(p.country, p.source, p.currency) from public.odoo_pipeline p where p.id = 3";
    assert_eq!(
        stage.value(shown).await?,
        json!(["Belgium", "Newsletter", null])
    );
    // A run with nothing new asks for no name again, and neither does Odoo hear of it.
    stage.odoo.counters().reset();
    sync(&stage).await?;
    let calls = stage.odoo.counters();
    assert_eq!(calls.of("res.partner.category/search_read").calls, 0);
    // Renamed elsewhere: no lead's date tells it.
    stage
        .odoo
        .records("res.country")
        .update(20, &json!({"name": "België"}));
    stage
        .odoo
        .records("res.partner.category")
        .update(4, &json!({"name": "Very important"}));
    let days = "update public.odoo_names set asked_at = asked_at - interval '2 days'";
    stage.owner.batch_execute(days).await?;
    run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(name(&stage, "res.country", 20).await?, "België");
    assert_eq!(
        name(&stage, "res.partner.category", 4).await?,
        "Very important"
    );
    // What Odoo forgets keeps the name that it had.
    stage.odoo.records("res.partner.category").delete([5]);
    stage.owner.batch_execute(days).await?;
    sync(&stage).await?;
    assert_eq!(name(&stage, "res.partner.category", 5).await?, "Press");
    Ok(())
}

fn archive_a_category(stage: &Stage) {
    let categories = stage.odoo.records("res.partner.category");
    categories.update(5, &json!({"active": false}));
}

/// Lead 3 was copied, and lists a category that is archived beside one that is not.
async fn with_an_archived_category(version: u8) -> Result<Stage> {
    let stage = set(version, 6, |builder| builder).await?;
    furnish(&stage);
    archive_a_category(&stage);
    leads(&stage).add_field("x_partners", "many2many", Some("res.partner.category"));
    leads(&stage).update(3, &json!({"x_partners": [4, 5]}));
    sync(&stage).await?;
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_records_stay_among_those_that_a_record_lists() -> Result<()> {
    for version in [14, 18, 19] {
        let stage = with_an_archived_category(version).await?;
        let listed = "select jsonb_object_agg(id, custom->'x_partners') from public.odoo_leads where custom->>'x_partners' <> '[]'";
        assert_eq!(
            stage.value(listed).await?,
            json!({"3": [4, 5]}),
            "{version}"
        );
        leads(&stage).update(4, &json!({"name": "Renamed", "x_partners": [5]}));
        sync(&stage).await?;
        assert_eq!(
            stage.value(listed).await?,
            json!({"3": [4, 5], "4": [5]}),
            "{version}"
        );
        assert_eq!(
            name(&stage, "res.partner.category", 5).await?,
            "Press",
            "{version}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_asked_for_by_themselves_only_while_something_is_archived() -> Result<()> {
    let stage = set(18, 6, |builder| builder).await?;
    furnish(&stage);
    leads(&stage).add_field("x_partners", "many2many", Some("res.partner.category"));
    leads(&stage).update(3, &json!({"x_partners": [4, 5]}));
    sync(&stage).await?;
    let asked = || stage.odoo.counters().of("crm.lead/read").calls;
    assert_eq!(asked(), 0);
    archive_a_category(&stage);
    leads(&stage).update(3, &json!({"name": "Renamed"}));
    sync(&stage).await?;
    assert_eq!(asked(), 1);
    let row =
        "select jsonb_build_array(name, custom->'x_partners') from public.odoo_leads where id = 3";
    assert_eq!(stage.value(row).await?, json!(["Renamed", [4, 5]]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_links_cannot_be_read_a_row_keeps_those_that_it_has_and_is_listed() -> Result<()> {
    let stage = with_an_archived_category(18).await?;
    let said = json!({"jsonrpc": "2.0", "id": null, "error": {"code": 200, "message": "Odoo Server Error", "data": {
        "name": "odoo.exceptions.AccessError", "message": "Not these", "debug": ""}}});
    let json = [("Content-Type", "application/json")];
    stage
        .odoo
        .faults()
        .add(Fault::on_call("crm.lead", "read").answer(200, &json, &said.to_string()));
    leads(&stage).update(3, &json!({"name": "Renamed"}));
    sync(&stage).await?;
    let row = "select jsonb_build_array(l.name, l.custom->'x_partners', u.fields, u.said)
        from public.odoo_leads l join odoo_sync.unreadable u on u.model = 'crm.lead' and u.id = l.id where l.id = 3";
    let row = stage.value(row).await?;
    assert_eq!(
        (&row[0], &row[1]),
        (&json!("Renamed"), &json!([4, 5])),
        "{row}"
    );
    assert!(
        row[2].to_string().contains("x_partners") && row[3].to_string().contains("Not these"),
        "{row}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_of_several_currencies_are_never_added() -> Result<()> {
    let stage = pipeline(18, 0).await?;
    furnish(&stage);
    stage.odoo.records("crm.stage").insert_many([
        json!({"id": 1, "name": "New", "sequence": 1}),
        json!({"id": 2, "name": "Won", "sequence": 2}),
    ]);
    let opportunity = |id: i64, stage_id: i64, company: i64, currency: i64, worth: f64| {
        json!({"id": id, "name": format!("Deal {id}"), "type": "opportunity", "stage_id": stage_id, "company_id": company,
            "company_currency": currency, "expected_revenue": worth, "probability": 50.0})
    };
    leads(&stage).insert_many([
        opportunity(1, 1, 1, 1, 100.0),
        opportunity(2, 1, 2, 2, 1000.0),
        opportunity(3, 2, 1, 1, 10.0),
        opportunity(4, 2, 2, 1, 30.0),
    ]);
    sync(&stage).await?;
    let stages =
        "select jsonb_agg(to_jsonb(s) order by s.sequence) from public.odoo_pipeline_stages s";
    let stages = stage.value(stages).await?;
    let (new, won) = (&stages[0], &stages[1]);
    assert_eq!(new["leads"], 2, "{stages:#}");
    assert_eq!(
        (&new["expected_revenue"], &new["currency"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(new["amounts"][0]["own_company"], "Ours");
    assert_eq!(new["amounts"][0]["currency"], "EUR");
    assert_eq!(new["amounts"][0]["expected_revenue"], json!(100.0));
    assert_eq!(new["amounts"][1]["currency"], "USD");
    assert_eq!(new["amounts"][1]["weighted_revenue"], json!(500.0));
    // Of one currency, they have a sum.
    assert_eq!(
        (&won["expected_revenue"], &won["currency"]),
        (&json!(40.0), &json!("EUR"))
    );
    assert_eq!(won["amounts"].as_array().map(Vec::len), Some(2));
    let shown = "select jsonb_build_array(p.own_company, p.currency) from public.odoo_pipeline p where p.id = 2";
    assert_eq!(stage.value(shown).await?, json!(["Ours abroad", "USD"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_version_before_get_all_their_fields_with_the_next_runs() -> Result<()> {
    let stage = pipeline(18, 6).await?;
    leads(&stage).update(3, &json!({"email_normalized": "buyer@example.com"}));
    sync(&stage).await?;
    // As a version before left them: another shape, and nothing of a module's.
    stage
        .owner
        .batch_execute(
            "update public.odoo_leads set custom = '{}', row_hash = md5(row_hash);
             update odoo_sync.cursors set position = jsonb_set(position, '{shape}', '\"older\"') - 'dictionary';
             delete from public.odoo_names; delete from odoo_sync.source_fields; delete from public.odoo_models",
        )
        .await?;
    sync(&stage).await?;
    assert_eq!(
        lead(&stage, 3).await?["custom"]["email_normalized"],
        "buyer@example.com"
    );
    assert_eq!(name(&stage, "crm.team", 1).await?, "Sales");
    assert_eq!(told(&stage, "crm.lead", "name").await?["copied"], true);
    Ok(())
}
