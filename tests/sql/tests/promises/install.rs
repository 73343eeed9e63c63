//! The files run as they are, again without harm, and explain themselves.

use world::postgres::Database;

use crate::project::{Project, query, server, without_pg_cron};
use crate::released;

#[tokio::test]
async fn the_files_run_as_the_owner_and_again_without_harm() {
    let database = server().await.bare_database().await.unwrap();
    database.apply_sql().await.unwrap();
    let project = Project::of(database).await;
    assert_eq!(
        project.sql("select current_setting('is_superuser')").await,
        ["off"]
    );
    project.schedule("https://sync.example.com").await;
    project.sql("select odoo_sync.set('keep_days.runs', '12'); select odoo_sync.pause('crm-sync'); insert into public.migration_logs (migrated) values (7)").await;
    let before = everything(&project).await;

    project.database.apply_sql().await.unwrap();
    for (after, before) in everything(&project).await.iter().zip(&before) {
        assert_eq!(after, before);
    }
}

/// What a second run must not change: data, settings, definitions, rights.
async fn everything(project: &Project) -> Vec<String> {
    let mut all = Vec::new();
    for question in [
        "select t::text from odoo_sync.settings t order by 1",
        "select t::text from odoo_sync.jobs t order by 1",
        "select t::text from odoo_sync.accepted_keys t order by 1",
        "select t::text from odoo_sync.schema_versions t order by 1",
        "select t::text from public.migration_logs t order by 1",
        "select t::text from cron.job t order by 1",
        "select concat_ws(' ', oid::regclass, relrowsecurity, array(select a::text from unnest(relacl) a order by 1)) from pg_class where relnamespace in ('public'::regnamespace, 'odoo_sync'::regnamespace) order by 1",
        "select concat_ws(' ', oid::regprocedure, array(select a::text from unnest(proacl) a order by 1)) from pg_proc where pronamespace in ('public'::regnamespace, 'odoo_sync'::regnamespace) order by 1",
        "select concat_ws(' ', polrelid::regclass, polname, polroles::regrole[], pg_get_expr(polqual, polrelid)) from pg_policy order by 1",
        "select concat_ws(' ', tgrelid::regclass, tgname) from pg_trigger where not tgisinternal order by 1",
    ] {
        all.push(project.sql(question).await.join("\n"));
    }
    all
}

#[tokio::test]
async fn an_application_that_has_its_own_logs_and_roles_keeps_them() {
    let database = server().await.bare_database().await.unwrap();
    let owner = database.connect().await.unwrap();
    owner
        .batch_execute(
            "create type public.app_role as enum ('admin', 'sales');
             create table public.user_roles (user_id uuid, role public.app_role, granted_by text);
             create function public.has_role(_user_id uuid, _role public.app_role) returns boolean language sql stable security definer
               as 'select exists (select from public.user_roles where user_id = _user_id and role = _role)';
             create table public.migration_logs (
               id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
               migrated int not null default 0, failed int not null default 0, remaining int, elapsed_s numeric,
               errors text[] default '{}', status text);
             insert into public.migration_logs (migrated, status) values (751, 'success');",
        )
        .await
        .unwrap();
    database.apply_sql().await.unwrap();
    let project = Project::of(database).await;
    assert_eq!(
        project
            .sql("select migrated || ' ' || job from public.migration_logs")
            .await,
        ["751 archive-batch"]
    );
    assert_eq!(
        project
            .sql("select count(*) from pg_proc where proname = 'has_role'")
            .await,
        ["1"]
    );
    let admin = project.user(true).await;
    assert_eq!(
        query(&admin, "select count(*) from public.migration_logs")
            .await
            .unwrap(),
        ["1"]
    );
}

/// An application's own log, with rights as they are found in the field.
const OPEN_LOG: &str = r#"
    create table public.migration_logs (
      id uuid primary key default gen_random_uuid(), created_at timestamptz not null default now(),
      migrated int not null default 0, failed int not null default 0, remaining int, elapsed_s numeric,
      errors text[] default '{}', status text);
    insert into public.migration_logs (migrated, status) values (751, 'success');
    alter table public.migration_logs enable row level security;
    create policy "Signed-in users read" on public.migration_logs for select to authenticated using (true);
    create policy everybody on public.migration_logs using (true) with check (true);
    create policy second_factor on public.migration_logs as restrictive to authenticated using (true);
    create policy reports on public.migration_logs for select to reporting using (true);
    grant select (migrated, status), insert on public.migration_logs to anon;
    grant select on public.migration_logs to reporting;"#;

/// What those policies were, as they could be made again.
const POLICIES: [&str; 2] = [
    r#"create policy "Signed-in users read" on public.migration_logs for select to authenticated using (true)"#,
    "create policy everybody on public.migration_logs for all to public using (true) with check (true)",
];

async fn strangers_read_nothing_and_are_told(project: &Project, replaced: &[&str]) {
    let user = project.user(false).await;
    let count = "select count(*) from public.migration_logs";
    assert_eq!(query(&user, count).await.unwrap(), ["0"]);
    let insert = "insert into public.migration_logs (migrated) values (1)";
    assert!(query(&user, insert).await.is_err());
    let anon = project.database.connect_as("anon", None).await.unwrap();
    for attempt in ["select migrated from public.migration_logs", insert] {
        let refusal = query(&anon, attempt).await.unwrap_err();
        assert!(refusal.contains("permission denied"), "{refusal}");
    }
    let admin = project.user(true).await;
    assert_eq!(query(&admin, count).await.unwrap(), ["1"]);

    // What a person gave to a role of its own is no stranger's, and what narrows opens nothing.
    let reporting = project
        .database
        .connect_as("reporting", None)
        .await
        .unwrap();
    assert_eq!(query(&reporting, count).await.unwrap(), ["1"]);
    let policies = "select polname from pg_policy where polrelid = 'public.migration_logs'::regclass order by 1";
    assert_eq!(
        project.sql(policies).await,
        ["admins_read", "component", "reports", "second_factor"]
    );
    // The old functions write by the service key, until their jobs are replaced.
    let old_function = project
        .database
        .connect_as("service_role", None)
        .await
        .unwrap();
    query(&old_function, &format!("begin; {insert}; rollback"))
        .await
        .unwrap();

    project.schedule("https://sync.example.com").await;
    let health = project.health_of("odoo-sync-purge").await;
    assert_eq!(
        (health.state.as_str(), health.ok),
        ("notice", true),
        "{health:?}"
    );
    let notices: Vec<String> = serde_json::from_value(health.detail["notices"].clone()).unwrap();
    // Postgres 17 has one right more.
    let older = |words: &str| words.replace(" maintain,", "");
    for right in replaced {
        assert!(
            notices.iter().any(|words| older(words).contains(right))
                && older(&health.problem).contains(right),
            "{right}: {health:?}"
        );
    }
    // Tables that the files made themselves held nothing that anybody could have read.
    assert!(
        notices.iter().all(|words| words.contains("migration_logs")),
        "{notices:?}"
    );
    project.sql("delete from odoo_sync.notices").await;
    project.database.apply_sql().await.unwrap();
    assert_eq!(project.health_of("odoo-sync-purge").await.state, "waiting");
}

async fn with_an_open_log() -> Database {
    let database = server().await.bare_database().await.unwrap();
    let superuser = database.connect_as_superuser().await.unwrap();
    let reporting = "do $$ begin
        create role reporting nologin;
      exception when duplicate_object or unique_violation then null;
      end $$;
      grant reporting to postgres;
      grant usage on schema public to reporting";
    superuser.batch_execute(reporting).await.unwrap();
    let owner = database.connect().await.unwrap();
    owner.batch_execute(OPEN_LOG).await.unwrap();
    database
}

#[tokio::test]
async fn a_table_that_is_taken_over_keeps_no_rights_of_strangers() {
    let database = with_an_open_log().await;
    database.apply_sql().await.unwrap();
    let mut replaced = POLICIES.to_vec();
    replaced.push("grant delete, insert, references, select, select (migrated), select (status), trigger, truncate, update on public.migration_logs to anon");
    strangers_read_nothing_and_are_told(&Project::of(database).await, &replaced).await;
}

#[tokio::test]
async fn nor_does_one_that_an_older_version_took_over() {
    for version in released::VERSIONS {
        let database = with_an_open_log().await;
        released::install(&database, version).await;
        database.apply_sql().await.unwrap();
        // That version took the grants, and left the policies.
        strangers_read_nothing_and_are_told(&Project::of(database).await, &POLICIES).await;
    }
}

#[tokio::test]
async fn without_the_extensions_the_rest_is_set_up_all_the_same() {
    let database = server().await.bare_database().await.unwrap();
    let superuser = database.connect_as_superuser().await.unwrap();
    superuser
        .batch_execute(
            "drop schema cron cascade; drop schema net cascade; drop schema vault cascade",
        )
        .await
        .unwrap();
    database.apply_sql().await.unwrap();
    let owner = database.connect().await.unwrap();
    let states = query(&owner, "select distinct state from odoo_sync.health()")
        .await
        .unwrap();
    assert_eq!(states, [without_pg_cron(&owner).await]);
    let refusal = query(&owner, "select odoo_sync.rotate_key()")
        .await
        .unwrap_err();
    assert!(
        refusal.contains("Switch on the extension supabase_vault"),
        "{refusal}"
    );
}

#[tokio::test]
async fn every_table_and_column_and_function_says_what_it_is() {
    let project = Project::new().await;
    let silent = "
        select c.oid::regclass || coalesce('.' || a.attname, '')
        from pg_class c
        left join lateral (
          select null::name as attname, 0 as attnum union all
          select attname, attnum from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) a on true
        where c.relnamespace in ('odoo_sync'::regnamespace, 'public'::regnamespace) and c.relkind in ('r', 'v', 'p')
          and not exists (select from pg_description d where d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = a.attnum)
          -- A view's column that is a table's says there what it is.
          and not (c.relkind = 'v' and a.attnum > 0 and exists (
            select from pg_attribute t join pg_class r on r.oid = t.attrelid
              join pg_description d on d.objoid = r.oid and d.classoid = 'pg_class'::regclass and d.objsubid = t.attnum
             where r.relnamespace = c.relnamespace and r.relkind = 'r' and t.attname = a.attname))
        union all
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'odoo_sync'::regnamespace and obj_description(p.oid, 'pg_proc') is null";
    assert_eq!(project.sql(silent).await, Vec::<String>::new());
}
