//! What the Odoo user may not read is left out and listed, and keeps nothing else back.

use anyhow::Result;
use serde_json::{Value, json};
use stage::Stage;
use world::odoo::{Attachments, NewAttachment, Options, User};

use crate::scene::{PATH, errors, in_state, odoo_with, set, small, tick, tick_with};

/// An Odoo of this version, and the key of a user without the group Settings.
fn salesman(version: u8, attachments: Attachments) -> stage::Builder {
    set(Options {
        version,
        users: vec![User::salesman()],
        ..odoo_with(attachments)
    })
}

fn attach(stage: &Stage, model: &str, res_id: i64, field: Option<&str>) -> i64 {
    stage.odoo.attachments().insert(NewAttachment {
        res_model: Some(model.to_owned()),
        res_id: Some(res_id),
        res_field: field.map(str::to_owned),
        ..NewAttachment::default()
    })
}

fn attach_to_leads(stage: &Stage, count: i64) {
    for lead in 1..=count {
        attach(stage, "crm.lead", lead, None);
    }
}

async fn listed(stage: &Stage) -> Result<Value> {
    let list = "select coalesce(jsonb_agg(u.id order by u.id), '[]') from odoo_sync.unreadable u where u.model = 'ir.attachment'";
    stage.value(list).await
}

#[tokio::test]
async fn a_user_without_settings_moves_all_that_it_may_read() -> Result<()> {
    for version in 14..=19 {
        let stage = salesman(version, small(0)).start().await?;
        // As an installation has them: on no record, and made by others. The newest is one of them.
        let mut kept = Vec::new();
        let mut refused = Vec::new();
        for n in 0..60 {
            kept.push(attach(&stage, "crm.lead", 1 + n, None));
            if n % 2 == 0 {
                refused.push(attach(&stage, "res.company", 0, None));
            }
        }
        refused.push(attach(&stage, "res.company", 0, None));
        let report = tick(&stage).await?;
        let moved = kept.len() + if version == 14 { refused.len() } else { 0 };
        assert_eq!(report["migrated"], moved, "{version}: {report}");
        let unread = if (15..=16).contains(&version) {
            json!(refused)
        } else {
            json!([])
        };
        assert_eq!(listed(&stage).await?, unread, "{version}");
        let said = errors(&report).join(" ");
        assert_eq!(
            said.contains("31 attachments cannot be read by the Odoo user"),
            unread != json!([]),
            "{said}"
        );
        // It is said once.
        assert_eq!(errors(&tick(&stage).await?), [""; 0], "{version}");
        // And what comes after it is found.
        let later = attach(&stage, "crm.lead", 99, None);
        assert_eq!(tick(&stage).await?["migrated"], 1, "{version}");
        assert_eq!(in_state(&stage, "moved").await?, i64::try_from(moved + 1)?);
        assert!(later > 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_given_later_takes_effect_within_a_day() -> Result<()> {
    let stage = salesman(16, small(0)).start().await?;
    attach_to_leads(&stage, 5);
    let scss = attach(&stage, "res.company", 0, None);
    tick(&stage).await?;
    assert_eq!(listed(&stage).await?, json!([scss]));
    stage.odoo.attachments().set_record(scss, "crm.lead", 3);
    let a_day = "update odoo_sync.cursors set position = position || jsonb_build_object('ended', 1) where name = 'archive-batch:sweep'";
    stage.owner.execute(a_day, &[]).await?;
    tick(&stage).await?;
    assert_eq!(in_state(&stage, "moved").await?, 6);
    assert_eq!(listed(&stage).await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_counts_what_cannot_be_read() -> Result<()> {
    let stage = salesman(16, small(0)).start().await?;
    attach_to_leads(&stage, 5);
    attach(&stage, "res.company", 0, None);
    let report = tick_with(&stage, r#"{"mode": "dry_run"}"#).await?;
    let census = &report["census"];
    assert_eq!(census["to_move"]["files"], 5, "{report}");
    assert_eq!(census["skipped"]["unreadable"]["files"], 1, "{report}");
    Ok(())
}

#[tokio::test]
async fn a_field_of_odoos_own_is_never_a_reason_to_stop() -> Result<()> {
    let stage = set(Options {
        version: 16,
        users: vec![User::salesman()],
        ..odoo_with(small(0))
    })
    .variable("archive_fields", "flag_image")
    .start()
    .await?;
    attach_to_leads(&stage, 12);
    let flag = attach(&stage, "res.lang", 1, Some("flag_image"));
    let answer = stage.post(PATH, "{}").await?;
    assert_eq!(answer.json()["migrated"], 12, "{}", answer.text());
    assert_eq!(listed(&stage).await?, json!([flag]));
    Ok(())
}
