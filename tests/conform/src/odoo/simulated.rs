//! The simulated Odoo, furnished with what exchanges speak of.

use anyhow::Result;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use world::odoo::{Damage, EdgeCase, Limit, NewAttachment, Options, Role, User};

use super::{ACCENTED, Account, BARE_NAMES, Odoo};
use crate::conversation::{hex, pattern_bytes};
use crate::fixtures::Fixtures;
use crate::table::Caller;

/// What names begin with.
const PREFIX: &str = "conform";

fn user(uid: i64, login: &str, role: Role) -> User {
    User {
        uid,
        login: login.to_owned(),
        name: format!("{PREFIX} {login}"),
        password: Some(format!("{login}-password")),
        api_key: Some(format!("{login}-api-key")),
        role,
        two_factor: false,
    }
}

/// Who is asked for a second factor.
fn careful() -> User {
    User {
        two_factor: true,
        ..user(9, "careful", Role::Salesman)
    }
}

/// A simulated Odoo of this version, with one of the ways that few have or without, and what is in it.
pub(super) async fn furnished(
    version: u8,
    way: Option<&str>,
) -> Result<(world::odoo::Odoo, Odoo, Fixtures)> {
    let users = [
        (Caller::Administrator, User::administrator()),
        (Caller::Settings, user(7, "settings", Role::Administrator)),
        (
            Caller::SalesAdministrator,
            user(8, "sales", Role::SalesAdministrator),
        ),
        (Caller::Salesman, User::salesman()),
    ];
    let running = world::odoo::Odoo::start(Options {
        version,
        users: users
            .iter()
            .map(|(_, user)| user.clone())
            .chain([careful()])
            .collect(),
        login_cooldown: std::time::Duration::from_secs(1),
        x_sendfile: way == Some("x_sendfile"),
        limit: (way == Some("call_limit")).then_some(Limit {
            calls_per_second: 1,
            parallel_calls: 1,
        }),
        ..Options::default()
    })
    .await?;
    running.fill_pipeline(40);
    let mut odoo = Odoo::new(&running.url(), "odoo")?;
    odoo.version = version;
    for (caller, user) in users {
        let account = Account {
            login: user.login,
            uid: user.uid,
            password: user.password,
            key: user.api_key,
        };
        odoo.accounts.insert(caller, account);
    }
    let mut fixtures = Fixtures::default();
    fixtures.set("prefix", PREFIX);
    fixtures.set("simulated", true);
    fixtures.set("made", true);
    if let Some(way) = way {
        fixtures.set(way, true);
    }
    let careful = careful();
    fixtures.set("careful.uid", careful.uid);
    fixtures.set("careful.login", careful.login);
    fixtures.set("careful.password", careful.password);
    fixtures.set("careful.key", careful.api_key);
    records(&running, &mut fixtures);
    surprises(&running, &mut fixtures);
    files(&running, &mut fixtures);
    Ok((running, odoo, fixtures))
}

fn records(odoo: &world::odoo::Odoo, fixtures: &mut Fixtures) {
    let leads = odoo.records("crm.lead");
    let lead = |name: &str, more: Value| {
        let mut values = json!({"name": format!("{PREFIX} {name}"), "type": "opportunity", "user_id": 6, "stage_id": 1});
        if let (Value::Object(values), Value::Object(more)) = (&mut values, more) {
            values.extend(more);
        }
        leads.insert(values)
    };
    let id = lead(
        "lead",
        json!({"write_date": "2026-11-21 20:21:16.319", "expected_revenue": 1250.5}),
    );
    fixtures.set("lead.id", id);
    fixtures.set("lead.name", format!("{PREFIX} lead"));
    fixtures.set("lead.write_date", "2026-11-21 20:21:16");
    fixtures.set("lead.day", "2026-11-21");
    fixtures.set(
        "archived_lead.id",
        lead("archived", json!({"active": false})),
    );
    let others = lead(
        "of another",
        json!({"user_id": 2, "email_from": "conform@example.com"}),
    );
    leads.hide_from_salesmen([others]);
    fixtures.set("others_lead.id", others);
    let tag = odoo
        .records("crm.tag")
        .insert(json!({"name": format!("{PREFIX} tag")}));
    fixtures.set("tag.id", tag);
    let category = odoo
        .records("res.partner.category")
        .insert(json!({"name": format!("{PREFIX} category"), "active": false}));
    fixtures.set("archived_category.id", category);
    let member = odoo
        .records("res.partner")
        .insert(json!({"name": format!("{PREFIX} member"), "category_id": [category]}));
    fixtures.set("member.id", member);

    // Allowed to nobody.
    let other = odoo
        .records("res.company")
        .insert(json!({"name": "Chicago", "partner_id": 1}));
    fixtures.set("other_company.id", other);

    let partners = odoo.records("res.partner");
    let company = partners.insert(json!({"name": format!("{PREFIX} company"), "is_company": true}));
    let person = partners.insert(json!({"name": format!("{PREFIX} person"), "parent_id": company}));
    fixtures.set("company.id", company);
    fixtures.set("person.id", person);
    let desk = partners.insert(json!({"name": format!("{PREFIX} desk"), "parent_id": person}));
    fixtures.set("desk.id", desk);
    let follower = json!({"res_model": "crm.lead", "res_id": id, "partner_id": person});
    fixtures.set(
        "follower.id",
        odoo.records("mail.followers").insert(follower),
    );
    let activities = odoo.records("mail.activity");
    let activity = |lead| {
        activities.insert(
            json!({"res_model": "crm.lead", "res_id": lead, "summary": format!("{PREFIX} call")}),
        )
    };
    fixtures.set("activity.id", activity(id));
    let others_activity = activity(others);
    activities.hide_from_salesmen([others_activity]);
    fixtures.set("others_activity.id", others_activity);
    leads.update_quietly(others, &json!({"partner_id": person}));

    let messages = odoo.records("mail.message");
    let message = |more: Value| {
        let mut values = json!({
            "model": "crm.lead", "res_id": id, "record_name": format!("{PREFIX} lead"), "message_type": "comment",
            "subtype_id": 1, "author_id": 3, "body": "<p>conform</p>", "date": "2026-11-21 20:21:22.5",
        });
        if let (Value::Object(values), Value::Object(more)) = (&mut values, more) {
            values.extend(more);
        }
        messages.insert(values)
    };
    let comment = message(json!({}));
    fixtures.set("comment.id", comment);
    fixtures.set("note.id", message(json!({"subtype_id": 2})));
    fixtures.set("reply.id", message(json!({"parent_id": comment})));
    let others_message = message(json!({"res_id": others}));
    messages.hide_from_salesmen([others_message]);
    fixtures.set("others_message.id", others_message);
    // By their sequence stages come otherwise than by their id.
    odoo.records("crm.stage")
        .update_quietly(4, &json!({"sequence": 0}));
    let changed = message(json!({"message_type": "notification", "subtype_id": 6, "body": ""}));
    fixtures.set("change.id", changed);
    let stage = odoo.stage_change(changed);
    fixtures.set("tracking.id", stage);
    fixtures.set(
        "personal.id",
        message(json!({"message_type": "user_notification"})),
    );
    let removed = message(json!({}));
    odoo.delete_message(removed);
    fixtures.set("removed_message.id", removed);
    fixtures.set("subtype.note", 2);
    fixtures.set("subtype.comment", 1);
}

/// What few databases have, and no call makes.
fn surprises(odoo: &world::odoo::Odoo, fixtures: &mut Fixtures) {
    let messages = odoo.records("mail.message");
    let lead = fixtures.get("lead.id").cloned();
    let message = |more: Value| {
        let mut values = json!({"model": "crm.lead", "res_id": lead, "message_type": "comment", "subtype_id": 1});
        if let (Value::Object(values), Value::Object(more)) = (&mut values, more) {
            values.extend(more);
        }
        messages.insert(values)
    };
    let loose = message(json!({"model": false, "res_id": null}));
    fixtures.set("loose_message.id", loose);
    let nameless = message(json!({}));
    fixtures.set("nameless_message.id", nameless);
    let reply = message(json!({"parent_id": nameless}));
    fixtures.set("reply_to_nameless.id", reply);
    let midnight = message(json!({"date": "2026-11-21 00:00:00"}));
    fixtures.set("midnight_message.id", midnight);
    let orphan = message(json!({"model": "gone.model"}));
    messages.fail([orphan], true);
    fixtures.set("gone_model_message.id", orphan);
    let teams = odoo.records("crm.team");
    teams.add_field("x_conform", "many2many", Some("conform.model"));
    teams.fail_field(
        "x_conform",
        "You are not allowed to access 'conform' (conform.model) records.",
    );
    fixtures.set("unreadable_field", "x_conform");
    let kinds = json!([["lead", "Lead"], ["opportunity", "Opportunity"]]);
    odoo.records("crm.lead")
        .describe_field("type", "Type", &kinds);
}

fn files(odoo: &world::odoo::Odoo, fixtures: &mut Fixtures) {
    let attachments = odoo.attachments();
    let lead = fixtures.get("lead.id").and_then(Value::as_i64);
    let others = fixtures.get("others_lead.id").and_then(Value::as_i64);
    let person = fixtures.get("person.id").and_then(Value::as_i64);
    let mut file =
        |name: &str, called: &str, mimetype: &str, content: Vec<u8>, more: NewAttachment| {
            let (sha1, size) = (hex(&Sha1::digest(&content)), content.len());
            let id = attachments.insert(NewAttachment {
                name: Some(called.to_owned()),
                content: Some(content.into()),
                mimetype: Some(mimetype.to_owned()),
                res_model: more
                    .res_model
                    .clone()
                    .or_else(|| Some("crm.lead".to_owned())),
                res_id: more.res_id.or(lead),
                ..more
            });
            fixtures.set(&format!("{name}.id"), id);
            fixtures.set(&format!("{name}.sha1"), sha1);
            fixtures.set(&format!("{name}.size"), size);
            id
        };
    simple_files(&mut file);
    files_of_others(&mut file, others);
    more_files(&mut file);
    closed_files(&mut file, others, person);
    files_without_content(&mut file);
    typed_files(&mut file);
    for (name, edge_case) in [
        ("orphan_file", EdgeCase::RecordGone),
        ("gone_model_file", EdgeCase::ModelGone),
        ("unchecked_file", EdgeCase::Unchecked),
        ("undated_file", EdgeCase::Undated),
        ("hidden_file", EdgeCase::HiddenRecord),
    ] {
        file(
            name,
            "conform.bin",
            "application/octet-stream",
            pattern_bytes(1000),
            NewAttachment {
                edge_cases: vec![edge_case],
                ..NewAttachment::default()
            },
        );
    }
    for (name, damage) in [
        ("lost_file", Damage::Lost),
        ("truncated_file", Damage::Truncated),
        ("zeroed_file", Damage::Zeroed),
    ] {
        let id = file(
            name,
            "conform damaged.bin",
            "application/octet-stream",
            pattern_bytes(1000),
            NewAttachment::default(),
        );
        attachments.damage(id, Some(damage));
    }
    fixtures.set("truncated_file.stored", 500);
}

/// Makes a file: what it is called in the table, its name, type and content.
type File<'a> = dyn FnMut(&str, &str, &str, Vec<u8>, NewAttachment) -> i64 + 'a;

fn old_file() -> NewAttachment {
    NewAttachment {
        write_date: Some("2026-11-21 20:21:22".to_owned()),
        ..NewAttachment::default()
    }
}

/// Files of a lead that everybody reads.
fn simple_files(file: &mut File<'_>) {
    file(
        "file",
        "conform.txt",
        "text/plain",
        b"conform, a text".to_vec(),
        NewAttachment {
            write_date: Some("2026-11-21 20:21:22.359389".to_owned()),
            ..NewAttachment::default()
        },
    );
    file(
        "binary_file",
        "conform.bin",
        "application/octet-stream",
        pattern_bytes(1000),
        NewAttachment::default(),
    );
    file(
        "empty_file",
        "conform empty.txt",
        "text/plain",
        Vec::new(),
        NewAttachment::default(),
    );
    file(
        "named_file",
        "conform ä/1.pdf",
        "application/pdf",
        b"%PDF-1.4 conform".to_vec(),
        old_file(),
    );
    file(
        "broken_name",
        "conform\r\n1.pdf",
        "application/pdf",
        b"%PDF-1.4 conform".to_vec(),
        NewAttachment::default(),
    );
}

/// Files that not everybody reads.
fn files_of_others(file: &mut File<'_>, others: Option<i64>) {
    file(
        "others_file",
        "conform other.txt",
        "text/plain",
        b"of another".to_vec(),
        NewAttachment {
            res_id: others,
            edge_cases: vec![EdgeCase::OfAnother],
            ..NewAttachment::default()
        },
    );
    file(
        "loose_file",
        "conform loose.txt",
        "text/plain",
        b"of nothing".to_vec(),
        NewAttachment {
            res_model: Some("res.company".to_owned()),
            res_id: Some(0),
            ..NewAttachment::default()
        },
    );
    file(
        "public_file",
        "conform public.txt",
        "text/plain",
        b"for all".to_vec(),
        NewAttachment {
            edge_cases: vec![EdgeCase::Public],
            ..NewAttachment::default()
        },
    );
}

/// Files whose length or name matters.
fn more_files(file: &mut File<'_>) {
    file(
        "tiny_file",
        "conform tiny.txt",
        "text/plain",
        b"x".to_vec(),
        old_file(),
    );
    file(
        "accented_file",
        ACCENTED,
        "text/plain",
        b"accents".to_vec(),
        NewAttachment::default(),
    );
    file(
        "long_file",
        "conform long.bin",
        "application/octet-stream",
        pattern_bytes(1500),
        NewAttachment::default(),
    );
    file(
        "loose_public_file",
        "conform loose public.txt",
        "text/plain",
        b"of nothing".to_vec(),
        NewAttachment {
            res_model: Some("res.company".to_owned()),
            res_id: Some(0),
            edge_cases: vec![EdgeCase::Public],
            ..NewAttachment::default()
        },
    );
}

/// Files whose type matters, or where they lie.
fn typed_files(file: &mut File<'_>) {
    let drawing = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    file(
        "drawing_file",
        "conform.svg",
        "image/svg+xml",
        drawing,
        NewAttachment::default(),
    );
    let page = b"%PDF-1.4 conform".to_vec();
    for (name, called, mimetype) in BARE_NAMES {
        file(
            name,
            called,
            mimetype,
            page.clone(),
            NewAttachment::default(),
        );
    }
    let stage = NewAttachment {
        res_model: Some("crm.stage".to_owned()),
        res_id: Some(1),
        edge_cases: vec![EdgeCase::ReadOnly],
        ..NewAttachment::default()
    };
    file(
        "stage_file",
        "conform stage.pdf",
        "application/pdf",
        page.clone(),
        stage,
    );
    let cloud = NewAttachment {
        edge_cases: vec![EdgeCase::CloudStorage],
        ..NewAttachment::default()
    };
    file(
        "cloud_file",
        "conform cloud.pdf",
        "application/pdf",
        Vec::new(),
        cloud,
    );
}

/// Files of what a salesman does not read, and of a field.
fn closed_files(file: &mut File<'_>, others: Option<i64>, person: Option<i64>) {
    file(
        "others_public_file",
        "conform other public.txt",
        "text/plain",
        b"of another".to_vec(),
        NewAttachment {
            res_id: others,
            edge_cases: vec![EdgeCase::OfAnother, EdgeCase::Public],
            ..NewAttachment::default()
        },
    );
    for (name, edge_cases) in [
        ("closed_file", Vec::new()),
        ("closed_public_file", vec![EdgeCase::Public]),
    ] {
        file(
            name,
            "conform closed.txt",
            "text/plain",
            b"of an invoice".to_vec(),
            NewAttachment {
                res_model: Some("account.move".to_owned()),
                res_id: Some(1),
                edge_cases,
                ..NewAttachment::default()
            },
        );
    }
    file(
        "public_field_file",
        "conform public.png",
        "image/png",
        b"a picture".to_vec(),
        NewAttachment {
            res_model: Some("res.partner".to_owned()),
            res_id: person,
            res_field: Some("image_128".to_owned()),
            edge_cases: vec![EdgeCase::Public],
            ..NewAttachment::default()
        },
    );
}

/// A link, and the file of a field.
fn files_without_content(file: &mut File<'_>) {
    file(
        "url_file",
        "conform link",
        "application/octet-stream",
        Vec::new(),
        NewAttachment {
            edge_cases: vec![EdgeCase::Url],
            ..NewAttachment::default()
        },
    );
    file(
        "field_file",
        "image_128",
        "image/png",
        pattern_bytes(100),
        NewAttachment {
            res_model: Some("res.partner".to_owned()),
            res_id: Some(3),
            res_field: Some("image_128".to_owned()),
            ..NewAttachment::default()
        },
    );
}
