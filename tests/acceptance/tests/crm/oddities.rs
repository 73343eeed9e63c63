//! One odd record, field or value is left out and named, and the rest arrives.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;

use crate::scene::*;

/// What stands on the list: id, fields, what was said.
async fn listed(stage: &Stage) -> Result<Vec<(i64, Vec<String>, String)>> {
    let list = stage
        .value("select coalesce(jsonb_agg(to_jsonb(u) order by u.id, u.fields), '[]') from odoo_sync.unreadable u where u.model = 'crm.lead'")
        .await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |row: &Value| {
        let fields = row["fields"].as_array().into_iter().flatten();
        let id = row["id"].as_i64().unwrap_or_default();
        (id, fields.map(text).collect(), text(&row["said"]))
    };
    Ok(list.as_array().into_iter().flatten().map(of).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_makes_every_reading_fail_is_left_out_and_named() -> Result<()> {
    for (version, said) in [
        (
            19,
            "Failed to read field crm.lead.x_partners\nNo rights on hr.employee.",
        ),
        (18, "Falta un derecho."),
    ] {
        let stage = pipeline(version, 40).await?;
        leads(&stage).add_field("x_partners", "many2many", Some("res.partner"));
        leads(&stage).add_field("x_region", "char", None);
        leads(&stage).update(3, &json!({"x_region": "Benelux"}));
        leads(&stage).fail_field("x_partners", said);
        let report = sync(&stage).await?;
        assert_same(&stage).await?;
        assert_eq!(custom(&stage, 3).await?["x_region"], "Benelux");
        assert_eq!(
            report["entities"]["leads"]["unreadable"],
            1 + 2 * u64::from(version == 18),
            "{report:#}"
        );
        let list = listed(&stage).await?;
        let (id, fields, words) = list.first().expect("a row");
        assert_eq!(
            (*id, fields),
            (0, &vec!["x_partners".to_owned()]),
            "{list:?}"
        );
        assert!(
            words.contains(said.lines().next().unwrap_or_default()),
            "{words}"
        );
        let logged = "select count(*) from public.migration_logs l where l.detail #>> '{entities,leads,unreadable}' is not null";
        assert_eq!(stage.count(logged).await?, 1);
        // It costs a few calls more, and not some for each lead.
        stage.odoo.counters().reset();
        run(&stage, r#"{"mode": "full"}"#).await?;
        let calls = stage.odoo.counters().all();
        let of_leads = calls
            .iter()
            .filter(|(call, _)| call.starts_with("crm.lead/"));
        let of_leads: u64 = of_leads.map(|(_, count)| count.calls).sum();
        assert!(of_leads < 80, "{version}: {calls:?}");
        // Once it can be read, it arrives with the next full reading, and leaves the list.
        leads(&stage).mend_field("x_partners");
        leads(&stage).update_quietly(3, &json!({"x_partners": [1]}));
        run(&stage, r#"{"mode": "full"}"#).await?;
        assert_eq!(custom(&stage, 3).await?["x_partners"], json!([1]));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_json_is_left_out_and_named() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    for name in ["x_budget", "x_share", "x_least"] {
        leads(&stage).add_field(name, "float", None);
    }
    leads(&stage).add_field("x_note", "char", None);
    let raw = |text: &str| json!({ "$raw": text });
    leads(&stage).update(4, &json!({"x_budget": raw("NaN"), "x_share": 0.5}));
    leads(&stage).update(
        5,
        &json!({"x_share": raw("Infinity"), "x_least": raw("-Infinity")}),
    );
    leads(&stage).update(6, &json!({"x_note": raw(r#""half \ud83d of a pair""#)}));
    stage.odoo.counters().reset();
    sync(&stage).await?;
    assert_same(&stage).await?;
    assert_eq!(
        custom(&stage, 4).await?,
        json!({"x_budget": null, "x_share": 0.5, "x_least": 0.0, "x_note": null})
    );
    assert_eq!(
        custom(&stage, 6).await?["x_note"],
        "half \u{fffd} of a pair"
    );
    let list = listed(&stage).await?;
    let named: Vec<_> = list
        .iter()
        .map(|(id, fields, _)| (*id, fields.join(" ")))
        .collect();
    assert_eq!(
        named,
        [
            (4, "x_budget".to_owned()),
            (5, "x_least x_share".to_owned())
        ]
    );
    assert!(list[0].2.contains("NaN"), "{list:?}");
    // Once it is a number, it is one, and leaves the list.
    leads(&stage).update(4, &json!({"x_budget": 7.5}));
    sync(&stage).await?;
    assert_eq!(custom(&stage, 4).await?["x_budget"], 7.5);
    assert_eq!(listed(&stage).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_too_long_is_left_out_of_its_record_alone() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    leads(&stage).add_field("x_story", "html", None);
    leads(&stage).add_field("x_region", "char", None);
    for id in [7, 8] {
        leads(&stage).update(
            id,
            &json!({"x_story": "x".repeat(6_000_000), "x_region": "Benelux"}),
        );
    }
    leads(&stage).update(9, &json!({"x_story": "short"}));
    let long = format!("<p>{}</p>", "y".repeat(5_000_000));
    leads(&stage).update(10, &json!({"description": long}));
    sync(&stage).await?;
    assert_eq!(live(&stage, "odoo_leads").await?, 40);
    assert_eq!(custom(&stage, 7).await?, json!({"x_region": "Benelux"}));
    assert_eq!(custom(&stage, 9).await?["x_story"], "short");
    let list = listed(&stage).await?;
    let named: Vec<_> = list
        .iter()
        .map(|(id, fields, _)| (*id, fields.join(" ")))
        .collect();
    let name = |field: &str| field.to_owned();
    assert_eq!(
        named,
        [
            (7, name("x_story")),
            (8, name("x_story")),
            (10, name("description"))
        ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_every_reading_is_stepped_over() -> Result<()> {
    let stage = pipeline(18, 40).await?;
    leads(&stage).fail([1, 12, 40], true);
    let report = sync(&stage).await?;
    assert_eq!(live(&stage, "odoo_leads").await?, 37, "{report:#}");
    let list = listed(&stage).await?;
    let named: Vec<_> = list
        .iter()
        .map(|(id, fields, _)| (*id, fields.len()))
        .collect();
    assert_eq!(named, [(1, 0), (12, 0), (40, 0)]);
    assert!(list[0].2.contains("gone.model"), "{list:?}");
    // A lead that is written later, and fails. (As long as it is the newest of all, nothing says that it is there.)
    leads(&stage).fail([20], true);
    leads(&stage).update(20, &json!({"name": "Renamed"}));
    leads(&stage).update(21, &json!({"name": "Renamed"}));
    sync(&stage).await?;
    assert_eq!(listed(&stage).await?.len(), 4);
    // What was here stays.
    assert!(lead(&stage, 20).await?["deleted_at"].is_null());
    run(&stage, r#"{"mode": "full"}"#).await?;
    assert_eq!(live(&stage, "odoo_leads").await?, 37);
    assert_eq!(validation(&stage, "leads").await?["verdict"], "differs");
    let tries = "select min(tries)::bigint from odoo_sync.unreadable";
    assert!(stage.count(tries).await? > 1);
    let known = "select h.detail->'unreadable' from odoo_sync.health() h where h.job = 'odoo-crm-sync-nightly'";
    assert_eq!(stage.value(known).await?, json!(4));
    leads(&stage).fail([1, 12, 20, 40], false);
    run(&stage, r#"{"mode": "full"}"#).await?;
    assert_same(&stage).await?;
    assert_eq!(listed(&stage).await?.len(), 0);
    assert_eq!(validation(&stage, "leads").await?["verdict"], "same");
    Ok(())
}

/// An Odoo that fails at everything is an error, and no list of all its leads; also if it does so from a page on.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_not_blamed_for_an_odoo_that_reads_none() -> Result<()> {
    for from in [1, 2] {
        let stage = pipeline(18, 40).await?;
        let fault = world::faults::Fault::on_call("crm.lead", "search_read");
        stage.odoo.faults().add(fault.from_nth(from).html_500());
        let report = failing_run(&stage, "{}").await?;
        assert!(
            report["errors"][0]
                .as_str()
                .unwrap_or_default()
                .starts_with("leads: "),
            "{report:#}"
        );
        assert_eq!(listed(&stage).await?.len(), 0);
        stage.odoo.faults().clear();
        sync(&stage).await?;
        assert_same(&stage).await?;
    }
    Ok(())
}
