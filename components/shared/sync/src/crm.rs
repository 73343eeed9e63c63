//! The pipeline, as copied by `crm-sync`.
//!
//! A field renamed between Odoo 14 and 19 has one column; a column of a field that only one version has is null in
//! the others.

use ledger::pipeline;

use crate::entity::{column, made};
use crate::{Entity, Job, Scope};

/// The pipeline. Leads come after the records that they point to, and customers after the leads that refer to them.
pub static CRM: Job = Job {
    name: "crm-sync",
    variables: "crm",
    copies_chatter: false,
    entities: &[STAGES, TEAMS, TAGS, LOST_REASONS, USERS, LEADS, PARTNERS],
    missing_reads_changes: false,
};

const STAGES: Entity = Entity {
    name: "stages",
    model: "crm.stage",
    table: &pipeline::STAGES,
    scope: Scope::All,
    bulk: None,
    options: None,
    fields: &[
        column!("name", Text),
        column!("sequence", Integer),
        column!("is_won", Flag),
        column!("fold", Flag),
        column!("requirements", Text),
        // One team up to 18, several from 19.
        column!("team_ids", Links, "team_ids" | "team_id"),
    ],
};

const TEAMS: Entity = Entity {
    name: "teams",
    model: "crm.team",
    table: &pipeline::TEAMS,
    scope: Scope::All,
    bulk: None,
    options: None,
    fields: &[
        column!("name", Text),
        column!("active", Flag),
        column!("sequence", Integer),
        column!("user_id", Link),
        column!("member_ids", Links),
        column!("company_id", Link),
        column!("use_leads", Flag),
        column!("use_opportunities", Flag),
        column!("color", Integer),
    ],
};

const TAGS: Entity = Entity {
    name: "tags",
    model: "crm.tag",
    table: &pipeline::TAGS,
    scope: Scope::All,
    bulk: None,
    options: None,
    fields: &[column!("name", Text), column!("color", Integer)],
};

const LOST_REASONS: Entity = Entity {
    name: "lost_reasons",
    model: "crm.lost.reason",
    table: &pipeline::LOST_REASONS,
    scope: Scope::All,
    bulk: None,
    options: None,
    fields: &[column!("name", Text), column!("active", Flag)],
};

const USERS: Entity = Entity {
    name: "users",
    model: "res.users",
    table: &pipeline::USERS,
    scope: Scope::All,
    bulk: None,
    options: None,
    fields: &[
        column!("name", Text),
        column!("login", Text),
        column!("email", Text),
        column!("active", Flag),
        column!("share", Flag),
        column!("partner_id", Link),
        column!("company_id", Link),
        column!("sale_team_id", Link),
    ],
};

const LEADS: Entity = Entity {
    name: "leads",
    model: "crm.lead",
    table: &pipeline::LEADS,
    scope: Scope::All,
    bulk: Some("description"),
    options: None,
    fields: &[
        column!("name", Text),
        column!("type", Text),
        column!("active", Flag),
        column!("stage_id", Link),
        column!("team_id", Link),
        column!("user_id", Link),
        column!("partner_id", Link),
        column!("lost_reason_id", Link, "lost_reason_id" | "lost_reason"),
        column!("tag_ids", Links),
        column!("company_id", Link),
        column!("won_status", Text),
        column!("priority", Integer),
        column!("kanban_state", Text),
        column!("color", Integer),
        column!("probability", Number),
        column!("automated_probability", Number),
        column!(
            "expected_revenue",
            Number,
            "expected_revenue" | "planned_revenue"
        ),
        column!("prorated_revenue", Number),
        column!("recurring_revenue", Number),
        column!("recurring_plan_id", Link, "recurring_plan"),
        column!("currency_id", Link, "company_currency"),
        column!("partner_name", Text),
        column!("contact_name", Text),
        column!("email_from", Text),
        column!("email_cc", Text),
        column!("phone", Text),
        column!("mobile", Text),
        column!("website", Text),
        column!("function", Text),
        column!("street", Text),
        column!("street2", Text),
        column!("zip", Text),
        column!("city", Text),
        column!("state_id", Link),
        column!("country_id", Link),
        column!("description", Html),
        made!("description_html", Text),
        made!("description_text", Text),
        made!("description_omitted", Text),
        made!("inline_attachment_ids", Links),
        column!("referred", Text),
        column!("campaign_id", Link),
        column!("source_id", Link),
        column!("medium_id", Link),
        column!("date_deadline", Date),
        column!("date_open", Moment),
        column!("date_closed", Moment),
        column!("date_conversion", Moment),
        column!("date_last_stage_update", Moment),
        column!(
            "date_last_action",
            Moment,
            "date_automation_last" | "date_action_last"
        ),
        column!("day_open", Number),
        column!("day_close", Number),
        column!("create_uid", Link),
        column!("properties", Json, "lead_properties"),
    ],
};

const PARTNERS: Entity = Entity {
    name: "partners",
    model: "res.partner",
    table: &pipeline::PARTNERS,
    scope: Scope::Referred,
    bulk: Some("comment"),
    options: None,
    fields: &[
        column!("name", Text),
        column!("is_company", Flag),
        column!("parent_id", Link),
        column!("commercial_partner_id", Link),
        column!("company_name", Text),
        column!("type", Text),
        column!("active", Flag),
        column!("email", Text),
        column!("phone", Text),
        column!("mobile", Text),
        column!("website", Text),
        column!("function", Text),
        column!("street", Text),
        column!("street2", Text),
        column!("zip", Text),
        column!("city", Text),
        column!("state_id", Link),
        column!("country_id", Link),
        column!("vat", Text),
        column!("ref", Text),
        column!("lang", Text),
        column!("comment", Html),
        made!("comment_html", Text),
        made!("comment_text", Text),
        made!("comment_omitted", Text),
        made!("inline_attachment_ids", Links),
        column!("user_id", Link),
        column!("company_id", Link),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_column_of_a_table_has_its_field_and_every_field_its_column() {
        for entity in CRM.entities {
            let columns: BTreeSet<_> = entity.table.columns().collect();
            let fields: BTreeSet<_> = entity.fields.iter().map(|field| field.column).collect();
            assert_eq!(columns, fields, "{}", entity.name);
        }
    }

    #[test]
    fn entities_have_names_of_their_own() {
        let names: BTreeSet<_> = CRM.entities.iter().map(|entity| entity.name).collect();
        assert_eq!(names.len(), CRM.entities.len());
    }
}
