-- Writes a page of rows and the cursor behind it.
with run as (
  update odoo_sync.runs r
     set seen_at = now(), leased_until = now() + make_interval(secs => ($1::jsonb->>'lease_s')::float8)
   where r.id = ($1::jsonb->>'run_id')::uuid and r.outcome = 'running'
  returning r.id, ($1::jsonb->>'dry')::boolean as dry
), page as (
  select p.*, t.{rest} as rest_before, run.dry,
         t.id is null or t.row_hash is null as is_new, t.row_hash is distinct from p.row_hash or t.deleted_at is not null as differs
    from run cross join jsonb_array_elements($1::jsonb->'rows') r (value)
    left join {table} t on t.id = (r.value->>'id')::bigint /*if shared*/ and t.model = r.value->>'model' /*end*/
   cross join lateral jsonb_populate_record(t, r.value) p
   where true /*if referred*/
     and (not ($1::jsonb->>'referred')::boolean or exists (select from {table} k where k.id = p.id)) /*end*/
), written as (
  insert into {table} as t (id, {columns}, {rest}, {rest_html}, create_date, write_date, row_hash)
  select p.id, {p.columns},
         coalesce((select jsonb_object_agg(k.key, k.value) from jsonb_each(p.rest_before) k where $1::jsonb->'frozen' ? k.key), '{}')
         || coalesce(p.{rest}, '{}'), coalesce(p.{rest_html}, '{}'), p.create_date, p.write_date, p.row_hash
    from page p
   where p.differs and not p.dry
   order by p.id
  on conflict ({key}) do update
     set {columns = excluded.columns},
         {rest} = excluded.{rest},
         {rest_html} = excluded.{rest_html}, create_date = excluded.create_date, write_date = excluded.write_date,
         row_hash = excluded.row_hash, synced_at = now(), deleted_at = null
  returning 1
), gone as (
  update {table} t set deleted_at = now(), synced_at = now()
    from run
   where t.id in (select jsonb_array_elements_text($1::jsonb->'gone')::bigint) /*if shared*/ and t.model = $1::jsonb->>'model' /*end*/
     and t.deleted_at is null and not run.dry
  returning t.row_hash is not null as was_read
), /*if references*/ referred as (
  insert into public.odoo_partners (id)
  select distinct v.id from page p cross join lateral (values {(p.references)}) v (id)
   where v.id is not null and not p.dry
     and not ($1::jsonb->>'table' = 'public.odoo_partners' and exists (select from page q where q.id = v.id))
   order by v.id
  on conflict (id) do nothing
  returning 1
), /*end*/ /*if attachments*/ wanted as (
  insert into odoo_sync.wanted_attachments as w (id)
  select distinct f.id from page p
   cross join lateral unnest({p.attachments}) f (id)
   where p.differs and not p.dry and f.id > 0
     and not exists (select from public.odoo_attachments a where a.id = f.id)
   order by f.id
  on conflict (id) do update set asked_at = null where w.asked_at is not null
  returning 1
), /*end*/ /*if messages*/ queued as (
  insert into odoo_sync.wanted_changes (message_id)
  select p.id from page p where p.differs and not p.dry order by p.id
  on conflict do nothing
  returning 1
), /*end*/ /*if changes*/ answered as (
  delete from odoo_sync.wanted_changes a using run
   where a.message_id in (select jsonb_array_elements_text($1::jsonb->'answered')::bigint) and not run.dry
  returning 1
), /*end*/ named as (
  insert into public.odoo_names as n (model, id, name)
  select m.model, m.id, m.name
    from run cross join jsonb_to_recordset($1::jsonb->'mentioned') as m (model text, id bigint, name text)
   where not run.dry and not exists (
     select from public.odoo_names k where k.model = m.model and k.id = m.id and (m.name is null or m.name = k.name))
   order by m.model, m.id
  on conflict (model, id) do update set name = excluded.name, synced_at = now()
   where excluded.name is not null and n.name is distinct from excluded.name
  returning 1
), noted as (
  insert into odoo_sync.unreadable as u (model, id, job, fields, said, hidden)
  select $1::jsonb->>'model', n.id, r.job, coalesce(array_agg(distinct f.name) filter (where f.name is not null), '{}'),
         min(n.said), coalesce(bool_or(n.hidden), false)
    from run join odoo_sync.runs r on r.id = run.id
   cross join jsonb_to_recordset($1::jsonb->'unreadable') as n (id bigint, fields text[], said text, hidden boolean)
    left join lateral unnest(n.fields) as f (name) on true
   where not coalesce(($1::jsonb->>'dry')::boolean, false)
   group by n.id, r.job
   order by n.id
  on conflict (model, id) do update
     set job = excluded.job, fields = excluded.fields, said = excluded.said, hidden = excluded.hidden, tries = u.tries + 1, seen_at = now()
  returning u.tries = 1 as new
), readable as (
  delete from odoo_sync.unreadable u using page p
   where u.model = $1::jsonb->>'model' and u.id = p.id and not p.dry
     and not exists (select from jsonb_to_recordset($1::jsonb->'unreadable') as n (id bigint) where n.id = p.id)
  returning 1
), moved_on as (
  insert into odoo_sync.cursors as c (name, position, updated_at)
  select $1::jsonb->>'cursor', $1::jsonb->'position', now()
    from run where not run.dry and jsonb_typeof($1::jsonb->'position') = 'object'
  on conflict (name) do update set position = excluded.position, updated_at = now()
  returning 1
)
select jsonb_build_object(
  'inserted', (select count(*) from page p where p.differs and p.is_new),
  'updated', (select count(*) from page p where p.differs and not p.is_new),
  'unchanged', (select count(*) from page p where not p.differs),
  'deleted', (select count(*) from gone g where g.was_read),
  'unreadable', (select count(*) from noted n where n.new))
  from run
 where (select count(*) from written) + (select count(*) from moved_on) + (select count(*) from readable) >= 0
