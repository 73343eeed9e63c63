//! What a database has before anybody did anything.

use serde_json::{Value, json};

use super::User;
use super::records::Store;

/// What a fresh database has: the company, its users, and the kinds of messages.
pub(crate) fn furnish(store: &Store, users: &[User]) {
    store.records("res.partner").insert_many([
        json!({"id": 1, "name": "YourCompany", "is_company": true, "email": "info@yourcompany.example.com"}),
        json!({"id": 3, "name": "Mitchell Admin", "parent_id": 1, "email": "admin@yourcompany.example.com"}),
    ]);
    store
        .records("res.company")
        .insert(json!({"id": 1, "name": "YourCompany", "partner_id": 1}));
    for user in users {
        let partner = match user.uid {
            2 => 3,
            _ => store
                .records("res.partner")
                .insert(json!({"name": user.name, "parent_id": 1})),
        };
        store.records("res.users").insert(json!({
            "id": user.uid, "name": user.name, "login": user.login, "partner_id": partner, "company_id": [1, "YourCompany"],
            "company_ids": [1],
        }));
        if user.api_key.is_some() {
            let keys = store.records("res.users.apikeys");
            keys.insert(json!({"name": "sync", "user_id": user.uid}));
        }
    }
    for (model, records) in dictionaries() {
        store.records(model).insert_many(records);
    }
    let labels = [
        ("crm.lead", "Lead/Opportunity"),
        ("crm.stage", "CRM Stages"),
        ("mail.activity", "Activity"),
        ("res.country", "Country"),
        ("res.partner", "Contact"),
        ("sale.order", "Sales Order"),
    ];
    let labels = labels.map(|(model, name)| json!({"model": model, "name": name, "state": "base"}));
    store.records("ir.model").insert_many(labels);
    let subtypes = [
        (1, "Discussions", "mail", "mt_comment"),
        (2, "Note", "mail", "mt_note"),
        (3, "Activities", "mail", "mt_activities"),
        (5, "Opportunity Created", "crm", "mt_lead_create"),
        (6, "Stage Changed", "crm", "mt_lead_stage"),
        (7, "Opportunity Won", "crm", "mt_lead_won"),
        (8, "Opportunity Lost", "crm", "mt_lead_lost"),
    ];
    for (id, name, module, xmlid) in subtypes {
        store
            .records("mail.message.subtype")
            .insert(json!({"id": id, "name": name, "internal": matches!(xmlid, "mt_note" | "mt_activities")}));
        store.records("ir.model.data").insert(json!({
            "module": module, "name": xmlid, "model": "mail.message.subtype", "res_id": id, "noupdate": true,
            "complete_name": format!("{module}.{xmlid}"), "reference": format!("mail.message.subtype,{id}"),
        }));
    }
}

/// What other records point to. Ids are far from those that tests choose.
fn dictionaries() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (
            "res.currency",
            vec![
                json!({"id": 901, "name": "CHF", "symbol": "Fr.", "rounding": 0.01, "position": "before"}),
                json!({"id": 902, "name": "XPF", "symbol": "F", "rounding": 1.0, "active": false}),
            ],
        ),
        (
            "res.country",
            vec![
                json!({"id": 901, "name": "Switzerland", "code": "CH", "phone_code": 41, "currency_id": 901}),
            ],
        ),
        (
            "res.country.state",
            vec![json!({"id": 901, "name": "Vaud", "code": "VD", "country_id": 901})],
        ),
        ("utm.medium", vec![json!({"id": 901, "name": "Phone"})]),
        (
            "crm.recurring.plan",
            vec![json!({"id": 901, "name": "Monthly", "number_of_months": 1})],
        ),
        (
            "mail.activity.type",
            vec![
                json!({"id": 901, "name": "Call", "delay_count": 2, "delay_unit": "days", "delay_from": "previous_activity"}),
            ],
        ),
        (
            "res.partner.industry",
            vec![json!({"id": 901, "name": "Construction", "full_name": "F - CONSTRUCTION"})],
        ),
    ]
}
