//! Somebody who has the components' password, and nothing else.

use crate::project::{Project, query, server};
use crate::released;

/// Types and operators that the caller's own temporary schema has too, each of which runs a function of
/// the caller's: it notes whom it ran as. Polymorphic, so that it takes whatever comes.
const TRAPS: &str = r"
    create temp table ran_as (role_name pg_catalog.name, by_way_of pg_catalog.text);
    grant all on ran_as to public;
    create function pg_temp.trap(value anyelement, name pg_catalog.text) returns boolean language plpgsql as $f$
    begin
      if current_user <> 'odoo_sync' then
        insert into pg_temp.ran_as values (current_user, name);
      end if;
      return true;
    end $f$;
    grant execute on function pg_temp.trap(anyelement, pg_catalog.text) to public;
    do $do$
    declare
      type_name pg_catalog.text;
    begin
      -- Every type that something may be cast to, but those that domains cannot stand on.
      for type_name in
        select t.typname from pg_catalog.pg_type t
        where t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace and t.typtype in ('b', 'r', 'm') and t.typname !~ '^_'
      loop
        execute pg_catalog.format('create domain pg_temp.%I as pg_catalog.%I check (pg_temp.trap(value, %L))', type_name, type_name, 'type ' || type_name);
      end loop;
    end
    $do$;
    create function pg_temp.text_trap(a pg_catalog.text, b pg_catalog.text) returns pg_catalog.text language plpgsql as
      $f$ begin perform pg_temp.trap(a, 'operator'); return pg_catalog.concat(a, b); end $f$;
    create function pg_temp.same_trap(a pg_catalog.text, b pg_catalog.text) returns boolean language plpgsql as
      $f$ begin perform pg_temp.trap(a, 'operator'); return pg_catalog.texteq(a, b); end $f$;
    create function pg_temp.now() returns pg_catalog.timestamptz language plpgsql as
      $f$ begin perform pg_temp.trap(1, 'function'); return pg_catalog.now(); end $f$;
    create operator pg_temp.|| (leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = pg_temp.text_trap);
    create operator pg_temp.= (leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = pg_temp.same_trap);
    create temp view pg_class as select c.*, pg_temp.trap(1, 'relation') from pg_catalog.pg_class c;
    create temp view pg_proc as select p.*, pg_temp.trap(1, 'relation') from pg_catalog.pg_proc p;
    create temp view pg_roles as select r.*, pg_temp.trap(1, 'relation') from pg_catalog.pg_roles r;
    grant select on pg_class, pg_proc, pg_roles to public;
";

/// A call of each routine that runs as its owner and that the caller may call, with nothing for its
/// arguments.
const CALLS: &str = "
    select pg_catalog.format('select count(*) from %s(%s)', p.oid::pg_catalog.regproc,
      (select pg_catalog.string_agg(pg_catalog.format('null::%s', a.type::pg_catalog.regtype), ', ') from pg_catalog.unnest(p.proargtypes) a (type)))
    from pg_catalog.pg_proc p
    where p.prosecdef and p.prorettype <> 'trigger'::pg_catalog.regtype
      and p.pronamespace in ('odoo_sync'::pg_catalog.regnamespace, 'public'::pg_catalog.regnamespace)
      and pg_catalog.has_function_privilege('odoo_sync', p.oid, 'execute')";

async fn nothing_runs_as_the_owner(project: &Project) {
    project.schedule("https://sync.example.com").await;
    project
        .sql("insert into public.odoo_attachments (id, state) values (1, 'dead'); insert into public.odoo_messages (id, body_text) values (1, 'an offer')")
        .await;
    let mut calls = project.sql(CALLS).await;
    assert!(calls.len() >= 8, "{calls:?}");
    calls.extend(
        [
            "select count(*) from odoo_sync.health_view",
            "select odoo_sync.status()",
            "select odoo_sync.act('retry', 'archive-batch', null, null)",
            "select odoo_sync.act('pause', 'crm-sync', gen_random_uuid(), null)",
            "select odoo_sync.act('resume', 'crm-sync', gen_random_uuid(), null)",
            "select odoo_sync.act('run', 'odoo-crm-sync-nightly', null, null)",
            "select odoo_sync.act('run', 'odoo-sync-purge', null, null)",
            "select odoo_sync.recount()",
            "insert into public.odoo_attachments (id, file_size) values (2, 10)",
            "update public.odoo_attachments set file_size = 11 where id = 2",
            "select public.has_role(gen_random_uuid(), 'admin')",
        ]
        .map(str::to_owned),
    );
    let component = project.database.connect_as_component().await.unwrap();
    query(&component, TRAPS).await.unwrap();
    for call in calls {
        // What it says does not matter: a trap may well break it.
        let _ = query(&component, &call).await;
        let ran = "select distinct by_way_of from pg_temp.ran_as";
        assert_eq!(
            query(&component, ran).await.unwrap(),
            Vec::<String>::new(),
            "{call}"
        );
    }
}

#[tokio::test]
async fn the_components_password_runs_nothing_as_the_owner() {
    nothing_runs_as_the_owner(&Project::new().await).await;
}

#[tokio::test]
async fn nor_does_it_once_the_files_were_run_on_an_older_installation() {
    for version in released::VERSIONS {
        let project = released::installed(version).await;
        project.database.apply_sql().await.unwrap();
        every_routine_is_safe(&project).await;
        nothing_runs_as_the_owner(&project).await;
    }
}

/// Whatever the caller made in its own temporary schema is found last, types too: with an empty
/// `search_path` Postgres looks for types there first.
async fn every_routine_is_safe(project: &Project) {
    let ours = "from pg_proc p where p.proowner = current_user::regrole and not exists (
        select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')";
    let in_schemas =
        format!("select distinct p.pronamespace::regnamespace::text {ours} order by 1");
    assert_eq!(project.sql(&in_schemas).await, ["odoo_sync", "public"]);
    let loose = format!(
        "select p.oid::regprocedure {ours} and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)"
    );
    assert_eq!(project.sql(&loose).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_routine_finds_what_its_caller_made_last() {
    every_routine_is_safe(&Project::new().await).await;
}

/// Who is an admin, as an application has said it before these files came: with names that say no schema.
const OWN_HAS_ROLE: &str = "
    create type public.app_role as enum ('admin', 'user');
    create table public.user_roles (user_id uuid, role public.app_role);
    alter table public.user_roles enable row level security;
    create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
      language sql stable security definer";

#[tokio::test]
async fn an_applications_own_has_role_runs_nothing_of_its_callers() {
    // The components' role gets in.
    Project::new().await;
    for says in [
        "",
        "set search_path = public",
        "set search_path to '$user', public",
    ] {
        let database = server().await.bare_database().await.unwrap();
        let owner = database.connect().await.unwrap();
        let own = format!(
            "set search_path = public; {OWN_HAS_ROLE} {says}
             as $$ select exists (select 1 from user_roles where user_id = _user_id and role = _role) $$; reset search_path"
        );
        query(&owner, &own).await.unwrap();
        database.apply_sql().await.unwrap();
        let project = Project::of(database).await;
        let component = project.database.connect_as_component().await.unwrap();
        let trap = "
            create temp table ran_as (role_name name);
            grant all on ran_as to public;
            create function pg_temp.trap() returns boolean language plpgsql as $f$
              begin insert into pg_temp.ran_as values (current_user); return true; end $f$;
            grant execute on function pg_temp.trap() to public;
            create temp view user_roles as
              select gen_random_uuid() as user_id, 'admin'::public.app_role as role where pg_temp.trap();
            grant select on user_roles to public;";
        query(&component, trap).await.unwrap();
        let asked = "select public.has_role(gen_random_uuid(), 'admin')";
        assert_eq!(query(&component, asked).await.unwrap(), ["f"], "{says}");
        let ran = query(&component, "select role_name from pg_temp.ran_as").await;
        assert_eq!(ran.unwrap(), Vec::<String>::new(), "{says}");
        // It says of the application's users what it said, and that it was changed is told.
        assert_eq!(
            query(
                &project.user(true).await,
                "select odoo_sync.pause('crm-sync')"
            )
            .await
            .unwrap()
            .len(),
            2
        );
        assert!(
            query(
                &project.user(false).await,
                "select odoo_sync.resume('crm-sync')"
            )
            .await
            .is_err()
        );
        let told = "select count(*) from odoo_sync.notices where words like '%has_role%pg_temp%'";
        assert_eq!(project.sql(told).await, ["1"], "{says}");
        project.database.apply_sql().await.unwrap();
        assert_eq!(project.sql(told).await, ["1"], "told once: {says}");
    }
}
