//! The archive's main path.

use anyhow::Result;
use serde_json::json;
use stage::Stage;
use world::odoo::{self, Attachments};

#[tokio::test]
async fn attachments_arrive_verified_and_are_logged() -> Result<()> {
    let odoo = odoo::Options {
        attachments: Attachments::of(300),
        ..odoo::Options::default()
    };
    let stage = Stage::builder().odoo(odoo).start().await?;
    let answer = stage.post("/archive-batch", "{}").await?;
    assert_eq!(answer.status, 200, "{}\n{:?}", answer.text(), stage.log());
    let report = answer.json();
    println!("{report:#}");
    assert_eq!(report["status"], "success");
    assert_eq!(report["migrated"], 300);
    assert_eq!(report["remaining"], 0);
    assert_eq!(stage.storage.verify_all().misnamed, Vec::<String>::new());
    let row = stage
        .value("select to_jsonb(l) from public.migration_logs l")
        .await?;
    assert_eq!(row["migrated"], 300);
    assert_eq!(row["status"], json!("success"));
    Ok(())
}
