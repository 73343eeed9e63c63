-- odoo-to-supabase, 14: erasing a person.
--
--   select odoo_sync.erase('res.partner', 42);
--
-- The rows stay, without their contents: a row that is missing here but is in Odoo would be read again by the next run.
-- Triggers remove everything that could identify the person from whatever is written to an erased row; ids, dates, the
-- stage and amounts are left. So a sync finds nothing to do, and a comparison finds both sides the same. Erase the person
-- in Odoo as well: new records about them there are copied like any other.

begin;

call odoo_sync.hold('public.odoo_leads', 'public.odoo_partners', 'public.odoo_users', 'public.odoo_messages', 'public.odoo_field_changes',
  'public.odoo_records', 'public.odoo_names', 'public.odoo_attachments', 'odoo_sync.erased', 'odoo_sync.erasures', 'odoo_sync.unwanted_objects');

create table if not exists odoo_sync.erased (
  model     text not null,
  id        bigint not null,
  erased_at timestamptz not null default now(),
  primary key (model, id)
);
comment on table odoo_sync.erased is 'Records that were erased: their rows are kept empty, whatever a sync reads.';
comment on column odoo_sync.erased.model is 'Model in Odoo.';
comment on column odoo_sync.erased.id is 'Odoo''s id.';
comment on column odoo_sync.erased.erased_at is 'Since when.';
call odoo_sync.protect('odoo_sync.erased', 'select');

create table if not exists odoo_sync.erasures (
  id        bigint generated always as identity primary key,
  at        timestamptz not null default now(),
  who       text not null,
  model     text not null,
  record_id bigint not null,
  removed   jsonb not null
);
comment on table odoo_sync.erasures is 'Who erased what, and how much it was: nothing of what it said.';
comment on column odoo_sync.erasures.id is 'Row id.';
comment on column odoo_sync.erasures.at is 'When.';
comment on column odoo_sync.erasures.who is 'Who asked for it.';
comment on column odoo_sync.erasures.model is 'Model in Odoo.';
comment on column odoo_sync.erasures.record_id is 'Odoo''s id.';
comment on column odoo_sync.erasures.removed is 'How many rows of each table, and how many objects.';
call odoo_sync.protect('odoo_sync.erasures', '');

create table if not exists odoo_sync.unwanted_objects (
  object_path text primary key,
  since       timestamptz not null default now()
);
comment on table odoo_sync.unwanted_objects is 'Objects that the next batch of archive-batch deletes from the bucket.';
comment on column odoo_sync.unwanted_objects.object_path is 'Path in the bucket.';
comment on column odoo_sync.unwanted_objects.since is 'Since when.';
call odoo_sync.protect('odoo_sync.unwanted_objects', 'select, delete');

create or replace function odoo_sync.is_erased(model text, id bigint) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from odoo_sync.erased e where e.model = is_erased.model and e.id = is_erased.id)
  $$;
comment on function odoo_sync.is_erased(text, bigint) is 'Whether a record was erased.';

-- Takes everything out of a row but the columns that the trigger names.
create or replace function odoo_sync.leave_empty() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  kept text[] := tg_argv[1:];
  given jsonb;
  own bigint := new.id;
  is_whole boolean;
  others bigint[];
begin
  given := to_jsonb(new);
  is_whole := case tg_argv[0]
    when 'records' then odoo_sync.is_erased(given ->> 'model', own)
                     or odoo_sync.is_erased(given #>> '{data,res_model}', case when given #>> '{data,res_id}' ~ '^\d{1,18}$' then (given #>> '{data,res_id}')::bigint end)
                     or (given ->> 'model' = 'mail.followers'
                         and odoo_sync.is_erased('res.partner', case when given #>> '{data,partner_id}' ~ '^\d{1,18}$' then (given #>> '{data,partner_id}')::bigint end))
    when 'names' then odoo_sync.is_erased(given ->> 'model', own)
    when 'crm.lead' then odoo_sync.is_erased('crm.lead', own) or odoo_sync.is_erased('res.partner', (given ->> 'partner_id')::bigint)
    when 'mail.message' then odoo_sync.is_erased('mail.message', own) or odoo_sync.is_erased('res.partner', (given ->> 'author_id')::bigint)
                          or odoo_sync.is_erased(given ->> 'model', (given ->> 'res_id')::bigint)
    when 'mail.tracking.value' then odoo_sync.is_erased('mail.message', (given ->> 'message_id')::bigint)
    when 'ir.attachment' then odoo_sync.is_erased('ir.attachment', own) or odoo_sync.is_erased(given ->> 'res_model', (given ->> 'res_id')::bigint)
    else odoo_sync.is_erased(tg_argv[0], own) end;
  if is_whole then
    new := jsonb_populate_record(new, (
      select jsonb_object_agg(k.key, case when k.key in ('custom', 'custom_html', 'data', 'html') then '{}'::jsonb when k.key = 'name' and tg_argv[0] = 'ir.attachment' then '""' end)
        from jsonb_each(given) k where k.key <> all (kept)));
    if tg_argv[0] = 'ir.attachment' then
      new := jsonb_populate_record(new, '{"state": "skipped", "reason": "erased"}');
    end if;
    -- Recorded as erased itself, so that what belongs to it can be found.
    if tg_argv[0] in ('crm.lead', 'mail.message', 'ir.attachment', 'records') then
      insert into odoo_sync.erased (model, id) values (case tg_argv[0] when 'records' then given ->> 'model' else tg_argv[0] end, own) on conflict do nothing;
    end if;
  elsif tg_argv[0] = 'mail.message' then
    -- It went to them, among others.
    others := array(
      select e.id from odoo_sync.erased e
       where e.model = 'res.partner' and e.id in (
         select v.id::bigint from jsonb_array_elements_text(case jsonb_typeof(given -> 'recipient_ids') when 'array' then given -> 'recipient_ids' else '[]' end) v (id)
         union all
         select (n.value ->> 'partner_id')::bigint
           from jsonb_array_elements(case jsonb_typeof(given -> 'notifications') when 'array' then given -> 'notifications' else '[]' end) n
          where n.value ->> 'partner_id' ~ '^\d{1,18}$'));
    if others <> '{}' then
      new := jsonb_populate_record(new, jsonb_build_object('email_to', null, 'email_cc', null,
        'recipient_ids', (select coalesce(jsonb_agg(v.id), '[]') from jsonb_array_elements(case jsonb_typeof(given -> 'recipient_ids') when 'array' then given -> 'recipient_ids' else '[]' end) v (id)
                           where v.id::text::bigint <> all (others)),
        'notifications', (select coalesce(jsonb_agg(n.value), '[]') from jsonb_array_elements(case jsonb_typeof(given -> 'notifications') when 'array' then given -> 'notifications' else '[]' end) n
                           where not coalesce(n.value ->> 'partner_id' = any (others::text[]), false))));
    end if;
  end if;
  return new;
end
$$;
comment on function odoo_sync.leave_empty() is 'Keeps the rows of erased records empty, but for the columns that the trigger names.';
revoke execute on function odoo_sync.leave_empty() from public;

-- By its name it comes after keep_traces.
create or replace trigger leave_empty before insert or update on public.odoo_partners for each row
  execute function odoo_sync.leave_empty('res.partner', 'id', 'is_company', 'type', 'active', 'company_id', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at');
create or replace trigger leave_empty before insert or update on public.odoo_users for each row
  execute function odoo_sync.leave_empty('res.users', 'id', 'active', 'share', 'company_id', 'sale_team_id', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at');
create or replace trigger leave_empty before insert or update on public.odoo_leads for each row
  execute function odoo_sync.leave_empty('crm.lead', 'id', 'type', 'active', 'stage_id', 'team_id', 'user_id', 'lost_reason_id', 'tag_ids', 'company_id', 'won_status',
    'priority', 'kanban_state', 'color', 'probability', 'automated_probability', 'expected_revenue', 'prorated_revenue', 'recurring_revenue', 'recurring_plan_id',
    'currency_id', 'campaign_id', 'source_id', 'medium_id', 'date_deadline', 'date_open', 'date_closed', 'date_conversion', 'date_last_stage_update', 'date_last_action',
    'day_open', 'day_close', 'create_uid', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at');
create or replace trigger leave_empty before insert or update on public.odoo_messages for each row
  execute function odoo_sync.leave_empty('mail.message', 'id', 'model', 'res_id', 'date', 'kind', 'activity_type', 'message_type', 'subtype_id', 'subtype', 'is_internal',
    'is_internal_flag', 'parent_id', 'lost_parent_id', 'company_id', 'withdrawn_at', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at', 'search');
create or replace trigger leave_empty before insert or update on public.odoo_field_changes for each row
  execute function odoo_sync.leave_empty('mail.tracking.value', 'id', 'message_id', 'field', 'label', 'type', 'currency_id', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at');
create or replace trigger leave_empty before insert or update on public.odoo_records for each row
  execute function odoo_sync.leave_empty('records', 'model', 'id', 'create_date', 'write_date', 'row_hash', 'synced_at', 'deleted_at');
create or replace trigger leave_empty before insert or update on public.odoo_names for each row
  execute function odoo_sync.leave_empty('names', 'model', 'id', 'asked_at', 'synced_at');
create or replace trigger leave_empty before insert or update on public.odoo_attachments for each row
  execute function odoo_sync.leave_empty('ir.attachment', 'id', 'mimetype', 'file_size', 'checksum', 'kind', 'res_model', 'res_field', 'res_id', 'company_id', 'create_date', 'write_date',
    'state', 'attempts', 'interruptions', 'next_attempt_at', 'discovered_at', 'missing_since', 'deleted_at');

-- They slow down every write, so they are disabled until somebody is erased.
create or replace procedure odoo_sync.wake_leave_empty()
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_awake boolean := exists (select from odoo_sync.erased);
  name text;
begin
  -- In the order in which the components lock them, to avoid deadlocks.
  foreach name in array array['odoo_leads', 'odoo_partners', 'odoo_users', 'odoo_messages', 'odoo_field_changes', 'odoo_records', 'odoo_attachments', 'odoo_names'] loop
    if exists (select from pg_trigger t where t.tgrelid = to_regclass('public.' || name) and t.tgname = 'leave_empty' and (t.tgenabled <> 'D') <> is_awake) then
      if is_awake then
        execute format('alter table public.%I enable trigger leave_empty', name);
      else
        execute format('alter table public.%I disable trigger leave_empty', name);
      end if;
    end if;
  end loop;
end
$$;
comment on procedure odoo_sync.wake_leave_empty() is 'Enables the triggers leave_empty if anybody was erased.';
revoke execute on procedure odoo_sync.wake_leave_empty() from public;
call odoo_sync.wake_leave_empty();

create or replace function odoo_sync.erase(model text, id bigint) returns jsonb
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  address text;
  removed jsonb := '{}';
  gone bigint;
begin
  perform odoo_sync.require_admin();
  if erase.model is null or erase.id is null or erase.id <= 0 then
    raise exception 'give a model and the number of a record, such as odoo_sync.erase(''res.partner'', 42)';
  end if;
  if erase.model = 'res.partner' then
    select nullif(lower(btrim(p.email)), '') into address from public.odoo_partners p where p.id = erase.id;
  elsif erase.model = 'res.users' then
    select nullif(lower(btrim(u.email)), '') into address from public.odoo_users u where u.id = erase.id;
  end if;
  insert into odoo_sync.erased (model, id) values (erase.model, erase.id) on conflict do nothing;
  -- Concurrent writers wait, and the triggers then apply to them.
  call odoo_sync.wake_leave_empty();
  -- Whoever wrote without being known as a contact did so by an address.
  insert into odoo_sync.erased (model, id)
  select 'crm.lead', l.id from public.odoo_leads l
   where (erase.model = 'res.partner' and l.partner_id = erase.id) or strpos(lower(l.email_from), address) > 0
  on conflict do nothing;
  insert into odoo_sync.erased (model, id)
  select 'mail.message', m.id from public.odoo_messages m
   where (erase.model = 'res.partner' and m.author_id = erase.id) or strpos(lower(m.email_from), address) > 0
      or odoo_sync.is_erased(m.model, m.res_id)
  on conflict do nothing;
  -- Files of erased records, unless something else refers to them.
  with files as (
    select a.id from public.odoo_attachments a where odoo_sync.is_erased(a.res_model, a.res_id)
    union
    select f.id from public.odoo_messages m cross join lateral unnest(m.attachment_ids || m.inline_attachment_ids || m.withdrawn_attachment_ids) f (id)
     where odoo_sync.is_erased('mail.message', m.id)
    union
    select f.id from public.odoo_leads l cross join lateral unnest(l.inline_attachment_ids) f (id) where odoo_sync.is_erased('crm.lead', l.id)
    union
    select f.id from public.odoo_partners p cross join lateral unnest(p.inline_attachment_ids) f (id) where odoo_sync.is_erased('res.partner', p.id)
  )
  insert into odoo_sync.erased (model, id)
  select 'ir.attachment', f.id from files f
   where not exists (select from public.odoo_messages m where f.id = any (m.attachment_ids || m.inline_attachment_ids) and not odoo_sync.is_erased('mail.message', m.id))
     and not exists (select from public.odoo_leads l where f.id = any (l.inline_attachment_ids) and not odoo_sync.is_erased('crm.lead', l.id))
     and not exists (select from public.odoo_partners p where f.id = any (p.inline_attachment_ids) and not odoo_sync.is_erased('res.partner', p.id))
     and not exists (select from public.odoo_records r where f.id = any (r.inline_attachment_ids) and not odoo_sync.is_erased(r.model, r.id))
     and not exists (select from public.odoo_attachments a where a.id = f.id and a.res_id > 0 and a.res_model not in ('mail.message', 'mail.compose.message')
                        and not odoo_sync.is_erased(a.res_model, a.res_id))
  on conflict do nothing;
  -- One content is one object, however many files have it.
  insert into odoo_sync.unwanted_objects (object_path)
  select distinct a.object_path from public.odoo_attachments a
   where a.object_path is not null and odoo_sync.is_erased('ir.attachment', a.id)
     and not exists (select from public.odoo_attachments o where o.object_path = a.object_path and not odoo_sync.is_erased('ir.attachment', o.id))
  on conflict do nothing;
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('objects', gone);

  -- Any update has the triggers remove the contents.
  update public.odoo_attachments a set reason = 'erased' where odoo_sync.is_erased('ir.attachment', a.id) and a.reason is distinct from 'erased';
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('files', gone);
  update public.odoo_partners p set name = null where odoo_sync.is_erased('res.partner', p.id) and (p.name, p.email) is distinct from (null, null);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('partners', gone);
  update public.odoo_users u set name = null where odoo_sync.is_erased('res.users', u.id) and (u.name, u.login) is distinct from (null, null);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('users', gone);
  update public.odoo_leads l set name = null where odoo_sync.is_erased('crm.lead', l.id) and (l.name, l.email_from, l.phone) is distinct from (null, null, null);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('leads', gone);
  update public.odoo_messages m set body = null, custom = '{}'
   where odoo_sync.is_erased('mail.message', m.id) and (m.body, m.body_text, m.email_from, m.author_id, m.subject) is distinct from (null, null, null, null, null);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('messages', gone);
  if erase.model = 'res.partner' then
    update public.odoo_messages m set synced_at = m.synced_at
     where erase.id = any (m.recipient_ids) or m.notifications @> jsonb_build_array(jsonb_build_object('partner_id', erase.id));
    get diagnostics gone = row_count;
    removed := removed || jsonb_build_object('addresses', gone);
  end if;
  update public.odoo_field_changes c set old = null where odoo_sync.is_erased('mail.message', c.message_id);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('field_changes', gone);
  update public.odoo_records r set name = null
   where odoo_sync.is_erased(r.model, r.id)
      or (r.data ? 'res_model' and r.data ->> 'res_id' ~ '^\d{1,18}$' and odoo_sync.is_erased(r.data ->> 'res_model', (r.data ->> 'res_id')::bigint))
      or (erase.model = 'res.partner' and r.model = 'mail.followers' and r.data ->> 'partner_id' = erase.id::text);
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('records', gone);
  update public.odoo_names n set name = null where odoo_sync.is_erased(n.model, n.id) and n.name is not null;
  get diagnostics gone = row_count;
  removed := removed || jsonb_build_object('names', gone);
  -- Odoo's words may name the record.
  delete from odoo_sync.unreadable u where odoo_sync.is_erased(u.model, u.id);
  delete from odoo_sync.final_check_findings f where odoo_sync.is_erased((select p.evidence ->> 'model' from odoo_sync.final_check_parts p
    where p.check_id = f.check_id and p.entity = f.entity), f.id);
  insert into odoo_sync.erasures (who, model, record_id, removed) values (odoo_sync.who_asks(), erase.model, erase.id, removed);
  return removed;
end
$$;
comment on function odoo_sync.erase(text, bigint) is 'Erases a person (or any record): its row, leads of it, messages written by it or about it, its address on others'' messages, and files that nothing else refers to, in the bucket as well with the next batch. No sync brings it back. Returns how much it was. Cannot be undone.';

revoke execute on function odoo_sync.is_erased(text, bigint), odoo_sync.erase(text, bigint) from public;
grant execute on function odoo_sync.is_erased(text, bigint) to odoo_sync;
grant execute on function odoo_sync.erase(text, bigint) to authenticated, service_role;

-- Records the version, in the last file, when all of them are in place.
insert into odoo_sync.schema_versions (version) values (3) on conflict (version) do nothing;
insert into odoo_sync.schema_versions (version) values (4) on conflict (version) do nothing;

commit;
