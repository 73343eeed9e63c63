//! The tables of the pipeline and of all other models, as `sql/09_pipeline.sql` and `sql/09_models.sql`
//! create them.

use crate::table::table;

table! {
    /// Stages.
    STAGES = "public.odoo_stages" [name sequence is_won fold requirements team_ids]
}

table! {
    /// Teams.
    TEAMS = "public.odoo_teams" [
        name active sequence user_id member_ids company_id use_leads use_opportunities color
    ]
}

table! {
    /// Tags.
    TAGS = "public.odoo_tags" [name color]
}

table! {
    /// Reasons why leads were lost.
    LOST_REASONS = "public.odoo_lost_reasons" [name active]
}

table! {
    /// Users.
    USERS = "public.odoo_users" [name login email active share partner_id company_id sale_team_id]
}

table! {
    /// Leads and opportunities. Writing them queues the customers they refer to.
    LEADS = "public.odoo_leads" [
        name type active stage_id team_id user_id partner_id lost_reason_id tag_ids company_id won_status
        priority kanban_state color probability automated_probability expected_revenue prorated_revenue
        recurring_revenue recurring_plan_id currency_id partner_name contact_name email_from email_cc phone
        mobile website function street street2 zip city state_id country_id description
        description_html description_text description_omitted inline_attachment_ids referred campaign_id
        source_id medium_id date_deadline date_open date_closed date_conversion date_last_stage_update
        date_last_action day_open day_close create_uid properties
    ],
    refers to "public.odoo_partners" by [partner_id],
    attaches [inline_attachment_ids]
}

table! {
    /// Contacts and companies: all, or only those already in the table because a lead or a contact refers to
    /// them.
    PARTNERS = "public.odoo_partners" [
        name is_company parent_id commercial_partner_id company_name type active email phone mobile website
        function street street2 zip city state_id country_id vat ref lang comment
        comment_html comment_text comment_omitted inline_attachment_ids user_id company_id
    ],
    wanted "(not ($1::jsonb->>'referred')::boolean or exists (select from public.odoo_partners k where k.id = p.id))",
    refers to "public.odoo_partners" by [parent_id commercial_partner_id],
    attaches [inline_attachment_ids]
}

table! {
    /// Records of any other model, with all their fields in `data`.
    RECORDS = "public.odoo_records" [model name inline_attachment_ids],
    attaches [inline_attachment_ids],
    shared by model,
    rest data html
}
