-- odoo-to-supabase, 10: the chatter. What was said and done at the records of the pipeline: messages, notes,
-- e-mails and field changes, with the archive's files linked, and a view that a timeline reads as it is.

begin;

call odoo_sync.hold('public.odoo_chatter', 'public.odoo_messages', 'public.odoo_field_changes', 'odoo_sync.wanted_attachments', 'odoo_sync.wanted_changes');

create table if not exists public.odoo_messages (
  id                    bigint primary key,
  model                 text,
  res_id                bigint,
  date                  timestamptz,
  author_id             bigint,
  email_from            text,
  subject               text,
  body                  text,
  body_html             text,
  body_text             text,
  body_omitted          text,
  kind                  text,
  activity_type         text,
  message_type          text,
  subtype_id            bigint,
  subtype               text,
  is_internal           boolean,
  is_internal_flag      boolean,
  parent_id             bigint,
  attachment_ids        bigint[],
  inline_attachment_ids bigint[],
  email_id              text,
  custom                jsonb not null default '{}',
  create_date           timestamptz,
  write_date            timestamptz,
  row_hash              text,
  synced_at             timestamptz not null default now(),
  deleted_at            timestamptz,
  -- A tsvector has at most 1 MB; the first 100,000 characters always fit.
  search                tsvector generated always as (
    to_tsvector('simple', left(coalesce(subject, ''), 1000) || ' ' || left(coalesce(body_text, ''), 100000))) stored
);
alter table public.odoo_messages
  add column if not exists is_internal_flag boolean,
  add column if not exists activity_type text,
  add column if not exists reply_to text,
  add column if not exists recipient_ids bigint[],
  add column if not exists email_to text,
  add column if not exists email_cc text,
  add column if not exists company_id bigint,
  add column if not exists notifications jsonb,
  add column if not exists reactions jsonb,
  add column if not exists withdrawn_at timestamptz,
  add column if not exists lost_parent_id bigint,
  add column if not exists withdrawn_attachment_ids bigint[],
  add column if not exists custom_html jsonb not null default '{}';
-- Up to version 0.1, is_internal was Odoo's own flag, which notes of users do not have. They are corrected here; other
-- internal messages are corrected when the next run reads them again.
update public.odoo_messages set is_internal = true
 where is_internal is distinct from true and is_internal_flag is null
   and (subtype_id is null or subtype in ('mail.mt_note', 'mail.mt_activities') or kind = 'note');
comment on table public.odoo_messages is 'Messages, notes and e-mails (mail.message) of the pipeline. Written by chatter-sync.';
comment on column public.odoo_messages.id is 'Odoo''s id.';
comment on column public.odoo_messages.model is 'Model of the record it belongs to, such as crm.lead.';
comment on column public.odoo_messages.res_id is 'Id of that record; of crm.lead: in odoo_leads.';
comment on column public.odoo_messages.date is 'When it was said.';
comment on column public.odoo_messages.author_id is 'Who said it, in odoo_partners; null for a stranger, whom email_from names.';
comment on column public.odoo_messages.email_from is 'Name and address of the author.';
comment on column public.odoo_messages.subject is 'Subject.';
comment on column public.odoo_messages.body is 'HTML as Odoo has it. Never show it: it may hold anything. Show body_html.';
comment on column public.odoo_messages.body_html is 'HTML that may be shown: no scripts, handlers, forms, frames or styles. odoo-attachment:<id> in src or href is a file of odoo_attachments: put its signed address there; odoo-record:<model>/<id> in href is a record of Odoo; remote-image:https://… in src is a picture of another server, where remote_images is held: put its address there if a reader wants it.';
comment on column public.odoo_messages.body_text is 'What it says, as plain text.';
comment on column public.odoo_messages.body_omitted is 'Why there is no body: too_large (over 2 MB, nothing of it is here), too_complex (over 6,000 tags: no body_html).';
comment on column public.odoo_messages.kind is 'note, message, email, sms, activity (one that was done, with its feedback), change (of a stage or another field; won, lost with the comment, created) or system (what Odoo writes by itself). Whether colleagues only may see it says is_internal.';
comment on column public.odoo_messages.activity_type is 'Type of the activity that was done, such as Call or Meeting.';
comment on column public.odoo_messages.message_type is 'Odoo''s message_type: comment, notification, email, …';
comment on column public.odoo_messages.subtype_id is 'Subtype, in Odoo''s ids.';
comment on column public.odoo_messages.subtype is 'Its external id, such as mail.mt_note or crm.mt_lead_won, which no translation changes.';
comment on column public.odoo_messages.is_internal is 'For colleagues only, as Odoo decides it: flagged so, of a subtype that is internal (a note, an activity), or of none. Filter on it before you show a message to anybody else.';
comment on column public.odoo_messages.is_internal_flag is 'Odoo''s own is_internal, which is not set on notes that people write: is_internal is what counts.';
comment on column public.odoo_messages.parent_id is 'The message it answers: in this table, or one of another model or hidden from the key, of which only the id is known.';
comment on column public.odoo_messages.lost_parent_id is 'The message it answered until that was deleted: Odoo forgets whose answer it was, and this copy does not.';
comment on column public.odoo_messages.attachment_ids is 'Its files, in odoo_attachments. One that is missing there is gone from Odoo, or hidden from the key.';
comment on column public.odoo_messages.withdrawn_attachment_ids is 'Files that it had and has no more in Odoo. What was archived of them is kept.';
comment on column public.odoo_messages.inline_attachment_ids is 'Files that its body_html refers to, in odoo_attachments.';
comment on column public.odoo_messages.email_id is 'Message-Id of the e-mail.';
comment on column public.odoo_messages.reply_to is 'Address that answers go to.';
comment on column public.odoo_messages.recipient_ids is 'Partners that it was addressed to, in Odoo''s ids.';
comment on column public.odoo_messages.email_to is 'Addresses that the e-mail went to (Odoo 19).';
comment on column public.odoo_messages.email_cc is 'Addresses that an e-mail came with in copy (Odoo 19).';
comment on column public.odoo_messages.company_id is 'Company, in Odoo''s ids (Odoo 17 and later).';
comment on column public.odoo_messages.notifications is 'Whom it was sent to and what became of it: a list of partner_id, email, type (email, inbox, sms), status (sent, bounce, exception, …), read, read_at, failure. Odoo forgets old ones; as of when the message was last read.';
comment on column public.odoo_messages.reactions is 'Reactions: a list of content (an emoji), partner_id, guest_id. Needs an Odoo user of the group Settings.';
comment on column public.odoo_messages.withdrawn_at is 'When its author or an administrator deleted it in Odoo, which keeps it without its text.';
comment on column public.odoo_messages.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_messages.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_messages.create_date is 'When it was made in Odoo.';
comment on column public.odoo_messages.write_date is 'When it was last written in Odoo, to the second.';
comment on column public.odoo_messages.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_messages.synced_at is 'When it was last written here.';
comment on column public.odoo_messages.deleted_at is 'When it was found to be gone from Odoo (deleted, or hidden from the key). The row is kept.';
comment on column public.odoo_messages.search is 'Words of subject and text as version 0.3 kept them. Ask public.search_odoo(), which goes by an index, by the language of the setting, and for admins too.';
call odoo_sync.protect('public.odoo_messages', 'select, insert, update');
create index if not exists odoo_messages_by_record on public.odoo_messages (model, res_id, date desc);

-- When a message is deleted, Odoo forgets which messages answered it; when a file is, which messages had it.
create or replace function odoo_sync.keep_traces() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.lost_parent_id := case when new.parent_id is null then coalesce(old.parent_id, old.lost_parent_id) end;
  new.withdrawn_attachment_ids := (
    select array_agg(distinct f.id order by f.id) from unnest(old.attachment_ids || old.withdrawn_attachment_ids) f (id)
     where f.id <> all (coalesce(new.attachment_ids, '{}')));
  return new;
end
$$;
comment on function odoo_sync.keep_traces() is 'Keeps of a message what it answered and which files it had, when Odoo forgets it.';
revoke execute on function odoo_sync.keep_traces() from public;
create or replace trigger keep_traces before update on public.odoo_messages for each row
  when (new.parent_id is distinct from old.parent_id or new.attachment_ids is distinct from old.attachment_ids)
  execute function odoo_sync.keep_traces();

create table if not exists public.odoo_field_changes (
  id          bigint primary key,
  message_id  bigint,
  field       text,
  label       text,
  type        text,
  old         text,
  new         text,
  old_value   jsonb,
  new_value   jsonb,
  currency_id bigint,
  custom      jsonb not null default '{}',
  create_date timestamptz,
  write_date  timestamptz,
  row_hash    text,
  synced_at   timestamptz not null default now(),
  deleted_at  timestamptz
);
alter table public.odoo_field_changes
  add column if not exists custom_html jsonb not null default '{}',
  add column if not exists raw jsonb;
comment on table public.odoo_field_changes is 'Field changes (mail.tracking.value): which field, from what to what. Needs an Odoo user of the group Settings. Written by chatter-sync.';
comment on column public.odoo_field_changes.id is 'Odoo''s id.';
comment on column public.odoo_field_changes.message_id is 'The message that tells of it, in odoo_messages.';
comment on column public.odoo_field_changes.field is 'Name of the field, such as stage_id; of a property, the field that holds it.';
comment on column public.odoo_field_changes.label is 'Its label, such as Stage; of a property, both labels, such as Properties: Region.';
comment on column public.odoo_field_changes.type is 'Its type in Odoo, such as many2one; of a property, its own.';
comment on column public.odoo_field_changes.old is 'What it was, for people.';
comment on column public.odoo_field_changes.new is 'What it is since, for people.';
comment on column public.odoo_field_changes.old_value is 'What it was, as a value: a number, a text, true or false, a date; of a many2one {"id", "name"}.';
comment on column public.odoo_field_changes.new_value is 'What it is since, as a value.';
comment on column public.odoo_field_changes.raw is 'What Odoo has, by its names there (old_value_integer, new_value_char, field_info, …), but for what is empty: the columns above are made of it.';
comment on column public.odoo_field_changes.currency_id is 'Currency of an amount, in Odoo''s ids.';
comment on column public.odoo_field_changes.custom is 'Every other stored field, custom (x_…) or of a module, by its name in Odoo: odoo_fields tells what each is, odoo_names what an id stands for. Never show one as HTML: show custom_html.';
comment on column public.odoo_field_changes.custom_html is 'Of the fields in custom with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_field_changes.create_date is 'When it was made in Odoo.';
comment on column public.odoo_field_changes.write_date is 'When it was last written in Odoo, to the second.';
comment on column public.odoo_field_changes.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_field_changes.synced_at is 'When it was last written here.';
comment on column public.odoo_field_changes.deleted_at is 'When it was found to be gone from Odoo. The row is kept.';
call odoo_sync.protect('public.odoo_field_changes', 'select, insert, update');
create index if not exists odoo_field_changes_by_message on public.odoo_field_changes (message_id);

create table if not exists odoo_sync.wanted_attachments (
  id       bigint primary key,
  asked_at timestamptz
);
comment on table odoo_sync.wanted_attachments is 'Attachments that messages and records refer to and that the archive''s catalogue lacks; chatter-sync asks Odoo for them.';
comment on column odoo_sync.wanted_attachments.id is 'Odoo''s ir.attachment id.';
comment on column odoo_sync.wanted_attachments.asked_at is 'When Odoo was asked for it and had it not: deleted, or hidden from the key.';
call odoo_sync.protect('odoo_sync.wanted_attachments', 'select, insert, update, delete');
create index if not exists wanted_attachments_unasked on odoo_sync.wanted_attachments (id) where asked_at is null;
create index if not exists wanted_attachments_asked on odoo_sync.wanted_attachments (asked_at);
comment on column odoo_sync.wanted_attachments.asked_at is 'When Odoo was last asked for it and had it not: deleted, or hidden from the key. It is asked again after a day: a right may be given.';

create table if not exists odoo_sync.wanted_changes (
  message_id bigint primary key
);
comment on table odoo_sync.wanted_changes is 'Messages that were written here and whose field changes are still to be read; chatter-sync asks Odoo for them.';
comment on column odoo_sync.wanted_changes.message_id is 'The message, in odoo_messages.';
call odoo_sync.protect('odoo_sync.wanted_changes', 'select, insert, delete');

create or replace view public.odoo_chatter with (security_invoker = true) as
  select m.id, m.model, m.res_id, m.date, m.kind, m.subtype, m.is_internal, coalesce(m.parent_id, m.lost_parent_id) as parent_id,
         m.author_id,
         coalesce(p.name, nullif(btrim(split_part(m.email_from, '<', 1), ' "'), ''), m.email_from) as author,
         m.email_from, m.subject, m.body_html, m.body_text, m.body_omitted,
         (select coalesce(jsonb_agg(jsonb_build_object(
                   'id', f.id, 'inline', f.id = any (m.inline_attachment_ids), 'name', a.name, 'mimetype', a.mimetype,
                   'file_size', a.file_size, 'object_path', a.object_path,
                   'state', case when a.deleted_at is null and f.id <> all (coalesce(m.withdrawn_attachment_ids, '{}'))
                              then coalesce(a.state, 'gone') else 'gone' end)
                 order by f.id), '[]')
            from (select distinct unnest(m.attachment_ids || m.inline_attachment_ids || m.withdrawn_attachment_ids) as id) f
            left join public.odoo_attachments a on a.id = f.id) as attachments,
         (select coalesce(jsonb_agg(jsonb_build_object(
                   'field', c.field, 'label', c.label, 'type', c.type, 'old', c.old, 'new', c.new,
                   'old_value', c.old_value, 'new_value', c.new_value)
                 order by c.id), '[]')
            from public.odoo_field_changes c
           where c.message_id = m.id and c.deleted_at is null) as changes,
         m.search, m.activity_type, m.withdrawn_at, m.recipient_ids, m.notifications, m.reactions,
         case when m.parent_id is null then case when m.lost_parent_id is not null then 'deleted' end
              when parent.id is null then 'elsewhere'
              when parent.deleted_at is not null then 'deleted'
              when parent.withdrawn_at is not null then 'withdrawn'
              else 'here' end as parent_state,
         m.email_to, m.email_cc, m.reply_to, m.company_id
    from public.odoo_messages m
    left join public.odoo_partners p on p.id = m.author_id
    left join public.odoo_messages parent on parent.id = m.parent_id
   where m.deleted_at is null;
comment on view public.odoo_chatter is 'The timeline of a record (where model = ''crm.lead'' and res_id = …, order by date desc) with authors'' names, files and field changes; deleted messages are left out.';
comment on column public.odoo_chatter.author is 'Name of the author.';
comment on column public.odoo_chatter.attachments is 'Its files: id, inline, name, mimetype, file_size, state (as in odoo_attachments; gone where Odoo has it no more, or it was withdrawn from the message) and object_path in the bucket, which an archived file keeps.';
comment on column public.odoo_chatter.parent_id is 'The message it answers, also where that is deleted.';
comment on column public.odoo_chatter.parent_state is 'What is known of that: here, withdrawn (it lost its words), deleted, or elsewhere (a message of another model, or one that the key may not read). Null where it answers none.';
comment on column public.odoo_chatter.changes is 'Field changes: field, label, type, old, new, old_value, new_value.';

do $$
begin
  -- Supabase grants every new view of schema public to its API's roles. Whoever may select still
  -- sees only what the tables' own policies let through.
  revoke all on public.odoo_chatter from public, anon, authenticated, odoo_sync;
  grant select on public.odoo_chatter to authenticated, service_role;
end
$$;

-- The text search configuration: a copy of the one that the setting search_configuration names, which also ignores
-- accents if the extension unaccent is there. Indices and searches use it by this one name, so they always agree.
do $$
begin
  create schema if not exists extensions;
  create extension if not exists unaccent with schema extensions;
exception when others then
  raise notice 'extension unaccent could not be created (%): a search tells é from e until it is switched on in the dashboard under Database, Extensions, and these files are run again', sqlerrm;
end
$$;

create or replace function odoo_sync.make_words(configuration text) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  base oid := (select c.oid from pg_ts_config c join pg_namespace n on n.oid = c.cfgnamespace
                where c.cfgname = configuration and n.nspname in ('pg_catalog', 'public', 'extensions') order by n.nspname = 'pg_catalog' desc limit 1);
  accents text := (select format('%I.%I', n.nspname, d.dictname) from pg_ts_dict d join pg_namespace n on n.oid = d.dictnamespace
                    where d.dictname = 'unaccent' limit 1);
  made_of text := concat_ws(' ', configuration, 'without', case when accents is null then 'unaccent' else 'accents' end);
  ours oid := (select c.oid from pg_ts_config c where c.cfgname = 'words' and c.cfgnamespace = 'odoo_sync'::regnamespace);
  token record;
begin
  if base is null then
    raise exception 'there is no text search configuration %', configuration
      using hint = 'select cfgname from pg_ts_config lists them: simple takes words as they are, german, english, … by their stems.';
  end if;
  if ours is not null and obj_description(ours, 'pg_ts_config') is not distinct from made_of then
    return false;
  end if;
  if ours is null then
    create text search configuration odoo_sync.words (parser = pg_catalog."default");
    ours := (select c.oid from pg_ts_config c where c.cfgname = 'words' and c.cfgnamespace = 'odoo_sync'::regnamespace);
  end if;
  for token in
    select t.alias, exists (select from pg_ts_config_map m where m.mapcfg = ours and m.maptokentype = t.tokid) as is_mapped,
           (select string_agg(format('%I.%I', n.nspname, d.dictname), ', ' order by m.mapseqno)
              from pg_ts_config_map m join pg_ts_dict d on d.oid = m.mapdict join pg_namespace n on n.oid = d.dictnamespace
             where m.mapcfg = base and m.maptokentype = t.tokid) as dictionaries
      from ts_token_type('pg_catalog.default') t
  loop
    if token.is_mapped then
      execute format('alter text search configuration odoo_sync.words drop mapping for %I', token.alias);
    end if;
    if token.dictionaries is not null then
      execute format('alter text search configuration odoo_sync.words add mapping for %I with %s', token.alias,
        concat_ws(', ', case when token.alias in ('word', 'hword', 'hword_part') then accents end, token.dictionaries));
    end if;
  end loop;
  execute format('comment on text search configuration odoo_sync.words is %L', made_of);
  return true;
end
$$;
comment on function odoo_sync.make_words(text) is 'Creates the text search configuration odoo_sync.words from another one; returns whether it changed.';
select odoo_sync.make_words('simple')
 where not exists (select from pg_ts_config c where c.cfgname = 'words' and c.cfgnamespace = 'odoo_sync'::regnamespace);

-- The searched text of a lead, a contact and a message; the title weighs more. A tsvector has at most 1 MB: the first
-- 100,000 characters always fit.
create or replace function odoo_sync.words_of(title text, said text) returns tsvector
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select setweight(to_tsvector('odoo_sync.words', left(coalesce(title, ''), 1000)), 'A') || to_tsvector('odoo_sync.words', left(coalesce(said, ''), 100000))
  $$;
comment on function odoo_sync.words_of(text, text) is 'The words by which a row is found.';

create or replace function odoo_sync.said(variadic parts text[]) returns text
  language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
    select array_to_string(parts, E'\n')
  $$;
comment on function odoo_sync.said(text[]) is 'These texts, each on a line of its own, without nulls.';

-- Rebuilds the indices if the configuration has changed: an index keeps the words that it was built with.
create or replace function odoo_sync.make_search(configuration text) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if odoo_sync.make_words(configuration) then
    reindex index public.odoo_leads_words;
    reindex index public.odoo_partners_words;
    reindex index public.odoo_messages_words;
  end if;
end
$$;
comment on function odoo_sync.make_search(text) is 'Sets the text search configuration of public.search_odoo(), and rebuilds its indices; writes wait meanwhile.';

drop index if exists public.odoo_messages_search;
create index if not exists odoo_leads_words on public.odoo_leads using gin (odoo_sync.words_of(name,
  odoo_sync.said(partner_name, contact_name, email_from, email_cc, phone, mobile, website, city, referred, description_text)));
create index if not exists odoo_partners_words on public.odoo_partners using gin (odoo_sync.words_of(name,
  odoo_sync.said(company_name, email, phone, mobile, website, function, street, street2, zip, city, vat, ref, comment_text)));
create index if not exists odoo_messages_words on public.odoo_messages using gin (odoo_sync.words_of(subject, odoo_sync.said(email_from, body_text)));
select odoo_sync.make_search(coalesce(odoo_sync.setting('search_configuration') #>> '{}', 'simple'));

-- @@ is not leakproof, so under row-level security it looks only at rows that the policy has let
-- through, all of them one by one. Here the policy's question is asked once, and the indices do the rest.
create or replace function odoo_sync.search(words text, at_most integer, kinds text[])
  returns table (found_in text, id bigint, model text, res_id bigint, date timestamptz, kind text, title text, found text, rank real, is_internal boolean)
  language plpgsql stable rows 20 security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  wanted tsquery := websearch_to_tsquery('odoo_sync.words', words);
  most integer := least(greatest(coalesce(at_most, 20), 0), 100);
begin
  -- As with the tables: only admins see rows.
  if not odoo_sync.is_admin() then
    return;
  end if;
  -- Ranking reads all words of a row, so only the newest rows are ranked, and only the best of these get a snippet.
  return query
    with leads as (
      select l.id, l.write_date as date, l.name as title,
             odoo_sync.said(l.partner_name, l.contact_name, l.email_from, l.email_cc, l.phone, l.mobile, l.website, l.city, l.referred, l.description_text) as said
        from public.odoo_leads l
       where l.deleted_at is null and 'lead' = any (coalesce(kinds, '{lead}'))
         and odoo_sync.words_of(l.name,
           odoo_sync.said(l.partner_name, l.contact_name, l.email_from, l.email_cc, l.phone, l.mobile, l.website, l.city, l.referred, l.description_text)) @@ wanted
       order by l.write_date desc limit 1000
    ), partners as (
      select p.id, p.write_date as date, p.name as title,
             odoo_sync.said(p.company_name, p.email, p.phone, p.mobile, p.website, p.function, p.street, p.street2, p.zip, p.city, p.vat, p.ref, p.comment_text) as said
        from public.odoo_partners p
       where p.deleted_at is null and 'partner' = any (coalesce(kinds, '{partner}'))
         and odoo_sync.words_of(p.name,
           odoo_sync.said(p.company_name, p.email, p.phone, p.mobile, p.website, p.function, p.street, p.street2, p.zip, p.city, p.vat, p.ref, p.comment_text)) @@ wanted
       order by p.write_date desc limit 1000
    ), messages as (
      select m.id, m.model, m.res_id, m.date, m.kind, m.subject as title, odoo_sync.said(m.email_from, m.body_text) as said, m.body_text, m.is_internal
        from public.odoo_messages m
       where m.deleted_at is null and 'message' = any (coalesce(kinds, '{message}'))
         and odoo_sync.words_of(m.subject, odoo_sync.said(m.email_from, m.body_text)) @@ wanted
       order by m.date desc limit 1000
    ), best as (
      select a.*, ts_rank(odoo_sync.words_of(a.title, a.said), wanted) as rank
        from (select 'lead' as found_in, l.id, 'crm.lead' as model, l.id as res_id, l.date, null as kind, l.title, l.said, l.said as shown, null::boolean as is_internal
                from leads l
              union all
              select 'partner', p.id, 'res.partner', p.id, p.date, null, p.title, p.said, p.said, null from partners p
              union all
              select 'message', m.id, m.model, m.res_id, m.date, m.kind, m.title, m.said, m.body_text, m.is_internal from messages m) a
       order by rank desc, a.date desc, a.id desc limit most
    )
    select b.found_in, b.id, b.model, b.res_id, b.date, b.kind, b.title,
           ts_headline('odoo_sync.words', left(b.shown, 100000), wanted, 'StartSel=«, StopSel=»'), b.rank, b.is_internal
      from best b order by b.rank desc, b.date desc, b.id desc;
end
$$;
comment on function odoo_sync.search(text, integer, text[]) is 'What public.search_odoo() finds, for admins: with its owner''s rights, which nothing in schema public has.';

create or replace function public.search_odoo(words text, at_most integer default 20, kinds text[] default null)
  returns table (found_in text, id bigint, model text, res_id bigint, date timestamptz, kind text, title text, found text, rank real, is_internal boolean)
  language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select s.found_in, s.id, s.model, s.res_id, s.date, s.kind, s.title, s.found, s.rank, s.is_internal from odoo_sync.search(words, at_most, kinds) s
  $$;
comment on function public.search_odoo(text, integer, text[]) is 'Leads, contacts and messages (kinds: lead, partner, message; all by default) with these words (as a search engine takes them: "quoted", or, -without), the best of the newest 1,000 of each first, at most 100; found is plain text, its words between « and ». model and res_id say which record it is of. The setting search_configuration says how words are compared.';

do $$
begin
  -- Up to version 0.1 it did not return whether a message is internal.
  if pg_get_function_result(to_regprocedure('public.search_odoo_chatter(text, integer)')) !~ 'is_internal' then
    drop function public.search_odoo_chatter(text, integer);
  end if;
end
$$;
drop function if exists odoo_sync.search_chatter(text, integer);
create or replace function public.search_odoo_chatter(words text, at_most integer default 20)
  returns table (id bigint, model text, res_id bigint, date timestamptz, kind text, author text, subject text, found text, rank real, is_internal boolean)
  language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select s.id, s.model, s.res_id, s.date, s.kind, c.author, s.title, s.found, s.rank, s.is_internal
      from odoo_sync.search(words, at_most, '{message}') s join public.odoo_chatter c on c.id = s.id
     order by s.rank desc, s.date desc, s.id desc
  $$;
comment on function public.search_odoo_chatter(text, integer) is 'The messages among what public.search_odoo() finds, with their authors.';

do $$
declare
  routine text;
begin
  foreach routine in array array['odoo_sync.search(text, integer, text[])', 'public.search_odoo(text, integer, text[])', 'public.search_odoo_chatter(text, integer)'] loop
    execute format('revoke all on function %s from public, anon', routine);
    execute format('grant execute on function %s to authenticated, service_role', routine);
  end loop;
end
$$;
revoke execute on function odoo_sync.make_words(text), odoo_sync.make_search(text), odoo_sync.words_of(text, text), odoo_sync.said(text[]) from public;
-- A writer of a row evaluates the expressions of its indices.
grant execute on function odoo_sync.words_of(text, text), odoo_sync.said(text[]) to odoo_sync, service_role;

-- Functions that older versions of odoo_sync.health() called. No call of these versions is still running.
drop function if exists odoo_sync.last_cron_run(bigint, text, timestamptz, text);
drop function if exists odoo_sync.look_at_schedule(odoo_sync.jobs);
drop function if exists odoo_sync.look_at_runs(odoo_sync.jobs, bigint, text);

-- A view of these tables that somebody has created reads them with its owner's rights for every caller, unless it is a
-- security_invoker view; Supabase grants every new view to its API's roles.
create or replace function odoo_sync.open_views() returns table (view text, shows text, readers text, remedy text)
  language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive reads as (
      select r.ev_class as viewed, d.refobjid as relation
        from pg_depend d
        join pg_rewrite r on r.oid = d.objid
       where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
    ), above as (
      select p.polrelid as ours, p.polrelid as relation from pg_policy p where p.polname = 'admins_read'
      union
      select a.ours, reads.viewed from above a join reads on reads.relation = a.relation
    )
    select v.oid::regclass::text, string_agg(distinct a.ours::regclass::text, ', '), string_agg(distinct s.role, ', '),
           case v.relkind when 'm' then format('revoke select on %s from anon, authenticated', v.oid::regclass)
             else format('alter view %s set (security_invoker = true)', v.oid::regclass) end
      from above a
      join pg_class v on v.oid = a.relation and v.relkind in ('v', 'm') and v.relnamespace <> 'odoo_sync'::regnamespace
      cross join (values ('anon'), ('authenticated')) s (role)
     where has_any_column_privilege(s.role, v.oid, 'select') and has_schema_privilege(s.role, v.relnamespace, 'usage')
       and not coalesce((select o.option_value::boolean from pg_options_to_table(v.reloptions) o where o.option_name = 'security_invoker'), false)
     group by v.oid, v.relkind
     order by 1
  $$;
comment on function odoo_sync.open_views() is 'Views over the copied tables that show their rows to whoever may read the view, admin or not, and what lets row-level security decide.';
revoke execute on function odoo_sync.open_views() from public;

insert into odoo_sync.notices (words)
  select w.words from (
    select format('The view %s shows rows of %s to whoever has the role %s, since it reads with its owner''s rights. If that is not meant: %s.',
             v.view, v.shows, v.readers, v.remedy) as words from odoo_sync.open_views() v) w
   where not exists (select from odoo_sync.notices n where n.words = w.words);

commit;
