-- odoo-to-supabase, 9: the pipeline. Odoo's leads and what belongs to them, under names that stay the same
-- from Odoo 14 to 19, and views that a pipeline page reads as they are.
--
-- A many2one is stored as the id it points to, without a foreign key: rows arrive in any order, and
-- rows deleted in Odoo stay here with a deleted_at.

begin;

call odoo_sync.hold('public.odoo_pipeline', 'public.odoo_pipeline_stages', 'public.odoo_leads', 'public.odoo_stages', 'public.odoo_teams',
  'public.odoo_tags', 'public.odoo_lost_reasons', 'public.odoo_users', 'public.odoo_partners');

create table if not exists public.odoo_stages (
  id           bigint primary key,
  name         text,
  sequence     bigint,
  is_won       boolean,
  fold         boolean,
  requirements text,
  team_ids     bigint[],
  custom       jsonb not null default '{}',
  create_date  timestamptz,
  write_date   timestamptz,
  row_hash     text,
  synced_at    timestamptz not null default now(),
  deleted_at   timestamptz
);
alter table public.odoo_stages add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_stages is 'Stages of the pipeline (crm.stage). Written by crm-sync.';
comment on column public.odoo_stages.id is 'Odoo''s id.';
comment on column public.odoo_stages.name is 'Name.';
comment on column public.odoo_stages.sequence is 'Where it stands in the pipeline, lowest first.';
comment on column public.odoo_stages.is_won is 'Whether a lead in it is won.';
comment on column public.odoo_stages.fold is 'Whether it is shown folded.';
comment on column public.odoo_stages.requirements is 'What has to be done before a lead enters it.';
comment on column public.odoo_stages.team_ids is 'Teams it is for, in odoo_teams; empty: all. (One team up to Odoo 18, several from 19.)';
comment on column public.odoo_stages.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_stages.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_stages.create_date is 'When it was made in Odoo.';
comment on column public.odoo_stages.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_stages.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_stages.synced_at is 'When it was last written here.';
comment on column public.odoo_stages.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_stages', 'select, insert, update');

create table if not exists public.odoo_teams (
  id                bigint primary key,
  name              text,
  active            boolean,
  sequence          bigint,
  user_id           bigint,
  member_ids        bigint[],
  company_id        bigint,
  use_leads         boolean,
  use_opportunities boolean,
  color             bigint,
  custom            jsonb not null default '{}',
  create_date       timestamptz,
  write_date        timestamptz,
  row_hash          text,
  synced_at         timestamptz not null default now(),
  deleted_at        timestamptz
);
alter table public.odoo_teams add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_teams is 'Sales teams (crm.team). Written by crm-sync.';
comment on column public.odoo_teams.id is 'Odoo''s id.';
comment on column public.odoo_teams.name is 'Name.';
comment on column public.odoo_teams.active is 'False: archived.';
comment on column public.odoo_teams.sequence is 'Order, lowest first.';
comment on column public.odoo_teams.user_id is 'Its leader, in odoo_users.';
comment on column public.odoo_teams.member_ids is 'Its members, in odoo_users.';
comment on column public.odoo_teams.company_id is 'Company, in Odoo''s ids.';
comment on column public.odoo_teams.use_leads is 'Whether it works with leads.';
comment on column public.odoo_teams.use_opportunities is 'Whether it works with opportunities.';
comment on column public.odoo_teams.color is 'Number of its colour.';
comment on column public.odoo_teams.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_teams.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_teams.create_date is 'When it was made in Odoo.';
comment on column public.odoo_teams.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_teams.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_teams.synced_at is 'When it was last written here.';
comment on column public.odoo_teams.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_teams', 'select, insert, update');

create table if not exists public.odoo_tags (
  id          bigint primary key,
  name        text,
  color       bigint,
  custom      jsonb not null default '{}',
  create_date timestamptz,
  write_date  timestamptz,
  row_hash    text,
  synced_at   timestamptz not null default now(),
  deleted_at  timestamptz
);
alter table public.odoo_tags add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_tags is 'Tags of leads (crm.tag). Written by crm-sync.';
comment on column public.odoo_tags.id is 'Odoo''s id.';
comment on column public.odoo_tags.name is 'Name.';
comment on column public.odoo_tags.color is 'Number of its colour.';
comment on column public.odoo_tags.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_tags.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_tags.create_date is 'When it was made in Odoo.';
comment on column public.odoo_tags.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_tags.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_tags.synced_at is 'When it was last written here.';
comment on column public.odoo_tags.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_tags', 'select, insert, update');

create table if not exists public.odoo_lost_reasons (
  id          bigint primary key,
  name        text,
  active      boolean,
  custom      jsonb not null default '{}',
  create_date timestamptz,
  write_date  timestamptz,
  row_hash    text,
  synced_at   timestamptz not null default now(),
  deleted_at  timestamptz
);
alter table public.odoo_lost_reasons add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_lost_reasons is 'Why leads were lost (crm.lost.reason). Written by crm-sync.';
comment on column public.odoo_lost_reasons.id is 'Odoo''s id.';
comment on column public.odoo_lost_reasons.name is 'Reason.';
comment on column public.odoo_lost_reasons.active is 'False: archived.';
comment on column public.odoo_lost_reasons.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_lost_reasons.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_lost_reasons.create_date is 'When it was made in Odoo.';
comment on column public.odoo_lost_reasons.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_lost_reasons.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_lost_reasons.synced_at is 'When it was last written here.';
comment on column public.odoo_lost_reasons.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_lost_reasons', 'select, insert, update');

create table if not exists public.odoo_users (
  id           bigint primary key,
  name         text,
  login        text,
  email        text,
  active       boolean,
  share        boolean,
  partner_id   bigint,
  company_id   bigint,
  sale_team_id bigint,
  custom       jsonb not null default '{}',
  create_date  timestamptz,
  write_date   timestamptz,
  row_hash     text,
  synced_at    timestamptz not null default now(),
  deleted_at   timestamptz
);
alter table public.odoo_users add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_users is 'Users of Odoo (res.users). Written by crm-sync.';
comment on column public.odoo_users.id is 'Odoo''s id.';
comment on column public.odoo_users.name is 'Name.';
comment on column public.odoo_users.login is 'Login.';
comment on column public.odoo_users.email is 'E-mail address.';
comment on column public.odoo_users.active is 'False: archived.';
comment on column public.odoo_users.share is 'True: a customer with access to the portal, no colleague.';
comment on column public.odoo_users.partner_id is 'Contact, in Odoo''s ids.';
comment on column public.odoo_users.company_id is 'Company, in Odoo''s ids.';
comment on column public.odoo_users.sale_team_id is 'Team, in odoo_teams.';
comment on column public.odoo_users.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_users.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_users.create_date is 'When it was made in Odoo.';
comment on column public.odoo_users.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_users.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_users.synced_at is 'When it was last written here.';
comment on column public.odoo_users.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_users', 'select, insert, update');

create table if not exists public.odoo_partners (
  id                    bigint primary key,
  name                  text,
  is_company            boolean,
  parent_id             bigint,
  commercial_partner_id bigint,
  company_name          text,
  type                  text,
  active                boolean,
  email                 text,
  phone                 text,
  mobile                text,
  website               text,
  function              text,
  street                text,
  street2               text,
  zip                   text,
  city                  text,
  state_id              bigint,
  country_id            bigint,
  vat                   text,
  ref                   text,
  lang                  text,
  comment               text,
  user_id               bigint,
  company_id            bigint,
  custom                jsonb not null default '{}',
  create_date           timestamptz,
  write_date            timestamptz,
  row_hash              text,
  synced_at             timestamptz not null default now(),
  deleted_at            timestamptz
);
alter table public.odoo_partners
  add column if not exists comment_html text,
  add column if not exists comment_text text,
  add column if not exists comment_omitted text,
  add column if not exists inline_attachment_ids bigint[],
  add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_partners is 'Contacts and companies (res.partner): all of them, archived ones too, or (crm_partners) those that something copied refers to. Written by crm-sync.';
comment on column public.odoo_partners.id is 'Odoo''s id.';
comment on column public.odoo_partners.name is 'Name.';
comment on column public.odoo_partners.is_company is 'A company, and not a person.';
comment on column public.odoo_partners.parent_id is 'The company it belongs to, in this table.';
comment on column public.odoo_partners.commercial_partner_id is 'The company that does business, in this table; itself where it belongs to none.';
comment on column public.odoo_partners.company_name is 'Company as text, where it has no contact of its own.';
comment on column public.odoo_partners.type is 'contact, invoice, delivery, other, …';
comment on column public.odoo_partners.active is 'False: archived.';
comment on column public.odoo_partners.email is 'E-mail address.';
comment on column public.odoo_partners.phone is 'Telephone.';
comment on column public.odoo_partners.mobile is 'Mobile telephone; null from Odoo 19, which has no such field.';
comment on column public.odoo_partners.website is 'Web address.';
comment on column public.odoo_partners.function is 'Job title.';
comment on column public.odoo_partners.street is 'Street.';
comment on column public.odoo_partners.street2 is 'Second line of the street.';
comment on column public.odoo_partners.zip is 'Postcode.';
comment on column public.odoo_partners.city is 'City.';
comment on column public.odoo_partners.state_id is 'State, in Odoo''s ids.';
comment on column public.odoo_partners.country_id is 'Country, in Odoo''s ids.';
comment on column public.odoo_partners.vat is 'Tax number.';
comment on column public.odoo_partners.ref is 'Reference.';
comment on column public.odoo_partners.lang is 'Language, such as de_DE.';
comment on column public.odoo_partners.comment is 'Notes as Odoo has them (HTML from Odoo 15). Never show them: they may hold anything. Show comment_html.';
comment on column public.odoo_partners.comment_html is 'Notes as HTML that may be shown, of every version: no scripts, handlers, forms, frames or styles. Addresses as in body_html of odoo_messages.';
comment on column public.odoo_partners.comment_text is 'What the notes say, as plain text.';
comment on column public.odoo_partners.comment_omitted is 'Why there is no comment_html: too_large (over 2 MB), too_complex (over 6,000 tags).';
comment on column public.odoo_partners.inline_attachment_ids is 'Files that the HTML of this row refers to, in odoo_attachments.';
comment on column public.odoo_partners.user_id is 'Salesperson, in odoo_users.';
comment on column public.odoo_partners.company_id is 'Company it is kept for, in Odoo''s ids.';
comment on column public.odoo_partners.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_partners.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_partners.create_date is 'When it was made in Odoo.';
comment on column public.odoo_partners.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_partners.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes. Null: something refers to it, and it is not read yet.';
comment on column public.odoo_partners.synced_at is 'When it was last written here.';
comment on column public.odoo_partners.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_partners', 'select, insert, update');

create table if not exists public.odoo_leads (
  id                     bigint primary key,
  name                   text,
  type                   text,
  active                 boolean,
  stage_id               bigint,
  team_id                bigint,
  user_id                bigint,
  partner_id             bigint,
  lost_reason_id         bigint,
  tag_ids                bigint[],
  company_id             bigint,
  won_status             text,
  priority               bigint,
  kanban_state           text,
  color                  bigint,
  probability            double precision,
  automated_probability  double precision,
  expected_revenue       numeric,
  prorated_revenue       numeric,
  recurring_revenue      numeric,
  recurring_plan_id      bigint,
  currency_id            bigint,
  partner_name           text,
  contact_name           text,
  email_from             text,
  email_cc               text,
  phone                  text,
  mobile                 text,
  website                text,
  function               text,
  street                 text,
  street2                text,
  zip                    text,
  city                   text,
  state_id               bigint,
  country_id             bigint,
  description            text,
  referred               text,
  campaign_id            bigint,
  source_id              bigint,
  medium_id              bigint,
  date_deadline          date,
  date_open              timestamptz,
  date_closed            timestamptz,
  date_conversion        timestamptz,
  date_last_stage_update timestamptz,
  date_last_action       timestamptz,
  day_open               double precision,
  day_close              double precision,
  create_uid             bigint,
  properties             jsonb,
  custom                 jsonb not null default '{}',
  create_date            timestamptz,
  write_date             timestamptz,
  row_hash               text,
  synced_at              timestamptz not null default now(),
  deleted_at             timestamptz
);
alter table public.odoo_leads
  add column if not exists description_html text,
  add column if not exists description_text text,
  add column if not exists description_omitted text,
  add column if not exists inline_attachment_ids bigint[],
  add column if not exists custom_html jsonb not null default '{}';
comment on table public.odoo_leads is 'Leads and opportunities (crm.lead), archived and lost ones too. Written by crm-sync.';
comment on column public.odoo_leads.id is 'Odoo''s id.';
comment on column public.odoo_leads.name is 'Title.';
comment on column public.odoo_leads.type is 'lead or opportunity.';
comment on column public.odoo_leads.active is 'False: archived; lost leads are.';
comment on column public.odoo_leads.stage_id is 'Stage, in odoo_stages.';
comment on column public.odoo_leads.team_id is 'Team, in odoo_teams.';
comment on column public.odoo_leads.user_id is 'Salesperson, in odoo_users.';
comment on column public.odoo_leads.partner_id is 'Customer, in odoo_partners.';
comment on column public.odoo_leads.lost_reason_id is 'Why it was lost, in odoo_lost_reasons.';
comment on column public.odoo_leads.tag_ids is 'Tags, in odoo_tags.';
comment on column public.odoo_leads.company_id is 'Company, in Odoo''s ids.';
comment on column public.odoo_leads.won_status is 'won, lost or pending as Odoo 19 says; null before. odoo_pipeline.status says it for every version.';
comment on column public.odoo_leads.priority is '0 to 3 stars.';
comment on column public.odoo_leads.kanban_state is 'State of its next activity, up to Odoo 17.';
comment on column public.odoo_leads.color is 'Number of its colour.';
comment on column public.odoo_leads.probability is 'Chance to win it, in percent.';
comment on column public.odoo_leads.automated_probability is 'The same as computed by Odoo.';
comment on column public.odoo_leads.expected_revenue is 'Expected revenue, in the company''s currency.';
comment on column public.odoo_leads.prorated_revenue is 'Expected revenue times probability.';
comment on column public.odoo_leads.recurring_revenue is 'Recurring revenue of one recurring plan''s period.';
comment on column public.odoo_leads.recurring_plan_id is 'Recurring plan, in Odoo''s ids.';
comment on column public.odoo_leads.currency_id is 'Currency of the company, in Odoo''s ids.';
comment on column public.odoo_leads.partner_name is 'Company as text, where there is no customer yet.';
comment on column public.odoo_leads.contact_name is 'Contact as text.';
comment on column public.odoo_leads.email_from is 'E-mail address.';
comment on column public.odoo_leads.email_cc is 'Copies of e-mails go there.';
comment on column public.odoo_leads.phone is 'Telephone.';
comment on column public.odoo_leads.mobile is 'Mobile telephone; null from Odoo 19, which has no such field.';
comment on column public.odoo_leads.website is 'Web address.';
comment on column public.odoo_leads.function is 'Job title.';
comment on column public.odoo_leads.street is 'Street.';
comment on column public.odoo_leads.street2 is 'Second line of the street.';
comment on column public.odoo_leads.zip is 'Postcode.';
comment on column public.odoo_leads.city is 'City.';
comment on column public.odoo_leads.state_id is 'State, in Odoo''s ids.';
comment on column public.odoo_leads.country_id is 'Country, in Odoo''s ids.';
comment on column public.odoo_leads.description is 'Notes as Odoo has them (HTML from Odoo 15). Never show them: they may hold anything. Show description_html.';
comment on column public.odoo_leads.description_html is 'Notes as HTML that may be shown, of every version: no scripts, handlers, forms, frames or styles. Addresses as in body_html of odoo_messages.';
comment on column public.odoo_leads.description_text is 'What the notes say, as plain text.';
comment on column public.odoo_leads.description_omitted is 'Why there is no description_html: too_large (over 2 MB), too_complex (over 6,000 tags).';
comment on column public.odoo_leads.inline_attachment_ids is 'Files that the HTML of this row refers to, in odoo_attachments.';
comment on column public.odoo_leads.referred is 'Who referred it.';
comment on column public.odoo_leads.campaign_id is 'Campaign, in Odoo''s ids.';
comment on column public.odoo_leads.source_id is 'Source, in Odoo''s ids.';
comment on column public.odoo_leads.medium_id is 'Medium, in Odoo''s ids.';
comment on column public.odoo_leads.date_deadline is 'Expected closing.';
comment on column public.odoo_leads.date_open is 'When it was assigned.';
comment on column public.odoo_leads.date_closed is 'When it was closed.';
comment on column public.odoo_leads.date_conversion is 'When the lead became an opportunity.';
comment on column public.odoo_leads.date_last_stage_update is 'When it entered its stage.';
comment on column public.odoo_leads.date_last_action is 'When automated actions last looked at it (date_action_last up to 16, date_automation_last from 17).';
comment on column public.odoo_leads.day_open is 'Days until it was assigned.';
comment on column public.odoo_leads.day_close is 'Days until it was closed.';
comment on column public.odoo_leads.create_uid is 'Who made it, in odoo_users.';
comment on column public.odoo_leads.properties is 'Properties that people added to it in Odoo (lead_properties, from 16), as Odoo describes them. Never show one as HTML.';
comment on column public.odoo_leads.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_leads.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_leads.create_date is 'When it was made in Odoo.';
comment on column public.odoo_leads.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed probability, for one.';
comment on column public.odoo_leads.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_leads.synced_at is 'When it was last written here.';
comment on column public.odoo_leads.deleted_at is 'When it was found to be gone from Odoo (deleted, merged, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_leads', 'select, insert, update');
-- Indices for what a pipeline page asks for.
create index if not exists odoo_leads_by_stage on public.odoo_leads (stage_id) where deleted_at is null;
create index if not exists odoo_leads_by_user on public.odoo_leads (user_id) where deleted_at is null;
create index if not exists odoo_leads_by_partner on public.odoo_leads (partner_id);
create index if not exists odoo_partners_by_parent on public.odoo_partners (parent_id);
-- Rows that are still to be read. The index is small whatever the table's size.
create index if not exists odoo_partners_waiting on public.odoo_partners (id) where row_hash is null and deleted_at is null;

create or replace view public.odoo_pipeline with (security_invoker = true) as
  select l.id, l.name, l.type,
         case when s.is_won and l.active then 'won'
              when l.won_status = 'lost' or (not l.active and coalesce(l.probability, 0) = 0) then 'lost'
              when not l.active then 'archived'
              else 'open' end as status,
         l.stage_id, s.name as stage, s.sequence as stage_sequence,
         l.team_id, t.name as team,
         l.user_id, u.name as salesperson,
         l.partner_id, p.name as partner, coalesce(c.name, l.partner_name) as company,
         l.contact_name, l.email_from, coalesce(l.phone, l.mobile) as phone,
         l.expected_revenue, l.probability,
         round(l.expected_revenue * l.probability::numeric / 100, 2) as weighted_revenue,
         l.recurring_revenue, l.priority,
         array(select g.name from public.odoo_tags g where g.id = any (l.tag_ids) order by g.name) as tags,
         r.name as lost_reason,
         l.date_deadline, l.date_closed, l.date_last_stage_update, l.create_date, l.write_date, l.custom,
         l.description_html, l.description_text, l.custom_html,
         l.company_id, n1.name as own_company, l.currency_id, n2.name as currency, l.recurring_plan_id, n3.name as recurring_plan,
         l.country_id, n4.name as country, l.state_id, n5.name as state, l.source_id, n6.name as source,
         l.medium_id, n7.name as medium, l.campaign_id, n8.name as campaign
    from public.odoo_leads l
    left join public.odoo_stages s on s.id = l.stage_id
    left join public.odoo_teams t on t.id = l.team_id
    left join public.odoo_users u on u.id = l.user_id
    left join public.odoo_partners p on p.id = l.partner_id
    left join public.odoo_partners c on c.id = p.commercial_partner_id and c.is_company
    left join public.odoo_lost_reasons r on r.id = l.lost_reason_id
    left join public.odoo_names n1 on n1.model = 'res.company' and n1.id = l.company_id
    left join public.odoo_names n2 on n2.model = 'res.currency' and n2.id = l.currency_id
    left join public.odoo_names n3 on n3.model = 'crm.recurring.plan' and n3.id = l.recurring_plan_id
    left join public.odoo_names n4 on n4.model = 'res.country' and n4.id = l.country_id
    left join public.odoo_names n5 on n5.model = 'res.country.state' and n5.id = l.state_id
    left join public.odoo_names n6 on n6.model = 'utm.source' and n6.id = l.source_id
    left join public.odoo_names n7 on n7.model = 'utm.medium' and n7.id = l.medium_id
    left join public.odoo_names n8 on n8.model = 'utm.campaign' and n8.id = l.campaign_id
   where l.deleted_at is null;
comment on view public.odoo_pipeline is 'Leads and opportunities with their names joined; deleted ones are left out. status: open, won, lost or archived, for every version of Odoo.';

comment on column public.odoo_pipeline.stage is 'Name of its stage.';
comment on column public.odoo_pipeline.stage_sequence is 'Place of its stage among the stages.';
comment on column public.odoo_pipeline.team is 'Name of its sales team.';
comment on column public.odoo_pipeline.salesperson is 'Name of its salesperson.';
comment on column public.odoo_pipeline.partner is 'Name of its contact.';
comment on column public.odoo_pipeline.lost_reason is 'Why it was lost, in words.';
comment on column public.odoo_pipeline.status is 'open, won, lost or archived.';
comment on column public.odoo_pipeline.company is 'The customer''s company, or its name as text.';
comment on column public.odoo_pipeline.weighted_revenue is 'Expected revenue times probability.';
comment on column public.odoo_pipeline.own_company is 'Name of the company of yours that it belongs to (company_id).';
comment on column public.odoo_pipeline.currency is 'Name of the currency of its amounts (currency_id).';
comment on column public.odoo_pipeline.recurring_plan is 'Name of its recurring plan.';
comment on column public.odoo_pipeline.country is 'Name of its country.';
comment on column public.odoo_pipeline.state is 'Name of its state.';
comment on column public.odoo_pipeline.source is 'Name of its source.';
comment on column public.odoo_pipeline.medium is 'Name of its medium.';
comment on column public.odoo_pipeline.campaign is 'Name of its campaign.';
comment on column public.odoo_pipeline.tags is 'Names of its tags.';
comment on column public.odoo_pipeline.custom is 'Every other stored field, as in odoo_leads. Never show one as HTML: show custom_html.';
comment on column public.odoo_pipeline.description_html is 'Notes as HTML that may be shown.';
comment on column public.odoo_pipeline.description_text is 'Notes as plain text.';
comment on column public.odoo_pipeline.custom_html is 'Fields in custom with HTML, as it may be shown.';

-- Amounts of several currencies have no sum.
create or replace view public.odoo_pipeline_stages with (security_invoker = true) as
  select s.id as stage_id, s.name as stage, s.sequence, s.is_won, s.fold,
         coalesce(a.leads, 0) as leads,
         case when coalesce(a.currencies, 0) < 2 then coalesce(a.expected_revenue, 0) end as expected_revenue,
         case when coalesce(a.currencies, 0) < 2 then coalesce(a.weighted_revenue, 0) end as weighted_revenue,
         case when a.currencies = 1 then a.currency_id end as currency_id,
         case when a.currencies = 1 then a.currency end as currency,
         coalesce(a.amounts, '[]') as amounts
    from public.odoo_stages s
    left join (
      select p.stage_id, sum(p.leads)::bigint as leads, sum(p.expected_revenue) as expected_revenue, sum(p.weighted_revenue) as weighted_revenue,
             count(distinct coalesce(p.currency_id, 0)) as currencies, max(p.currency_id) as currency_id, max(p.currency) as currency,
             jsonb_agg(jsonb_build_object('company_id', p.company_id, 'own_company', p.own_company, 'currency_id', p.currency_id,
               'currency', p.currency, 'leads', p.leads, 'expected_revenue', p.expected_revenue, 'weighted_revenue', p.weighted_revenue)
               order by p.company_id nulls last, p.currency_id nulls last) as amounts
        from (
          select l.stage_id, l.company_id, c.name as own_company, l.currency_id, m.name as currency, count(*) as leads,
                 coalesce(sum(l.expected_revenue), 0) as expected_revenue,
                 coalesce(sum(round(l.expected_revenue * l.probability::numeric / 100, 2)), 0) as weighted_revenue
            from public.odoo_leads l
            left join public.odoo_names c on c.model = 'res.company' and c.id = l.company_id
            left join public.odoo_names m on m.model = 'res.currency' and m.id = l.currency_id
           where l.deleted_at is null and l.active and l.type = 'opportunity'
           group by 1, 2, 3, 4, 5) p
       group by p.stage_id) a on a.stage_id = s.id
   where s.deleted_at is null;
comment on view public.odoo_pipeline_stages is 'The stages in their order (by sequence) with the active opportunities in each: how many, and what they are worth.';

comment on column public.odoo_pipeline_stages.stage is 'Name of the stage.';
comment on column public.odoo_pipeline_stages.leads is 'Active opportunities in it.';
comment on column public.odoo_pipeline_stages.expected_revenue is 'What they are worth; null where they are of several currencies: see amounts.';
comment on column public.odoo_pipeline_stages.weighted_revenue is 'The same, times their probabilities.';
comment on column public.odoo_pipeline_stages.currency_id is 'The currency of these, in Odoo''s ids; null where there are several.';
comment on column public.odoo_pipeline_stages.currency is 'Its name.';
comment on column public.odoo_pipeline_stages.amounts is 'The same by company and currency: company_id, own_company, currency_id, currency, leads, expected_revenue, weighted_revenue.';

-- Supabase grants every new view of schema public to its API's roles. Whoever may select still
-- sees only what the tables' own policies let through.
revoke all on public.odoo_pipeline, public.odoo_pipeline_stages from public, anon, authenticated, odoo_sync;
grant select on public.odoo_pipeline, public.odoo_pipeline_stages to authenticated, service_role;

commit;
