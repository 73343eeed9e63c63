//! A set-up in which everything is right.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stage::{JWT_SECRET, SERVICE_KEY, Stage};
use world::odoo::{self, Attachments};
use world::storage;
use world::supabase::Supabase;

use crate::causes::Cause;

/// A legacy key, which Storage takes too.
pub const LEGACY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.bm8tc2lnbmF0dXJl";

pub struct Scene {
    pub stage: Stage,
    _background: Supabase,
}

impl Scene {
    pub async fn set() -> Result<Self> {
        let odoo = odoo::Options {
            attachments: Attachments::of(5),
            ..odoo::Options::default()
        };
        let mut storage = storage::Options::default();
        storage.service_keys.push(LEGACY.to_owned());
        let stage = Stage::builder()
            .odoo(odoo)
            .storage(storage)
            .variable("jwt_secret", JWT_SECRET)
            .variable("jwks_path", "")
            .start()
            .await?;
        let background = Supabase::attend_without_clock(&stage.database).await?;
        let set_up = format!(
            "select odoo_sync.rotate_key(); select * from odoo_sync.schedule('{}');
             with one as (insert into auth.users default values returning id)
             insert into public.user_roles (user_id, role) select id, 'admin' from one;
             create table public.kept as select '{}' as url",
            stage.url(),
            stage.url()
        );
        stage.owner.batch_execute(&set_up).await?;
        // One is moved, the others are known and wait.
        for body in [r#"{"mode": "discover"}"#, r#"{"ids": [1]}"#] {
            let answer = stage.post("/archive-batch", body).await?;
            ensure!(answer.status == 200, "{}", answer.text());
        }
        let moved = "select count(*) from public.odoo_attachments where state = 'moved'";
        ensure!(stage.count(moved).await? == 1);
        Ok(Self {
            stage,
            _background: background,
        })
    }

    pub async fn check(&self) -> Result<Value> {
        let answer = self.stage.post("/check", "").await?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(answer.json())
    }

    /// A look with this cause, which is mended after it.
    pub async fn with(&self, cause: &Cause) -> Result<Value> {
        let stage = &self.stage;
        match cause {
            Cause::Variables(variables) => {
                let variables: Vec<_> = variables
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let (_host, caller) = stage.replica(&variables).await?;
                let answer = caller.post("/check", SERVICE_KEY, "").await?;
                ensure!(answer.status == 200, "{variables:?}: {}", answer.text());
                Ok(answer.json())
            }
            Cause::Sql(broken, mended) => {
                let superuser = stage.database.connect_as_superuser().await?;
                let owner = stage.database.owner();
                let broken = broken.replace("OWNER", owner);
                superuser.batch_execute(&broken).await.context(broken)?;
                let looked_at = self.check().await?;
                let mended = mended.replace("OWNER", owner);
                superuser.batch_execute(&mended).await.context(mended)?;
                Ok(looked_at)
            }
            Cause::Odoo(fault) => {
                stage.odoo.faults().add(fault.clone());
                let looked_at = self.check().await?;
                stage.odoo.faults().clear();
                Ok(looked_at)
            }
            Cause::Storage(fault) => {
                stage.storage.faults().add(fault.clone());
                let looked_at = self.check().await?;
                stage.storage.faults().clear();
                Ok(looked_at)
            }
            Cause::Bucket(bucket) => {
                stage.storage.set_bucket(bucket.clone());
                let looked_at = self.check().await?;
                stage
                    .storage
                    .set_bucket(storage::Bucket::private("odoo-archive"));
                Ok(looked_at)
            }
            Cause::KeyEnds(days) => {
                let date = format!(
                    "select to_jsonb(to_char(now() at time zone 'UTC' + {days} * interval '1 day', 'YYYY-MM-DD HH24:MI:SS'))"
                );
                let date = stage.value(&date).await?;
                let keys = stage.odoo.records("res.users.apikeys");
                let own = *keys.ids().first().context("no key")?;
                keys.update(own, &json!({ "expiration_date": date }));
                let looked_at = self.check().await?;
                keys.update(own, &json!({ "expiration_date": false }));
                Ok(looked_at)
            }
            Cause::Record(model, values) => {
                let records = stage.odoo.records(model);
                let added = records.insert(values.clone());
                let looked_at = self.check().await?;
                records.delete([added]);
                Ok(looked_at)
            }
        }
    }
}

/// The line of this name.
pub fn line<'a>(looked_at: &'a Value, name: &str) -> Result<&'a Value> {
    let lines = looked_at["lines"].as_array().context("no lines")?;
    let found = lines.iter().find(|line| line["name"] == name);
    found.with_context(|| format!("there is no line {name}: {looked_at:#}"))
}

/// Each line's state, by name.
pub fn states(looked_at: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = looked_at["lines"].as_array().into_iter().flatten();
    lines
        .map(|line| (text(&line["name"]), text(&line["state"])))
        .collect()
}
