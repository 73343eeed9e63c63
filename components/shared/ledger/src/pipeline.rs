//! The tables of the pipeline and of all other models, as `sql/09_pipeline.sql` and `sql/09_models.sql`
//! create them.

use crate::table::{Kind, Table};

/// Stages.
pub static STAGES: Table = Table::new(
    "public.odoo_stages",
    "name sequence is_won fold requirements team_ids",
);

/// Teams.
pub static TEAMS: Table = Table::new(
    "public.odoo_teams",
    "name active sequence user_id member_ids company_id use_leads use_opportunities color",
);

/// Tags.
pub static TAGS: Table = Table::new("public.odoo_tags", "name color");

/// Reasons why leads were lost.
pub static LOST_REASONS: Table = Table::new("public.odoo_lost_reasons", "name active");

/// Users.
pub static USERS: Table = Table::new(
    "public.odoo_users",
    "name login email active share partner_id company_id sale_team_id",
);

/// Leads and opportunities. Writing them queues the customers they refer to.
pub static LEADS: Table = Table::new(
    "public.odoo_leads",
    "name type active stage_id team_id user_id partner_id lost_reason_id tag_ids company_id
     won_status priority kanban_state color probability automated_probability
     expected_revenue prorated_revenue recurring_revenue recurring_plan_id currency_id
     partner_name contact_name email_from email_cc phone mobile website function street
     street2 zip city state_id country_id description description_html description_text
     description_omitted inline_attachment_ids referred campaign_id source_id medium_id
     date_deadline date_open date_closed date_conversion date_last_stage_update
     date_last_action day_open day_close create_uid properties",
)
.references("partner_id")
.attachments("inline_attachment_ids");

/// Contacts and companies: all, or only those already in the table because a lead or a contact refers to
/// them.
pub static PARTNERS: Table = Table::new(
    "public.odoo_partners",
    "name is_company parent_id commercial_partner_id company_name type active email phone
     mobile website function street street2 zip city state_id country_id vat ref lang
     comment comment_html comment_text comment_omitted inline_attachment_ids user_id
     company_id",
)
.references("parent_id commercial_partner_id")
.attachments("inline_attachment_ids")
.kind(Kind::Referred);

/// Records of any other model, with all their fields in `data`.
pub static RECORDS: Table = Table::new("public.odoo_records", "model name inline_attachment_ids")
    .attachments("inline_attachment_ids")
    .kind(Kind::Shared);
