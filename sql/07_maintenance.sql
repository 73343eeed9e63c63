-- odoo-to-supabase, 7: what keeps tables from growing without bound.

begin;

-- Deletes what is older than the settings keep_days.* say: in pg_cron's and pg_net's tables only rows of these
-- jobs, in the logs only rows that the components wrote, because another application may use the same tables.
-- The components' rows name their run; rows about refused calls have no run and are recognised by their text.
create or replace function odoo_sync.purge() returns jsonb
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  purged jsonb := '{}';
  gone bigint;
  since timestamptz;
  what record;
begin
  perform odoo_sync.collect_answers();

  for what in
    select * from (values
      ('migration_logs', 'public.migration_logs', 'created_at', 'run_id is not null or (status = ''auth_error'' and errors[1] like ''a call came with%'')'),
      ('sync_validation_log', 'public.sync_validation_log', 'created_at', 'run_id is not null'),
      ('runs', 'odoo_sync.runs', 'started_at', 'outcome <> ''running'''),
      ('calls', 'odoo_sync.calls', 'called_at', 'true'),
      ('calls', 'odoo_sync.alerts', 'posted_at', 'true')
    ) w (setting, in_table, by_column, condition)
  loop
    since := now() - (odoo_sync.setting('keep_days.' || what.setting) #>> '{}')::numeric * interval '1 day';
    execute format('delete from %s where %I < $1 and (%s)', what.in_table, what.by_column, what.condition) using since;
    get diagnostics gone = row_count;
    purged := purged || jsonb_build_object(what.setting, gone + coalesce((purged ->> what.setting)::bigint, 0));
  end loop;

  -- Rows deleted in Odoo, if a setting limits how long they are kept. Files stay in the catalogue and in the bucket.
  if odoo_sync.setting('keep_days.deleted') is distinct from 'null' then
    since := now() - (odoo_sync.setting('keep_days.deleted') #>> '{}')::numeric * interval '1 day';
    for what in
      select p.polrelid::regclass as in_table from pg_policy p join pg_attribute a on a.attrelid = p.polrelid and a.attname = 'row_hash'
       where p.polname = 'admins_read' order by 1
    loop
      execute format('delete from %s where deleted_at < $1', what.in_table) using since;
      get diagnostics gone = row_count;
      purged := purged || jsonb_build_object('deleted', gone + coalesce((purged ->> 'deleted')::bigint, 0));
    end loop;
  end if;

  if to_regclass('cron.job_run_details') is not null then
    since := now() - (odoo_sync.setting('keep_days.cron_job_run_details') #>> '{}')::numeric * interval '1 day';
    -- A run that could not be started has no time: it counts as old as the next run that has one. Of those without a
    -- later run, those among the newest hundred runs are kept.
    with ours as (
      select d.runid, coalesce(d.end_time, d.start_time) as at, d.status,
             row_number() over (partition by d.jobid order by d.runid desc) as nth
      from cron.job_run_details d
      where d.jobid in (select c.jobid from cron.job c join odoo_sync.jobs j on j.name = c.jobname)
         or d.jobid in (select r.jobid from odoo_sync.replaced_jobs r)
    )
    delete from cron.job_run_details d using ours o
    where d.runid = o.runid and (o.at < since or o.at is null and o.status = 'failed'
      and (o.nth > 100 or o.runid < (select max(k.runid) from ours k where k.at < since)));
    get diagnostics gone = row_count;
    purged := purged || jsonb_build_object('cron_job_run_details', gone);
  end if;

  -- pg_net purges its answers itself, but only when the next request comes.
  if odoo_sync.net_state() = 'open' then
    since := now() - (odoo_sync.setting('keep_days.net_responses') #>> '{}')::numeric * interval '1 day';
    delete from net._http_response r using odoo_sync.calls c
    where r.created < since and c.request_id = r.id and c.answered_at = r.created;
    get diagnostics gone = row_count;
    purged := purged || jsonb_build_object('net_responses', gone);
  end if;

  -- Entries that several full readings have not met again are deleted. Messages are never read in full again: an entry
  -- of a message goes when that message is next read.
  delete from odoo_sync.unreadable u
  where u.seen_at < now() - interval '3 days' and (u.job <> 'chatter-sync' or u.fields = '{}');
  delete from odoo_sync.accepted_keys k where k.expires_at < now() - interval '1 day';
  if to_regprocedure('odoo_sync.ask_for_check()') is not null then
    perform odoo_sync.ask_for_check();
  end if;
  -- Other jobs' rows may push its row out of the part of pg_cron's table that is looked at, within hours.
  update odoo_sync.jobs j set ran_at = now() where j.name = 'odoo-sync-purge';
  return purged;
end
$$;
comment on function odoo_sync.purge() is 'Deletes what is older than the settings keep_days.* say, and asks for the daily check of the set-up; returns how many rows of each table.';

revoke execute on all routines in schema odoo_sync from public;

commit;
