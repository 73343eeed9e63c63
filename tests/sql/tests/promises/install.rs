//! The files run as they are, again without harm, and explain themselves.

use crate::project::{Project, server};

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
        crate::project::query(&admin, "select count(*) from public.migration_logs")
            .await
            .unwrap(),
        ["1"]
    );
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
    let states = crate::project::query(&owner, "select distinct state from odoo_sync.health()")
        .await
        .unwrap();
    assert_eq!(states, ["no_pg_cron"]);
    let refusal = crate::project::query(&owner, "select odoo_sync.rotate_key()")
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
