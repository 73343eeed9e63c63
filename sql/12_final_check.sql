-- odoo-to-supabase, 12: whether Odoo can be switched off.
--
--   select odoo_sync.final_check();           -- asks; the components do it in their next ticks
--   select odoo_sync.certificate();           -- how far it is, and what it came to
--   select odoo_sync.acknowledge('attachments', 'dead', array[4711], 'a scan that nobody can open');
--
-- A check is a row of odoo_sync.final_checks. Each component that takes part finds it when it begins a run, compares
-- everything anew, and records evidence by entity and findings by record. When all parts are done, one more run of each
-- component has to find no change in Odoo; findings that nobody has acknowledged are then the reasons against it.

begin;

create or replace function odoo_sync.begin_check(read_data boolean, who text) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  under_way odoo_sync.final_checks;
  asked bigint;
begin
  select * into under_way from odoo_sync.final_checks c where c.state = 'running';
  if found then
    raise exception 'a check is under way since %', odoo_sync.moment(under_way.asked_at)
      using hint = 'See its progress by: select odoo_sync.certificate(); give it up by: select odoo_sync.cancel_check()';
  end if;
  -- Jobs that were never set up do not take part, and the certificate says so.
  insert into odoo_sync.final_checks (asked_by, read_data, jobs)
  select begin_check.who, begin_check.read_data,
         coalesce(array_agg(distinct j.component) filter (where j.scheduled_at is not null), array_agg(distinct j.component))
    from odoo_sync.jobs j where j.path is not null
  returning id into asked;
  perform odoo_sync.call_for_check();
  return asked;
end
$$;
comment on function odoo_sync.begin_check(boolean, text) is 'Begins a final check on somebody''s behalf.';

create or replace function odoo_sync.final_check(read_data boolean default false) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return odoo_sync.begin_check(final_check.read_data, odoo_sync.who_asks());
end
$$;
comment on function odoo_sync.final_check(boolean) is 'Asks whether Odoo can be switched off: everything is compared anew, in as many ticks as it takes; with read_data the bytes of all objects are read. The answer is in odoo_sync.certificate().';

create or replace function odoo_sync.who_asks() returns text
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(auth.jwt() ->> 'email', auth.uid()::text, odoo_sync.caller())
  $$;
comment on function odoo_sync.who_asks() is 'The caller in words: an email, an id, or a role.';

create or replace function odoo_sync.cancel_check() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  delete from odoo_sync.final_checks c where c.state = 'running';
end
$$;
comment on function odoo_sync.cancel_check() is 'Gives up the check that is under way.';

-- While a check is under way, a call of one component also calls the others: pg_cron calls the chatter only once an hour.
create or replace function odoo_sync.call_for_check() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  job text;
begin
  for job in
    select distinct on (j.component) j.name
      from odoo_sync.final_checks c join odoo_sync.jobs j on j.component = any (c.jobs) and j.path is not null
     where c.state = 'running' and j.paused_at is null and not exists (
       select from odoo_sync.calls k join odoo_sync.jobs o on o.name = k.job
        where o.component = j.component and k.called_at > clock_timestamp() - interval '50 seconds')
     order by j.component, j.period
  loop
    begin
      perform odoo_sync.call(job);
    exception when raise_exception then
      -- health() says what keeps it from being called.
      raise notice '% was not called: %', job, sqlerrm;
    end;
  end loop;
end
$$;
comment on function odoo_sync.call_for_check() is 'Calls the components that take part in the check under way and were not called within this minute.';

-- Whether a run found and changed nothing: the last look of a check.
create or replace function odoo_sync.changes_of(counts jsonb) returns bigint
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(sum((counts ->> k)::numeric), 0)::bigint
      from unnest(array['inserted', 'updated', 'deleted', 'moved', 'discovered', 'changed']) k
     where jsonb_typeof(counts -> k) = 'number'
  $$;
comment on function odoo_sync.changes_of(jsonb) is 'How many changes of Odoo''s a run found, by its figures.';

create or replace function odoo_sync.remedy_of(kind text) returns text
  language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case kind
      when 'pending' then 'It is still tried, or has failed: see reason and message in public.odoo_attachments; mend the cause, wait for the next batches, and check again.'
      when 'dead' then 'Mend the cause in its message, then: select odoo_sync.retry(); and check again.'
      when 'needs_password' then 'Set odoo_password, or raise archive_max_rpc_bytes; it is taken up by itself.'
      when 'over_size_limit' then 'Raise archive_max_file_bytes; it is taken up by itself.'
      when 'no_checksum' then 'Odoo has no SHA-1 of it, so it cannot be moved and verified: save it anew in Odoo, which makes one.'
      when 'not_catalogued' then 'It came while the check was under way: check again.'
      when 'object_missing' then 'It was handed to the queue again; check again when that is empty. Find out who removes objects from the bucket.'
      when 'object_differs' then 'It was handed to the queue again; check again when that is empty. Find out who changes objects in the bucket.'
      when 'changed' then 'Its content changed in Odoo, and it was handed to the queue again: check again.'
      when 'not_compared' then 'It could not be read: check again, and look at the log of the components.'
      when 'unlisted' then 'Odoo does not list it any more, and it is not gone either: give the Odoo user the right to see it, and check again.'
      when 'hidden' then 'It exists in Odoo, and the Odoo user may not read it: give the user the company or the group (what is left out names those that it lacks), and check again.'
      when 'forbidden' then 'The Odoo user may not read this model at all: give it the group that its documentation names, and check again.'
      when 'not_asked' then 'There are more gaps in Odoo''s numbers than one check asks for; deleted records leave such gaps.'
      when 'unreadable' then 'See odoo_sync.unreadable: give the Odoo user the right, or mend the record in Odoo.'
      when 'frozen' then 'These fields could be read once. Give the Odoo user the right, or acknowledge that they are gone from Odoo; their columns keep what they had.'
      when 'missing' then 'Check again; if it stays so, see the log of the components.'
      when 'stale' then 'Check again; if it stays so, see the log of the components.'
      when 'extra' then 'Check again; if it stays so, see the log of the components.'
      when 'not_believed' then 'If so much is gone from Odoo indeed, call the component with {"mode": "missing", "confirm_deletes": true}, and check again.'
      when 'changing' then 'Keep people and scheduled actions out of Odoo, and check again.'
      when 'failed' then 'See odoo_sync.health(), mend what it names, and check again.'
      else 'See public.odoo_attachments and odoo_sync.health(), and check again.' end
  $$;
comment on function odoo_sync.remedy_of(text) is 'What to do about a finding of a final check.';

-- The verdict, from the findings and what people have acknowledged of them.
create or replace function odoo_sync.judge_check(check_id bigint) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  why jsonb;
  verdict text;
begin
  with open_findings as (
    select f.* from odoo_sync.final_check_findings f
     where f.check_id = judge_check.check_id and not exists (
       select from odoo_sync.acknowledgements a
        where a.entity = f.entity and a.kind = f.kind and a.id = f.id and (f.id <> 0 or a.said = f.said))
  ), grouped as (
    select f.entity, f.kind, count(*) as number,
           (select jsonb_agg(jsonb_build_object('id', e.id, 'said', left(e.said, 300)) order by e.id)
              from (select * from open_findings o where o.entity = f.entity and o.kind = f.kind order by o.id limit 10) e) as examples
      from open_findings f group by f.entity, f.kind
  )
  select coalesce(jsonb_agg(jsonb_build_object('entity', g.entity, 'kind', g.kind, 'count', g.number, 'examples', g.examples,
           'remedy', odoo_sync.remedy_of(g.kind)) order by g.entity, g.kind), '[]')
    into why from grouped g;
  verdict := case when why = '[]' then 'ready' else 'not_ready' end;
  update odoo_sync.final_checks c set state = verdict, reasons = why, ended_at = coalesce(c.ended_at, clock_timestamp())
   where c.id = judge_check.check_id;
  return verdict;
end
$$;
comment on function odoo_sync.judge_check(bigint) is 'Makes the verdict of a final check from its findings.';

-- Called at the end of each run that took part, and by each query of the certificate.
create or replace function odoo_sync.conclude_check() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c odoo_sync.final_checks;
  component text;
  looks record;
  undone text[];
begin
  select * into c from odoo_sync.final_checks f where f.state = 'running' for update skip locked;
  if not found then
    return;
  end if;
  undone := array(select p.entity from odoo_sync.final_check_parts p where p.check_id = c.id and p.done_at is null
                  union all
                  select j.name from unnest(c.jobs) j (name)
                   where not exists (select from odoo_sync.final_check_parts p where p.check_id = c.id and p.job = j.name));
  if undone = '{}' then
    if c.parts_done_at is null then
      select max(p.done_at) into c.parts_done_at from odoo_sync.final_check_parts p where p.check_id = c.id;
      update odoo_sync.final_checks f set parts_done_at = c.parts_done_at where f.id = c.id;
    end if;
    foreach component in array c.jobs loop
      select count(*) filter (where odoo_sync.changes_of(r.counts) > 0) as changed,
             coalesce((array_agg(odoo_sync.changes_of(r.counts) = 0 and coalesce(jsonb_array_length(r.counts -> 'unfinished'), 0) = 0
                                 order by r.started_at desc))[1], false) as quiet
        into looks
        from odoo_sync.runs r
       where r.job = component and r.outcome = 'success' and r.started_at > c.parts_done_at
         and r.mode in ('migrate', 'incremental', 'missing', 'full') and r.counts ->> 'only' is null;
      if not looks.quiet and looks.changed < 10 and c.asked_at > now() - interval '1 day' then
        return; -- The next run looks again.
      elsif not looks.quiet then
        insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
        values (c.id, 'check', 'changing', 0, 'Odoo went on changing while it was checked, or nobody looked any more.') on conflict do nothing;
      end if;
    end loop;
  elsif c.asked_at > now() - interval '1 day' then
    return;
  end if;
  insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
  select c.id, u.name, 'failed', 0, 'It was not compared to its end within a day.' from unnest(undone) u (name)
  on conflict do nothing;
  insert into odoo_sync.final_check_findings (check_id, entity, kind, id, said)
  select c.id, coalesce(p.entity, u.model), case when u.hidden then 'hidden' when u.id = -1 then 'frozen' else 'unreadable' end, greatest(u.id, 0),
         concat_ws(': ', nullif(array_to_string(u.fields, ', '), ''), u.said)
    from odoo_sync.unreadable u left join odoo_sync.final_check_parts p on p.check_id = c.id and p.evidence ->> 'model' = u.model
   where u.job = any (c.jobs)
  on conflict do nothing;
  perform odoo_sync.judge_check(c.id);
end
$$;
comment on function odoo_sync.conclude_check() is 'Ends the final check under way with its verdict, if all its parts are there and a last look found no change, or if a day has passed.';

create or replace function odoo_sync.acknowledge_for(entity text, kind text, ids bigint[], note text, who text) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  newest odoo_sync.final_checks;
  accepted bigint;
begin
  select * into newest from odoo_sync.final_checks c where c.state <> 'running' order by c.id desc limit 1;
  insert into odoo_sync.acknowledgements as a (entity, kind, id, said, who, note)
  select f.entity, f.kind, f.id, f.said, acknowledge_for.who, acknowledge_for.note
    from odoo_sync.final_check_findings f
   where f.check_id = newest.id and f.entity = acknowledge_for.entity and f.kind = acknowledge_for.kind
     and (acknowledge_for.ids is null or f.id = any (acknowledge_for.ids))
  on conflict on constraint acknowledgements_pkey do update
     set said = excluded.said, who = excluded.who, note = excluded.note, at = now() where a.id = 0 and a.said <> excluded.said;
  get diagnostics accepted = row_count;
  if accepted = 0 then
    raise exception 'the newest check found nothing of kind % among % that is not acknowledged already', kind, entity
      using hint = 'select entity, kind, id, said from odoo_sync.final_check_findings lists what it found.';
  end if;
  return format('%s acknowledged; the verdict is now: %s', accepted, odoo_sync.judge_check(newest.id));
end
$$;
comment on function odoo_sync.acknowledge_for(text, text, bigint[], text, text) is 'Accepts findings on somebody''s behalf.';

create or replace function odoo_sync.acknowledge(entity text, kind text, ids bigint[] default null, note text default null) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform odoo_sync.require_admin();
  return odoo_sync.acknowledge_for(acknowledge.entity, acknowledge.kind, acknowledge.ids, acknowledge.note, odoo_sync.who_asks());
end
$$;
comment on function odoo_sync.acknowledge(text, text, bigint[], text) is 'Accepts what the newest final check found (all of a kind, or the ids given), once and by name; says what the verdict is now.';

-- A change that a run finds after the verdict makes the verdict out of date.
create or replace function odoo_sync.age_checks() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if odoo_sync.changes_of(new.counts) > odoo_sync.changes_of(old.counts) then
    update odoo_sync.final_checks c
       set stale_at = now(), stale_why = format('%s found %s changes', new.job, odoo_sync.changes_of(new.counts))
     where c.state <> 'running' and c.stale_at is null and new.job = any (c.jobs);
  end if;
  return null;
end
$$;
comment on function odoo_sync.age_checks() is 'Marks the verdicts that a run has found out of date.';
create or replace trigger age_checks after update of counts on odoo_sync.runs for each row
  when (new.counts is distinct from old.counts) execute function odoo_sync.age_checks();

-- The newest check with its evidence, for people and for the page.
create or replace function odoo_sync.certificate() returns jsonb
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c odoo_sync.final_checks;
begin
  perform odoo_sync.require_admin();
  perform odoo_sync.conclude_check();
  select * into c from odoo_sync.final_checks f order by f.id desc limit 1;
  if not found then
    return jsonb_build_object('state', 'none', 'words', 'No check was asked for yet: select odoo_sync.final_check().');
  end if;
  return jsonb_build_object(
    'id', c.id, 'state', c.state, 'stale', c.stale_at is not null, 'stale_at', c.stale_at, 'stale_why', c.stale_why,
    'words', case
      when c.state = 'running' and c.parts_done_at is not null then 'All is compared; a last look at Odoo is under way.'
      when c.state = 'running' then 'The check is under way.'
      when c.stale_at is not null then 'Something changed since: check again.'
      when c.state = 'ready' then 'Everything that Odoo has is here, or stands on the lists below.'
      else 'Odoo must not be switched off yet.' end,
    'asked_at', c.asked_at, 'asked_by', c.asked_by, 'ended_at', c.ended_at, 'read_data', c.read_data, 'jobs', c.jobs,
    'sides', (select coalesce(jsonb_object_agg(i.side, i.words), '{}') from odoo_sync.identities i),
    'reasons', c.reasons,
    'parts', (select coalesce(jsonb_agg(jsonb_build_object('entity', p.entity, 'job', p.job, 'began_at', p.began_at, 'done_at', p.done_at,
                'evidence', p.evidence) order by p.job, p.entity), '[]') from odoo_sync.final_check_parts p where p.check_id = c.id),
    'acknowledged', (select coalesce(jsonb_agg(jsonb_build_object('entity', a.entity, 'kind', a.kind, 'id', a.id, 'said', a.said,
                       'who', a.who, 'at', a.at, 'note', a.note) order by a.entity, a.kind, a.id), '[]')
                       from odoo_sync.acknowledgements a join odoo_sync.final_check_findings f
                         on f.check_id = c.id and f.entity = a.entity and f.kind = a.kind and f.id = a.id and (f.id <> 0 or f.said = a.said)),
    'left_out', odoo_sync.left_out_of(c.id));
end
$$;
comment on function odoo_sync.certificate() is 'The newest final check: how far it is, or its verdict, with the evidence, the reasons, what was acknowledged by whom, and what is left out.';

-- What is not copied, and why.
create or replace function odoo_sync.left_out_of(check_id bigint) returns jsonb
  language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(jsonb_agg(l.line), '[]') from (
      select jsonb_build_object('what', 'models', 'words', 'Every model of Odoo but '
               || coalesce((select string_agg(p.evidence ->> 'model', ', ' order by p.entity) from odoo_sync.final_check_parts p
                             where p.check_id = left_out_of.check_id and p.evidence ? 'model'), 'none')
               || ': what it holds is not copied, but for its files.') as line
      union all
      select jsonb_build_object('what', 'jobs', 'words', format('%s takes no part: it was never scheduled.', j.component))
        from (select distinct k.component from odoo_sync.jobs k where k.path is not null) j
       where not exists (select from odoo_sync.final_checks c where c.id = left_out_of.check_id and j.component = any (c.jobs))
      union all
      select jsonb_build_object('what', p.entity, 'words', w.words)
        from odoo_sync.final_check_parts p cross join lateral jsonb_array_elements_text(p.evidence -> 'left_out') w (words)
       where p.check_id = left_out_of.check_id and jsonb_typeof(p.evidence -> 'left_out') = 'array') l
  $$;
comment on function odoo_sync.left_out_of(bigint) is 'What a final check leaves out, a line each.';

-- The Odoo and the bucket that the tables belong to.
create or replace function odoo_sync.adopt_odoo() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  known text;
begin
  perform odoo_sync.require_owner();
  delete from odoo_sync.identities i where i.side = 'odoo' returning i.words into known;
  return coalesce(format('Forgotten: %s. ', known), '') || 'The Odoo that the next run meets is the one that these tables belong to.';
end
$$;
comment on function odoo_sync.adopt_odoo() is 'Lets the components take up another Odoo: only where it holds the same records, such as a restored copy.';

create or replace function odoo_sync.move_storage() returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  known text;
begin
  perform odoo_sync.require_owner();
  if exists (select from odoo_sync.final_checks c where c.state = 'running') then
    raise exception 'a final check is under way'
      using hint = 'Wait for its end, or give it up by: select odoo_sync.cancel_check()';
  end if;
  delete from odoo_sync.identities i where i.side = 'storage' returning i.words into known;
  -- The other bucket has its own etags. All objects are verified there, and missing ones are queued.
  update public.odoo_attachments a set etag = null where a.etag is not null;
  insert into odoo_sync.final_checks (asked_by, jobs) values (odoo_sync.who_asks(), array['archive-batch']);
  return coalesce(format('Forgotten: %s. ', known), '')
    || 'The bucket that the next batch meets is the one that the catalogue belongs to; what is missing there is queued. Follow it by: select odoo_sync.certificate()';
end
$$;
comment on function odoo_sync.move_storage() is 'Moves to another bucket or project, once storage_url, storage_key or storage_bucket lead there: the next batches look for each file there, and queue what is missing.';

revoke execute on all routines in schema odoo_sync from public;
grant execute on function odoo_sync.conclude_check() to odoo_sync;
grant execute on function odoo_sync.certificate() to odoo_sync, authenticated, service_role;
grant execute on function odoo_sync.final_check(boolean), odoo_sync.cancel_check(), odoo_sync.acknowledge(text, text, bigint[], text)
  to authenticated, service_role;

commit;
