//! A real Odoo: what exchanges speak of is made there under a prefix, or found there, and removed again.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::{ACCENTED, Account, BARE_NAMES, Odoo};
use crate::conversation::{hex, pattern_bytes};
use crate::fixtures::Fixtures;
use crate::table::Caller;

/// The real Odoo that is asked.
#[derive(Default)]
pub struct Options {
    /// `scheme://host[:port]`.
    pub url: String,
    /// Its database.
    pub database: String,
    /// The administrator's login, key and password; one of both is enough, and less can be asked then.
    pub login: String,
    /// The key.
    pub api_key: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// Further users by kind: login, key, password. Without them such users are made, where that may be.
    pub users: BTreeMap<Caller, (String, Option<String>, Option<String>)>,
    /// Ids of what is known to be there and cannot be made: a lost file, say.
    pub known: BTreeMap<String, i64>,
    /// Make nothing.
    pub read_only: bool,
}

/// What was made, to be removed.
pub(super) struct Made {
    pub odoo: Odoo,
    prefix: String,
    known: BTreeMap<String, i64>,
    read_only: bool,
    rows: Vec<(String, i64)>,
}

const ADMIN: Caller = Caller::Administrator;

/// A name that nobody else has.
pub(crate) fn fresh_prefix() -> String {
    let number = RandomState::new().hash_one(std::time::SystemTime::now());
    format!("conform-{:08x}", number & 0xffff_ffff)
}

impl Made {
    /// Logs in.
    pub(super) async fn begin(options: Options) -> Result<Self> {
        let mut odoo = Odoo::new(&options.url, &options.database)?;
        let version = odoo
            .result("common", "version", json!([]))
            .await
            .context("it says no version")?;
        let version = version
            .pointer("/server_version_info/0")
            .and_then(Value::as_u64);
        odoo.version = version
            .and_then(|version| u8::try_from(version).ok())
            .context("no version of Odoo")?;
        let mut made = Self {
            odoo,
            prefix: fresh_prefix(),
            known: options.known,
            read_only: options.read_only,
            rows: Vec::new(),
        };
        let admin = (options.login, options.api_key, options.password);
        for (caller, (login, key, password)) in options.users.into_iter().chain([(ADMIN, admin)]) {
            made.know(caller, &login, key, password)
                .await
                .with_context(|| format!("the {}", caller.name()))?;
        }
        Ok(made)
    }

    async fn know(
        &mut self,
        caller: Caller,
        login: &str,
        key: Option<String>,
        password: Option<String>,
    ) -> Result<()> {
        let mut account = Account {
            login: login.to_owned(),
            uid: 0,
            password,
            key,
        };
        let args = json!([self.odoo.database, login, account.secret(), {}]);
        match self.odoo.result("common", "authenticate", args).await? {
            Value::Number(uid) => account.uid = uid.as_i64().unwrap_or_default(),
            _ => bail!("the login {login} is refused: check its key or password"),
        }
        self.odoo.accounts.insert(caller, account);
        Ok(())
    }

    async fn call(
        &self,
        model: &str,
        method: &str,
        positional: Value,
        named: Value,
    ) -> Result<Value> {
        self.odoo
            .call(ADMIN, model, method, positional, named)
            .await
    }

    async fn create(&mut self, model: &str, values: Value) -> Result<i64> {
        let made = self
            .call(model, "create", json!([values]), json!({}))
            .await?;
        let id = made
            .as_i64()
            .or_else(|| made.get(0)?.as_i64())
            .context("no id")?;
        self.rows.push((model.to_owned(), id));
        Ok(id)
    }

    async fn first(&self, model: &str, domain: Value) -> Result<Option<i64>> {
        let found = self
            .call(
                model,
                "search",
                json!([domain, 0, 1]),
                json!({"context": {"active_test": false}}),
            )
            .await?;
        Ok(found.get(0).and_then(Value::as_i64))
    }

    /// The id behind an external one.
    async fn behind(&self, module: &str, name: &str) -> Result<i64> {
        let domain = json!([["module", "=", module], ["name", "=", name]]);
        let found = self
            .call(
                "ir.model.data",
                "search_read",
                json!([domain, ["res_id"]]),
                json!({}),
            )
            .await?;
        found
            .pointer("/0/res_id")
            .and_then(Value::as_i64)
            .with_context(|| format!("no {module}.{name}"))
    }

    /// Makes or finds what exchanges speak of. What fails is lacking, with the reason.
    pub(super) async fn furnish(&mut self, fixtures: &mut Fixtures) -> Result<()> {
        fixtures.set("prefix", self.prefix.clone());
        fixtures.lack("simulated", "this server is a real one");
        for (name, id) in self.known.clone() {
            fixtures.set(&format!("{name}.id"), id);
            // Of a way it is enough that it is there.
            fixtures.set(&name, id);
        }
        for name in [
            "lost_file",
            "truncated_file",
            "zeroed_file",
            "orphan_file",
            "gone_model_file",
            "unchecked_file",
            "other_company",
        ] {
            if !self.known.contains_key(name) {
                fixtures.lack(
                    name,
                    format!("it cannot be made over the API; name one by --known {name}=ID"),
                );
            }
        }
        for module in ["note", "comment"] {
            match self.behind("mail", &format!("mt_{module}")).await {
                Ok(id) => fixtures.set(&format!("subtype.{module}"), id),
                Err(why) => fixtures.lack(&format!("subtype.{module}"), format!("{why:#}")),
            }
        }
        let domain = json!([
            ["res_field", "!=", false],
            ["checksum", "!=", false],
            ["res_model", "=", "res.partner"]
        ]);
        match self.first("ir.attachment", domain).await {
            Ok(Some(id)) => fixtures.set("field_file.id", id),
            Ok(None) => fixtures.lack("field_file", "no attachment of a field is here"),
            Err(why) => fixtures.lack("field_file", format!("{why:#}")),
        }
        if self.read_only {
            for (name, model, domain) in [
                ("lead", "crm.lead", json!([["active", "=", true]])),
                ("archived_lead", "crm.lead", json!([["active", "=", false]])),
                ("tag", "crm.tag", json!([])),
            ] {
                match self.first(model, domain).await {
                    Ok(Some(id)) => fixtures.set(&format!("{name}.id"), id),
                    _ => fixtures.lack(name, "none is here"),
                }
            }
            fixtures.lack("made", "nothing is made by --read-only");
            if let Some(lead) = fixtures.get("lead.id").cloned() {
                let args = json!([[lead], ["name", "write_date"]]);
                let read = self.call("crm.lead", "read", args, json!({})).await?;
                for field in ["name", "write_date"] {
                    let value = read.pointer(&format!("/0/{field}")).cloned();
                    fixtures.set(&format!("lead.{field}"), value.unwrap_or_default());
                }
            }
            return Ok(());
        }
        fixtures.set("made", true);
        self.users().await;
        let makings: [&str; 3] = ["records", "messages", "files"];
        for making in makings {
            let outcome = match making {
                "records" => self.records(fixtures).await,
                "messages" => self.messages(fixtures).await,
                _ => self.files(fixtures).await,
            };
            outcome.with_context(|| format!("the {making} that the table speaks of could not be made (--read-only makes none)"))?;
        }
        Ok(())
    }

    /// A user of each kind that was not given. An administrator only may make them.
    async fn users(&mut self) {
        let kinds: [(Caller, &[(&str, &str)]); 3] = [
            (
                Caller::Settings,
                &[
                    ("base", "group_user"),
                    ("base", "group_system"),
                    ("sales_team", "group_sale_manager"),
                ],
            ),
            (
                Caller::SalesAdministrator,
                &[("base", "group_user"), ("sales_team", "group_sale_manager")],
            ),
            (
                Caller::Salesman,
                &[
                    ("base", "group_user"),
                    ("sales_team", "group_sale_salesman"),
                ],
            ),
        ];
        for (caller, groups) in kinds {
            if self.odoo.accounts.contains_key(&caller) {
                continue;
            }
            if let Err(why) = self.user(caller, groups).await {
                eprintln!(
                    "no user of the kind {} could be made: {why:#}",
                    caller.name()
                );
            }
        }
    }

    async fn user(&mut self, caller: Caller, groups: &[(&str, &str)]) -> Result<()> {
        let mut ids = Vec::new();
        for (module, name) in groups {
            ids.push(self.behind(module, name).await?);
        }
        let field = if self.odoo.version >= 19 {
            "group_ids"
        } else {
            "groups_id"
        };
        let login = format!("{}-{}", self.prefix, caller.name());
        let password = format!("{}-{}", fresh_prefix(), fresh_prefix());
        let values =
            json!({"name": login, "login": login, "password": password, field: [[6, 0, ids]]});
        let named = json!({"context": {"no_reset_password": true}});
        let made = self
            .call("res.users", "create", json!([values]), named)
            .await?;
        let id = made
            .as_i64()
            .or_else(|| made.get(0)?.as_i64())
            .context("no id")?;
        let partner = self
            .call(
                "res.users",
                "read",
                json!([[id], ["partner_id"]]),
                json!({}),
            )
            .await?;
        if let Some(partner) = partner.pointer("/0/partner_id/0").and_then(Value::as_i64) {
            self.rows.push(("res.partner".to_owned(), partner));
        }
        self.rows.push(("res.users".to_owned(), id));
        self.know(caller, &login, None, Some(password)).await
    }

    async fn records(&mut self, fixtures: &mut Fixtures) -> Result<()> {
        let salesman = self
            .odoo
            .accounts
            .get(&Caller::Salesman)
            .map(|account| account.uid);
        let admin = self.odoo.accounts.get(&ADMIN).map(|account| account.uid);
        let prefix = self.prefix.clone();
        let name = |what: &str| format!("{prefix} {what}");
        let lead = self
            .create("crm.lead", json!({
                "name": name("lead"), "type": "opportunity", "user_id": salesman.or(admin), "expected_revenue": 1250.5}))
            .await?;
        fixtures.set("lead.id", lead);
        fixtures.set("lead.name", name("lead"));
        let archived = self
            .create(
                "crm.lead",
                json!({"name": name("archived"), "type": "opportunity", "active": false}),
            )
            .await?;
        fixtures.set("archived_lead.id", archived);
        let company = self
            .create(
                "res.partner",
                json!({"name": name("company"), "is_company": true}),
            )
            .await?;
        let person = self
            .create(
                "res.partner",
                json!({"name": name("person"), "parent_id": company}),
            )
            .await?;
        fixtures.set("company.id", company);
        let desk = self
            .create(
                "res.partner",
                json!({"name": name("desk"), "parent_id": person}),
            )
            .await?;
        fixtures.set("desk.id", desk);
        fixtures.set("person.id", person);
        let others = self
            .create(
                "crm.lead",
                json!({
                    "name": name("of another"), "type": "opportunity", "user_id": admin,
                    "partner_id": person, "email_from": "conform@example.com"}),
            )
            .await?;
        fixtures.set("others_lead.id", others);
        let tag = self.create("crm.tag", json!({"name": name("tag")})).await?;
        fixtures.set("tag.id", tag);
        let category = self
            .create("res.partner.category", json!({"name": name("category")}))
            .await?;
        let listed = json!({"name": name("member"), "category_id": [[6, 0, [category]]]});
        let member = self.create("res.partner", listed).await?;
        let archived = json!([[category], {"active": false}]);
        self.call("res.partner.category", "write", archived, json!({}))
            .await?;
        fixtures.set("archived_category.id", category);
        fixtures.set("member.id", member);
        Ok(())
    }

    async fn messages(&mut self, fixtures: &mut Fixtures) -> Result<()> {
        let lead = fixtures.get("lead.id").cloned().unwrap_or_default();
        let post = async |made: &Self, body: &str, subtype: &str| -> Result<i64> {
            let named = json!({"body": body, "message_type": "comment", "subtype_xmlid": subtype});
            let posted = made
                .call("crm.lead", "message_post", json!([[lead]]), named)
                .await?;
            posted
                .as_i64()
                .or_else(|| posted.get(0)?.as_i64())
                .context("no message")
        };
        let comment = post(self, "conform", "mail.mt_comment").await?;
        fixtures.set("comment.id", comment);
        fixtures.set(
            "note.id",
            post(self, "conform, a note", "mail.mt_note").await?,
        );
        let named = json!({
            "body": "conform, a reply", "message_type": "comment", "subtype_xmlid": "mail.mt_comment",
            "parent_id": comment,
        });
        let reply = self
            .call("crm.lead", "message_post", json!([[lead]]), named)
            .await?;
        fixtures.set("reply.id", reply.get(0).cloned().unwrap_or(reply));
        let removed = post(self, "conform, removed", "mail.mt_comment").await?;
        match self.remove_message(removed).await {
            Ok(()) => fixtures.set("removed_message.id", removed),
            Err(why) => fixtures.lack("removed_message", format!("{why:#}")),
        }
        let others = fixtures.get("others_lead.id").cloned().unwrap_or_default();
        let named = json!({"body": "conform, elsewhere", "message_type": "comment", "subtype_xmlid": "mail.mt_comment"});
        let elsewhere = self
            .call("crm.lead", "message_post", json!([[others]]), named)
            .await?;
        fixtures.set(
            "others_message.id",
            elsewhere.get(0).cloned().unwrap_or(elsewhere),
        );
        fixtures.lack("personal", "it cannot be made over the API");
        // Another stage, and Odoo notes the change by itself.
        let read = self
            .call(
                "crm.lead",
                "read",
                json!([[lead], ["stage_id", "write_date"]]),
                json!({}),
            )
            .await?;
        let stage = read.pointer("/0/stage_id/0").cloned().unwrap_or_default();
        if let Some(other) = self
            .first("crm.stage", json!([["id", "!=", stage]]))
            .await?
        {
            self.call(
                "crm.lead",
                "write",
                json!([[lead], {"stage_id": other}]),
                json!({}),
            )
            .await?;
            let domain = json!([
                ["model", "=", "crm.lead"],
                ["res_id", "=", lead],
                ["tracking_value_ids", "!=", false]
            ]);
            let found = self
                .call(
                    "mail.message",
                    "search_read",
                    json!([domain, ["tracking_value_ids"]]),
                    json!({}),
                )
                .await?;
            if let (Some(message), Some(value)) = (
                found.pointer("/0/id"),
                found.pointer("/0/tracking_value_ids/0"),
            ) {
                fixtures.set("change.id", message.clone());
                fixtures.set("tracking.id", value.clone());
            }
        }
        let read = self
            .call(
                "crm.lead",
                "read",
                json!([[lead], ["write_date"]]),
                json!({}),
            )
            .await?;
        fixtures.set(
            "lead.write_date",
            read.pointer("/0/write_date").cloned().unwrap_or_default(),
        );
        let written = fixtures.text("lead.write_date");
        let day = written.split(' ').next().unwrap_or_default();
        fixtures.set("lead.day", day);
        Ok(())
    }

    /// Deletes a message as its author does on the screen.
    async fn remove_message(&self, id: i64) -> Result<()> {
        use crate::conversation::Target;
        let params = if self.odoo.version >= 19 {
            json!({"message_id": id, "update_data": {"body": "", "attachment_ids": []}})
        } else {
            json!({"message_id": id, "body": "", "attachment_ids": []})
        };
        let step = crate::table::Step {
            http: Some("POST /mail/message/update_content".to_owned()),
            json: Some(json!({"jsonrpc": "2.0", "params": params})),
            ..Default::default()
        };
        match self.odoo.ask(ADMIN, &step).await? {
            Ok(crate::conversation::Came::Http(answer)) => {
                let body = answer.json().unwrap_or_default();
                if answer.status != 200 || body.get("error").is_some() {
                    bail!(
                        "this Odoo has no way to delete a message on the screen (HTTP {})",
                        answer.status
                    );
                }
                Ok(())
            }
            Ok(other) => bail!("{other:?}"),
            Err(why) => bail!(why),
        }
    }

    async fn files(&mut self, fixtures: &mut Fixtures) -> Result<()> {
        let lead = fixtures.get("lead.id").cloned().unwrap_or_default();
        let others = fixtures.get("others_lead.id").cloned().unwrap_or_default();
        let person = fixtures.get("person.id").cloned().unwrap_or_default();
        let (binary, long) = (pattern_bytes(1000), pattern_bytes(1500));
        let mut files = readable_files(&binary, &long, &others, &person);
        // Where there are invoices, files of one, which a salesman does not see.
        match self.first("account.move", json!([])).await {
            Ok(Some(id)) => {
                let closed = json!({"res_model": "account.move", "res_id": id});
                let public = json!({"res_model": "account.move", "res_id": id, "public": true});
                let (name, content) = ("conform closed.txt", b"of an invoice".as_slice());
                files.push(("closed_file", name, "text/plain", content, closed));
                files.push(("closed_public_file", name, "text/plain", content, public));
            }
            _ => {
                for name in ["closed_file", "closed_public_file"] {
                    fixtures.lack(name, "there is no invoice here");
                }
            }
        }
        for (name, called, mimetype) in BARE_NAMES {
            files.push((name, called, mimetype, b"%PDF-1.4 conform", json!({})));
        }
        match self.first("crm.stage", json!([])).await {
            Ok(Some(id)) => {
                let stage = json!({"res_model": "crm.stage", "res_id": id});
                let (name, content) = ("conform stage.pdf", b"%PDF-1.4 conform".as_slice());
                files.push(("stage_file", name, "application/pdf", content, stage));
            }
            _ => fixtures.lack("stage_file", "there is no stage here"),
        }
        for (name, called, mimetype, content, more) in files {
            let mut values = json!({"name": called, "res_model": "crm.lead", "res_id": lead});
            if let Value::Object(values) = &mut values {
                if !mimetype.is_empty() {
                    values.insert("mimetype".to_owned(), json!(mimetype));
                    values.insert("datas".to_owned(), json!(BASE64_STANDARD.encode(content)));
                }
                if let Value::Object(more) = more {
                    values.extend(more);
                    // Where the record is given as none, Odoo keeps 0.
                    values.retain(|_, value| !value.is_null());
                }
            }
            let id = self.create("ir.attachment", values).await?;
            fixtures.set(&format!("{name}.id"), id);
            fixtures.set(&format!("{name}.sha1"), hex(&Sha1::digest(content)));
            fixtures.set(&format!("{name}.size"), content.len());
        }
        Ok(())
    }

    /// Removes what was made; what is left, with the reason.
    pub(super) async fn remove(self) -> Vec<String> {
        let mut left = Vec::new();
        for (model, id) in self.rows.iter().rev() {
            let removed = match self.call(model, "unlink", json!([[id]]), json!({})).await {
                // Who has written something cannot be deleted everywhere.
                Err(_) if matches!(model.as_str(), "res.users" | "res.partner") => self
                    .call(model, "write", json!([[id], {"active": false}]), json!({}))
                    .await
                    .map(|_| left.push(format!("{model} {id} ({}), archived", self.prefix))),
                other => other.map(drop),
            };
            if let Err(why) = removed {
                left.push(format!("{model} {id} ({}): {why:#}", self.prefix));
            }
        }
        left
    }
}

/// A file: what it is called in the table, its name, type, content, and what else is to be set.
type File<'a> = (&'a str, &'a str, &'a str, &'a [u8], Value);

/// Files that the administrator reads.
#[expect(clippy::too_many_lines, reason = "one table")]
fn readable_files<'a>(
    binary: &'a [u8],
    long: &'a [u8],
    others: &Value,
    person: &Value,
) -> Vec<File<'a>> {
    vec![
        (
            "file",
            "conform.txt",
            "text/plain",
            b"conform, a text",
            json!({}),
        ),
        (
            "binary_file",
            "conform.bin",
            "application/x-conform",
            binary,
            json!({}),
        ),
        (
            "empty_file",
            "conform empty.txt",
            "text/plain",
            b"",
            json!({}),
        ),
        (
            "named_file",
            "conform ä/1.pdf",
            "application/pdf",
            b"%PDF-1.4 conform",
            json!({}),
        ),
        (
            "broken_name",
            "conform\r\n1.pdf",
            "application/pdf",
            b"%PDF-1.4 conform",
            json!({}),
        ),
        (
            "others_file",
            "conform other.txt",
            "text/plain",
            b"of another",
            json!({"res_id": others}),
        ),
        (
            "loose_file",
            "conform loose.txt",
            "text/plain",
            b"of nothing",
            json!({"res_model": null, "res_id": null}),
        ),
        (
            "public_file",
            "conform public.txt",
            "text/plain",
            b"for all",
            json!({"public": true}),
        ),
        (
            "url_file",
            "conform link",
            "",
            b"",
            json!({"type": "url", "url": "https://files.example.com/conform"}),
        ),
        (
            "drawing_file",
            "conform.svg",
            "image/svg+xml",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            json!({}),
        ),
        (
            "tiny_file",
            "conform tiny.txt",
            "text/plain",
            b"x",
            json!({}),
        ),
        (
            "accented_file",
            ACCENTED,
            "text/plain",
            b"accents",
            json!({}),
        ),
        (
            "long_file",
            "conform long.bin",
            "application/x-conform",
            long,
            json!({}),
        ),
        (
            "loose_public_file",
            "conform loose public.txt",
            "text/plain",
            b"of nothing",
            json!({"res_model": false, "res_id": false, "public": true}),
        ),
        (
            "others_public_file",
            "conform other public.txt",
            "text/plain",
            b"of another",
            json!({"res_id": others, "public": true}),
        ),
        (
            "public_field_file",
            "conform public.png",
            "image/png",
            b"a picture",
            json!({"res_model": "res.partner", "res_id": person, "res_field": "image_128", "public": true}),
        ),
    ]
}
