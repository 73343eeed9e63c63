-- What hosted Supabase lets the project's owner do with pg_cron, the real one or the stand-in: call
-- its functions, read both tables, delete run details; never write cron.job.
do $$
declare
  owner text := current_setting('world.owner');
begin
  execute format('grant usage on schema cron to %I with grant option', owner);
  execute format('grant all on all functions in schema cron to %I with grant option', owner);
  execute format('grant all on cron.job_run_details to %I with grant option', owner);
  execute format('grant all on all sequences in schema cron to %I with grant option', owner);
  execute format('grant select on cron.job to %I with grant option', owner);
end
$$;
