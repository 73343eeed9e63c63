-- odoo-to-supabase, 9: any model of Odoo. The names of ids and fields, for the time after Odoo; the records of the
-- models that crm_models names, and typed views of them.

begin;

call odoo_sync.hold('public.odoo_records', 'public.odoo_names', 'public.odoo_models', 'public.odoo_fields', 'odoo_sync.source_fields');

-- The names behind the ids and fields of copied rows, for the time after Odoo.
create table if not exists public.odoo_names (
  model     text not null,
  id        bigint not null,
  name      text,
  asked_at  timestamptz,
  synced_at timestamptz not null default now(),
  primary key (model, id)
);
comment on table public.odoo_names is 'What the ids in copied rows stand for, of whatever model: country_id 233 is the row (res.country, 233). Written by crm-sync and chatter-sync.';
comment on column public.odoo_names.model is 'Model in Odoo, such as res.country: relation in odoo_fields.';
comment on column public.odoo_names.id is 'Odoo''s id.';
comment on column public.odoo_names.name is 'Its name as Odoo shows it. Null: Odoo was not asked for it yet, or has it no more, or its user may not see it.';
comment on column public.odoo_names.asked_at is 'When Odoo was last asked for it by its id, since it stands in a list of ids, which come without names; null: its name came with rows, or crm-sync is still to ask.';
comment on column public.odoo_names.synced_at is 'When the name last changed here.';
call odoo_sync.protect('public.odoo_names', 'select, insert, update');
create index if not exists odoo_names_unasked on public.odoo_names (model, id) where name is null and asked_at is null;
create index if not exists odoo_names_asked on public.odoo_names (asked_at) where asked_at is not null;

create table if not exists public.odoo_models (
  model     text primary key,
  copied_to text not null,
  readable  boolean not null,
  synced_at timestamptz not null default now()
);
alter table public.odoo_models
  add column if not exists label text,
  add column if not exists reason text;
comment on table public.odoo_models is 'The models of Odoo that are copied. Written by crm-sync and chatter-sync.';
comment on column public.odoo_models.model is 'Model in Odoo, such as crm.lead.';
comment on column public.odoo_models.copied_to is 'The table with its rows.';
comment on column public.odoo_models.label is 'What Odoo''s pages call it, in the language of the setting; null where the Odoo user may not know.';
comment on column public.odoo_models.readable is 'Whether it is there, and the Odoo user may read it.';
comment on column public.odoo_models.reason is 'Why nothing of it is copied: forbidden (the Odoo user may not read it) or absent (this Odoo has no such model). What was copied before stays.';
comment on column public.odoo_models.synced_at is 'When it, or one of its fields, last changed here.';
call odoo_sync.protect('public.odoo_models', 'select, insert, update');

create table if not exists odoo_sync.source_fields (
  model     text not null,
  name      text not null,
  label     text,
  type      text,
  relation  text,
  selection jsonb,
  stored    boolean not null,
  copied_to text,
  reason    text,
  gone_at   timestamptz,
  synced_at timestamptz not null default now(),
  primary key (model, name)
);
comment on table odoo_sync.source_fields is 'What Odoo says of the fields of the copied models; public.odoo_fields joins what could not be read.';
comment on column odoo_sync.source_fields.model is 'Model in Odoo.';
comment on column odoo_sync.source_fields.name is 'Name of the field.';
comment on column odoo_sync.source_fields.label is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.type is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.relation is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.selection is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.stored is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.copied_to is 'The column that its values go to; null: it is not copied.';
comment on column odoo_sync.source_fields.reason is 'Why it is not copied.';
comment on column odoo_sync.source_fields.gone_at is 'As in public.odoo_fields.';
comment on column odoo_sync.source_fields.synced_at is 'When it last changed here.';
call odoo_sync.protect('odoo_sync.source_fields', 'select, insert, update');

create or replace view public.odoo_fields with (security_invoker = true) as
  select f.model, f.name, f.label, f.type, f.relation, f.selection, f.stored,
         f.copied_to is not null and f.gone_at is null and u.fields is null as copied, f.copied_to,
         case when f.gone_at is not null then 'gone' when u.fields is not null then 'unreadable' else f.reason end as reason,
         case when f.reason = 'file' then f.name end as archive_entry, f.gone_at
    from odoo_sync.source_fields f
    left join odoo_sync.unreadable u on u.model = f.model and u.id = 0 and f.name = any (u.fields);
comment on view public.odoo_fields is 'The fields of the copied models as Odoo describes them to its user, and where their values are, or why they are not here.';
comment on column public.odoo_fields.model is 'Model in Odoo, such as crm.lead.';
comment on column public.odoo_fields.name is 'Name of the field, such as x_studio_region.';
comment on column public.odoo_fields.label is 'What Odoo''s pages call it, in the language of the setting.';
comment on column public.odoo_fields.type is 'Its type in Odoo: char, many2one, …';
comment on column public.odoo_fields.relation is 'The model that its ids are of: odoo_names has their names.';
comment on column public.odoo_fields.selection is 'What it may be, each with its label: [["lead", "Lead"], …].';
comment on column public.odoo_fields.stored is 'Whether Odoo keeps it in its database.';
comment on column public.odoo_fields.copied is 'Whether its values are copied.';
comment on column public.odoo_fields.copied_to is 'The column with its values; custom: under its name there.';
comment on column public.odoo_fields.reason is 'Why it is not copied: not_stored (computed at each reading), one_to_many (kept with the records that it lists), file (see archive_entry), secret, technical (worth nothing without Odoo, or copied elsewhere), type (unknown), unreadable (see odoo_sync.unreadable), gone (from Odoo, or for its user: what was copied stays).';
comment on column public.odoo_fields.archive_entry is 'What archive_fields has to name for the archive to take its files.';
comment on column public.odoo_fields.gone_at is 'Since when Odoo no longer has it, or shows it to its user.';

-- Any other model, whole: crm_models says which.
create table if not exists public.odoo_records (
  model                 text not null,
  id                    bigint not null,
  name                  text,
  data                  jsonb not null default '{}',
  html                  jsonb not null default '{}',
  inline_attachment_ids bigint[],
  create_date           timestamptz,
  write_date            timestamptz,
  row_hash              text,
  synced_at             timestamptz not null default now(),
  deleted_at            timestamptz,
  primary key (model, id)
);
comment on table public.odoo_records is 'Records of the models that crm_models names, whole: odoo_fields tells what each field is, odoo_names what an id stands for, and odoo_sync.make_view() makes a view of a model with a column for each field. Written by crm-sync.';
comment on column public.odoo_records.model is 'Model in Odoo, such as sale.order.';
comment on column public.odoo_records.id is 'Odoo''s id.';
comment on column public.odoo_records.name is 'Its name as Odoo shows it.';
comment on column public.odoo_records.data is 'Every stored field, by its name in Odoo. A many2one is an id, a many2many a list of ids, a date is as in ISO 8601, in UTC; what is empty is null. Never show one as HTML: show html.';
comment on column public.odoo_records.html is 'Of the fields in data with HTML, by their names: html (as body_html of odoo_messages), text, omitted (why there is no html) and attachments (that it refers to).';
comment on column public.odoo_records.inline_attachment_ids is 'Files that the HTML of this row refers to, in odoo_attachments.';
comment on column public.odoo_records.create_date is 'When it was made in Odoo; null for models without dates, such as mail.followers.';
comment on column public.odoo_records.write_date is 'When it was last written in Odoo, to the second. Much changes without it: a computed amount, for one.';
comment on column public.odoo_records.row_hash is 'SHA-1 of what Odoo said: a row is written only when it changes.';
comment on column public.odoo_records.synced_at is 'When it was last written here.';
comment on column public.odoo_records.deleted_at is 'When it was found to be gone from Odoo (deleted, or hidden from the key). The row is kept.';
call odoo_sync.protect('public.odoo_records', 'select, insert, update');

-- A typed view of one model. Names of fields are quoted as identifiers, and a value is cast only if it has the form of
-- the field's type: rows that were read before a field changed its type do not break the view.
create or replace function odoo_sync.make_view(model text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  view_name text := 'odoo_' || replace(make_view.model, '.', '_');
  mark text := format('Records of %s.', make_view.model);
  existing regclass := to_regclass(format('public.%I', view_name));
  columns jsonb;
  described record;
begin
  perform odoo_sync.require_owner();
  if not exists (select from public.odoo_models m where m.model = make_view.model) then
    raise exception 'there is no model % here', make_view.model
      using hint = 'Name it in crm_models, wait for a run of crm-sync, and try again. select model from public.odoo_models lists what there is.';
  elsif exists (select from public.odoo_models m where m.model = make_view.model and m.copied_to <> 'public.odoo_records') then
    raise exception '% has a table of its own: %', make_view.model, (select m.copied_to from public.odoo_models m where m.model = make_view.model);
  elsif not exists (select from odoo_sync.source_fields f where f.model = make_view.model and f.copied_to = 'data') then
    raise exception 'nothing of % was ever copied', make_view.model
      using hint = 'select * from public.odoo_models tells why.';
  elsif length(view_name) > 63 then
    raise exception 'the name of % is too long for a view', make_view.model;
  elsif existing is not null and not coalesce(obj_description(existing, 'pg_class'), '') like mark || '%' then
    raise exception '% is there already, and was not made by odoo_sync.make_view()', existing
      using hint = 'Rename it, and try again.';
  end if;

  select jsonb_agg(to_jsonb(c)) into columns from (
    select * from (values ('id', 'r.id', 'Odoo''s id.'), ('display_name', 'r.name', 'Its name as Odoo shows it.')) v (name, expression, said)
    union all
    select n.name, n.expression, n.said
      from (select f.*, coalesce(nullif(f.label, ''), f.name) || coalesce(' (' || nullif(f.relation, '') || ')', '')
                          || case when f.type = 'html' then '. Never show it as HTML: show html.' else '' end as words
              from odoo_sync.source_fields f
             where f.model = make_view.model and f.copied_to = 'data' and length(f.name) <= 63
               and f.name not in ('id', 'display_name', 'html', 'create_date', 'write_date', 'synced_at')
             order by f.name) f
     cross join lateral (
       select f.name, odoo_sync.typed(f.name, f.type), f.words
       union all
       -- Beside an id its name, and beside a key its label.
       select f.name || '_name',
              case when f.type = 'selection'
                then format('(select s.value ->> 1 from jsonb_array_elements(%L::jsonb) s where s.value ->> 0 = r.data ->> %L limit 1)', f.selection, f.name)
              when f.type = 'reference'
                then format('(select n.name from public.odoo_names n where n.model = split_part(r.data ->> %1$L, '','', 1) and n.id::text = split_part(r.data ->> %1$L, '','', 2))', f.name)
              else format('(select n.name from public.odoo_names n where n.model = %L and n.id = %s)', f.relation, odoo_sync.typed(f.name, f.type)) end,
              f.words || ', by its name'
        where (f.type = 'many2one' or f.type = 'reference' or (f.type = 'selection' and jsonb_typeof(f.selection) = 'array'))
          and length(f.name) <= 58
          and not exists (select from odoo_sync.source_fields o where o.model = f.model and o.name = f.name || '_name')) n (name, expression, said)
    union all
    select * from (values ('html', 'r.html', 'Of the fields with HTML, by their names: html (that may be shown), text, omitted and attachments.'),
      ('create_date', 'r.create_date', 'When it was made in Odoo.'), ('write_date', 'r.write_date', 'When it was last written in Odoo, to the second.'),
      ('synced_at', 'r.synced_at', 'When it was last written here.')) v (name, expression, said)) c;

  -- No cascade: if other objects depend on the view, it stays, and Postgres names them.
  execute format('drop view if exists public.%I', view_name);
  execute format('create view public.%I with (security_invoker = true) as select %s from public.odoo_records r where r.model = %L and r.deleted_at is null',
    view_name, (select string_agg(format('%s as %I', c.value ->> 'expression', c.value ->> 'name'), ', ' order by c.nr)
                  from jsonb_array_elements(columns) with ordinality c (value, nr)), make_view.model);
  execute format('comment on view public.%I is %L', view_name,
    concat_ws(' ', mark, (select concat(m.label, '.') from public.odoo_models m where m.model = make_view.model and m.label is not null),
      'Made by odoo_sync.make_view(); make it again when Odoo has other fields.'));
  for described in select * from jsonb_to_recordset(columns) c (name text, said text) loop
    execute format('comment on column public.%I.%I is %L', view_name, described.name, described.said);
  end loop;
  -- Supabase grants every new view of schema public to its API's roles. Whoever may select still sees only what the
  -- tables' own policies let through.
  execute format('revoke all on public.%I from public, anon, authenticated, odoo_sync', view_name);
  execute format('grant select on public.%I to authenticated, service_role', view_name);
  return format('public.%I', view_name);
end
$$;
comment on function odoo_sync.make_view(text) is 'Makes, or makes anew, a view of a model that is copied to odoo_records, such as public.odoo_sale_order: a column for each field, with names beside ids. Returns its name.';

-- The value of a field of odoo_records r, as an expression.
create or replace function odoo_sync.typed(name text, type text) returns text
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select format(case
      when type in ('integer', 'many2one', 'many2one_reference') then 'case jsonb_typeof(r.data -> %1$L) when ''number'' then (r.data ->> %1$L)::numeric::bigint end'
      when type in ('float', 'monetary') then 'case jsonb_typeof(r.data -> %1$L) when ''number'' then (r.data ->> %1$L)::numeric end'
      when type = 'boolean' then 'case jsonb_typeof(r.data -> %1$L) when ''boolean'' then (r.data ->> %1$L)::boolean end'
      when type = 'date' then 'case when r.data ->> %1$L ~ ''^\d{4}-\d\d-\d\d$'' then (r.data ->> %1$L)::date end'
      when type = 'datetime' then 'case when r.data ->> %1$L ~ ''^\d{4}-\d\d-\d\dT'' then (r.data ->> %1$L)::timestamptz end'
      when type in ('one2many', 'many2many') then 'case jsonb_typeof(r.data -> %1$L) when ''array'' then array(select v.id::bigint from jsonb_array_elements_text(r.data -> %1$L) v (id)) end'
      when type in ('char', 'text', 'html', 'selection', 'reference') then 'r.data ->> %1$L'
      else 'r.data -> %1$L' end, name)
  $$;
comment on function odoo_sync.typed(text, text) is 'Reads a field of a record in its type: for odoo_sync.make_view().';
revoke execute on function odoo_sync.make_view(text), odoo_sync.typed(text, text) from public;

-- Supabase grants every new view of schema public to its API's roles. Whoever may select still
-- sees only what the tables' own policies let through.
revoke all on public.odoo_fields from public, anon, authenticated, odoo_sync;
grant select on public.odoo_fields to authenticated, service_role;

commit;
