//! Who may do what: the owner, admins, other users, `anon`, and the components' role.

use tokio_postgres::Client;

use crate::project::{Project, query};
use crate::released;

/// Every table of the project.
const TABLES: &str = "select oid::regclass::text from pg_class
    where relkind in ('r', 'p') and relnamespace in ('odoo_sync'::regnamespace, 'public'::regnamespace) and relname <> 'user_roles' order by 1";

/// Whoever is connected may not even call these.
async fn are_denied(client: &Client, calls: &[&str]) {
    for call in calls {
        let refusal = query(client, &format!("select {call}"))
            .await
            .expect_err(call);
        assert!(refusal.contains("permission denied"), "{call}: {refusal}");
    }
}

#[tokio::test]
async fn anon_gets_nothing() {
    for project in Project::of_both_kinds().await {
        anon_gets_nothing_in(&project).await;
    }
}

async fn anon_gets_nothing_in(project: &Project) {
    let anon = project.database.connect_as("anon", None).await.unwrap();
    for table in project.sql(TABLES).await {
        for attempt in [
            format!("select from {table}"),
            format!("delete from {table}"),
            format!("insert into {table} default values"),
        ] {
            let refusal = query(&anon, &attempt).await.expect_err(&attempt);
            assert!(
                refusal.contains("permission denied"),
                "{attempt}: {refusal}"
            );
        }
    }
    let calls = [
        "odoo_sync.health()",
        "odoo_sync.rotate_key()",
        "odoo_sync.schedule('http://a')",
        "odoo_sync.run_now('archive-batch')",
        "odoo_sync.call('archive-odoo-files-batch')",
        "public.search_odoo_chatter('offer')",
    ];
    are_denied(&anon, &calls).await;
}

#[tokio::test]
async fn a_user_who_is_no_admin_sees_no_row_and_steers_nothing() {
    for project in Project::of_both_kinds().await {
        project.schedule("https://sync.example.com").await;
        a_user_steers_nothing_in(&project).await;
    }
}

async fn a_user_steers_nothing_in(project: &Project) {
    project.sql("insert into public.migration_logs (migrated) values (1); insert into odoo_sync.cursors (name) values ('leads')").await;
    let user = project.user(false).await;
    for table in project.sql(TABLES).await {
        match query(&user, &format!("select 1 from {table}")).await {
            Ok(rows) => assert!(rows.is_empty(), "{table}"),
            Err(refusal) => assert!(refusal.contains("permission denied"), "{table}: {refusal}"),
        }
        for attempt in [
            format!("delete from {table}"),
            format!("insert into {table} default values"),
        ] {
            let refusal = query(&user, &attempt).await.expect_err(&attempt);
            assert!(
                refusal.contains("permission denied"),
                "{attempt}: {refusal}"
            );
        }
    }
    for call in [
        "odoo_sync.health()",
        "odoo_sync.rotate_key()",
        "odoo_sync.pause('archive-batch')",
        "odoo_sync.resume('archive-batch')",
        "odoo_sync.run_now('archive-batch')",
        "odoo_sync.retry()",
        "odoo_sync.recount()",
    ] {
        let refusal = query(&user, &format!("select {call}"))
            .await
            .expect_err(call);
        assert!(
            refusal.contains("only an admin may do this"),
            "{call}: {refusal}"
        );
    }
    let calls = [
        "odoo_sync.call('archive-odoo-files-batch')",
        "odoo_sync.vault_key()",
        "odoo_sync.accept_key('a-key-that-is-long-enough-for-one', '', '1 day')",
        "odoo_sync.purge()",
    ];
    are_denied(&user, &calls).await;
    are_denied(&user, &OF_THE_OWNER).await;
}

/// What decides where keys go, and who gets one, is not for an application's admins and servers.
const OF_THE_OWNER: [&str; 5] = [
    "odoo_sync.set_key('a-key-that-is-long-enough-for-one')",
    "odoo_sync.new_key('mine', 'admin')",
    "odoo_sync.schedule('http://a')",
    "odoo_sync.unschedule()",
    "odoo_sync.set('keep_days.runs', '1')",
];

/// What holds keys, their hashes, or addresses that are secrets is for nobody but the owner.
const CLOSED: [&str; 3] = [
    "odoo_sync.accepted_keys",
    "odoo_sync.replaced_jobs",
    "odoo_sync.webhooks",
];

#[tokio::test]
async fn an_admin_reads_everything_but_keys_and_steers() {
    for project in Project::of_both_kinds().await {
        project.schedule("https://sync.example.com").await;
        an_admin_reads_and_steers_in(&project).await;
    }
}

async fn an_admin_reads_and_steers_in(project: &Project) {
    project
        .sql("insert into public.migration_logs (migrated) values (1)")
        .await;
    let admin = project.user(true).await;
    for table in project.sql(TABLES).await {
        let seen = query(&admin, &format!("select 1 from {table}")).await;
        assert_eq!(
            seen.is_ok(),
            !CLOSED.contains(&table.as_str()),
            "{table}: {seen:?}"
        );
    }
    assert_eq!(
        query(&admin, "select count(*) from public.migration_logs")
            .await
            .unwrap(),
        ["1"]
    );
    assert!(
        query(&admin, "delete from public.migration_logs")
            .await
            .is_err()
    );
    assert_eq!(
        query(&admin, "select count(*) from odoo_sync.health_view")
            .await
            .unwrap(),
        ["6"]
    );
    query(&admin, "select odoo_sync.pause('archive-batch')")
        .await
        .unwrap();
    assert_eq!(
        project
            .sql("select paused_by from odoo_sync.jobs where paused_at is not null")
            .await,
        ["someone@example.com"]
    );
    for call in [
        "odoo_sync.resume('archive-batch')",
        "odoo_sync.rotate_key()",
        "odoo_sync.run_now('archive-batch')",
    ] {
        query(&admin, &format!("select {call}")).await.expect(call);
    }
    are_denied(&admin, &OF_THE_OWNER).await;
}

#[tokio::test]
async fn service_role_reads_every_table_and_view_and_calls_what_is_for_people() {
    for project in Project::of_both_kinds().await {
        project.schedule("https://sync.example.com").await;
        project.sql("insert into public.odoo_leads (id) values (1); insert into public.odoo_messages (id, body_text) values (1, 'an offer')").await;
        let server = project
            .database
            .connect_as("service_role", None)
            .await
            .unwrap();
        let mut readable = project.sql(TABLES).await;
        let views = "select oid::regclass::text from pg_class where relkind = 'v' and relnamespace in ('odoo_sync'::regnamespace, 'public'::regnamespace)";
        readable.extend(project.sql(views).await);
        assert!(readable.len() > 20, "{readable:?}");
        for table in readable {
            let seen = query(&server, &format!("select 1 from {table}")).await;
            assert_eq!(
                seen.is_ok(),
                !CLOSED.contains(&table.as_str()),
                "{table}: {seen:?}"
            );
        }
        // The rows, not only the tables.
        let found = "select (select count(*) from public.odoo_pipeline) + (select count(*) from public.odoo_chatter)";
        assert_eq!(query(&server, found).await.unwrap(), ["2"]);
        for call in [
            "odoo_sync.health()",
            "odoo_sync.status()",
            "odoo_sync.setting('base_url')",
            "odoo_sync.remaining()",
            "odoo_sync.recount()",
            "odoo_sync.retry()",
            "odoo_sync.pause('archive-batch')",
            "odoo_sync.is_paused('archive-batch')",
            "odoo_sync.resume('archive-batch')",
            "odoo_sync.run_now('archive-batch')",
            "public.search_odoo_chatter('offer')",
        ] {
            query(&server, &format!("select {call}"))
                .await
                .unwrap_or_else(|refusal| panic!("{call}: {refusal}"));
        }
        are_denied(&server, &OF_THE_OWNER).await;
    }
}

#[tokio::test]
async fn what_is_the_owners_was_everybodys_once_and_is_so_no_more() {
    for version in released::VERSIONS {
        let project = released::installed(version).await;
        project.database.apply_sql().await.unwrap();
        are_denied(&project.user(true).await, &OF_THE_OWNER).await;
        let server = project.database.connect_as("service_role", None).await;
        are_denied(&server.unwrap(), &OF_THE_OWNER).await;
    }
}

#[tokio::test]
async fn the_components_role_has_the_rights_it_needs_and_no_more() {
    for project in Project::of_both_kinds().await {
        project.schedule("https://sync.example.com").await;
        the_components_rights_in(&project).await;
    }
}

async fn the_components_rights_in(project: &Project) {
    let component = project.database.connect_as_component().await.unwrap();
    for needed in [
        "insert into public.migration_logs (migrated, job) values (1, 'crm-sync'); update public.migration_logs set migrated = 2; delete from public.migration_logs",
        "insert into public.sync_validation_log (entity, verdict) values ('leads', 'same')",
        "insert into odoo_sync.runs (id, job, leased_until) values (gen_random_uuid(), 'crm-sync', now()); update odoo_sync.runs set outcome = 'success'; delete from odoo_sync.runs",
        "insert into odoo_sync.cursors (name) values ('leads') on conflict (name) do update set position = excluded.position",
        "insert into public.odoo_attachments (id) values (1); update public.odoo_attachments set name = 'a'",
    ] {
        query(&component, needed)
            .await
            .unwrap_or_else(|refusal| panic!("{needed}: {refusal}"));
    }
    assert_eq!(
        query(&component, "select count(*) from odoo_sync.accepted_keys")
            .await
            .unwrap(),
        ["1"],
        "it must see the rows"
    );
    assert_eq!(
        query(&component, "select count(*) from odoo_sync.health_view")
            .await
            .unwrap(),
        ["6"]
    );
    assert_eq!(
        query(&component, "select odoo_sync.is_paused('archive-batch')")
            .await
            .unwrap(),
        ["f"]
    );
    assert_eq!(
        query(
            &component,
            "select public.has_role(gen_random_uuid(), 'admin')"
        )
        .await
        .unwrap(),
        ["f"]
    );
    for refused in [
        "insert into odoo_sync.accepted_keys (hash) values (sha256(''))",
        "delete from odoo_sync.accepted_keys",
        "update odoo_sync.settings set value = '1'",
        "update odoo_sync.jobs set path = '/'",
        "select from odoo_sync.replaced_jobs",
        "select odoo_sync.rotate_key()",
        "select odoo_sync.schedule('http://a')",
        "select from vault.decrypted_secrets",
        "select from auth.users",
        "insert into public.user_roles (user_id, role) values (gen_random_uuid(), 'admin')",
        "create table public.mine ()",
        "create table odoo_sync.mine ()",
    ] {
        let refusal = query(&component, refused).await.expect_err(refused);
        assert!(
            refusal.contains("permission denied"),
            "{refused}: {refusal}"
        );
    }
    assert_eq!(
        query(&component, "show statement_timeout").await.unwrap(),
        ["30s"]
    );
    assert_eq!(
        query(&component, "show idle_in_transaction_session_timeout")
            .await
            .unwrap(),
        ["10s"]
    );
    assert_eq!(
        query(&component, "show random_page_cost").await.unwrap(),
        ["1.1"]
    );
}

#[tokio::test]
async fn every_table_has_row_level_security_and_no_function_is_everybodys() {
    let project = Project::new().await;
    let open_tables = "select oid::regclass::text from pg_class where relkind in ('r', 'p') and not relrowsecurity
        and relnamespace in ('odoo_sync'::regnamespace, 'public'::regnamespace)";
    assert_eq!(project.sql(open_tables).await, Vec::<String>::new());
    let public = "select oid::regprocedure::text from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
        where pronamespace = 'odoo_sync'::regnamespace and a.grantee = 0";
    assert_eq!(
        project.sql(public).await,
        Vec::<String>::new(),
        "functions that everybody may call"
    );
}

#[tokio::test]
async fn a_slot_belongs_to_one_run() {
    let project = Project::new().await;
    let claim = "insert into odoo_sync.runs (id, job, leased_until, slot) values (gen_random_uuid(), 'archive-batch', now(), 0)";
    project.sql(claim).await;
    assert!(project.refusal(claim).await.contains("runs_slot"));
    project
        .sql(&claim.replace("archive-batch", "crm-sync"))
        .await;
    project
        .sql(&format!(
            "update odoo_sync.runs set outcome = 'crashed'; {claim}"
        ))
        .await;
}

/// The rules of Supabase's linter about functions, policies and views, level WARN and ERROR, spelled anew.
const LINTS: [(&str, &str); 9] = [
    ("security_definer_view", "select c.oid::regclass::text from pg_class c where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace
        and not coalesce('security_invoker=true' = any (c.reloptions), false)"),
    ("materialized_view_in_api", "select c.oid::regclass::text from pg_class c where c.relkind = 'm' and c.relnamespace = 'public'::regnamespace"),
    ("function_search_path_mutable", "select p.oid::regprocedure::text from pg_proc p where p.pronamespace in ('public'::regnamespace, 'odoo_sync'::regnamespace)
        and not exists (select from unnest(p.proconfig) c where c like 'search\\_path=%')"),
    ("security_definer_function_executable", "select p.oid::regprocedure::text from pg_proc p where p.prosecdef and p.pronamespace = 'public'::regnamespace
        and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))"),
    ("rls_disabled", "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p') and not c.relrowsecurity
        and c.relnamespace in ('public'::regnamespace, 'odoo_sync'::regnamespace)"),
    ("auth_rls_initplan", "select p.polname || ' on ' || p.polrelid::regclass from pg_policy p
        where regexp_replace(coalesce(pg_get_expr(p.polqual, p.polrelid), '') || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''),
          '\\( SELECT auth\\.(uid|jwt|role)\\(\\)', '', 'g') ~ 'auth\\.(uid|jwt|role)\\(\\)|current_setting'"),
    ("rls_policy_always_true", "select p.polname || ' on ' || p.polrelid::regclass from pg_policy p
        where (pg_get_expr(p.polqual, p.polrelid) = 'true' or pg_get_expr(p.polwithcheck, p.polrelid) = 'true')
          and p.polroles && array[0::oid, 'anon'::regrole::oid, 'authenticated'::regrole::oid]"),
    ("rls_references_user_metadata", "select p.polname::text from pg_policy p where pg_get_expr(p.polqual, p.polrelid) ~ 'user_metadata'"),
    ("multiple_permissive_policies", "select p.polrelid::regclass || ' for ' || r from pg_policy p cross join unnest(p.polroles) r
        where p.polpermissive group by p.polrelid, r, p.polcmd having count(*) > 1"),
];

#[tokio::test]
async fn supabases_linter_has_nothing_to_warn_of() {
    let mut projects = vec![Project::new().await];
    for version in released::VERSIONS {
        let project = released::installed(version).await;
        project.database.apply_sql().await.unwrap();
        projects.push(project);
    }
    for project in projects {
        for (lint, query) in LINTS {
            // What stands for pg_net and the vault is in schemas of its own.
            assert_eq!(project.sql(query).await, Vec::<String>::new(), "{lint}");
        }
    }
    // Each of them finds what it is for.
    let project = Project::new().await;
    project
        .sql("create view public.all_leads as select * from public.odoo_leads;
              create materialized view public.kept_leads as select * from public.odoo_leads;
              create function public.loose() returns integer language sql security definer as 'select 1';
              grant execute on function public.loose() to authenticated;
              create table public.bare (id bigint primary key);
              create policy everybody on public.odoo_leads for select using (true);
              create policy mine on public.odoo_tags for select to authenticated using (auth.uid() is not null);
              create policy theirs on public.odoo_users for select to authenticated using ((select auth.jwt() -> 'user_metadata') is not null)")
        .await;
    for (lint, query) in LINTS {
        assert!(!project.sql(query).await.is_empty(), "{lint} finds nothing");
    }
}

/// A view of somebody's own reads with its owner's rights, and Supabase grants it to the API's roles.
#[tokio::test]
async fn a_view_that_shows_rows_to_everybody_is_told() {
    let project = Project::new().await;
    project
        .sql("create view public.sales as select * from public.odoo_pipeline;
              create view public.over_sales as select id from public.sales;
              create materialized view public.counted as select count(*) from public.odoo_messages;
              create view public.decided with (security_invoker = true) as select * from public.odoo_leads;
              create view public.unread as select * from public.odoo_users;
              revoke all on public.unread from anon, authenticated;
              create view public.of_others as select 1 as one;
              grant select on public.sales, public.over_sales, public.counted, public.decided to authenticated")
        .await;
    let open = project.sql("select view from odoo_sync.open_views()").await;
    assert_eq!(
        open,
        ["counted", "over_sales", "sales"].map(|view| format!("public.{view}"))
    );
    for _ in 0..2 {
        project.database.apply_sql().await.unwrap();
        let told = "select count(*) from odoo_sync.notices where words like 'The view %'";
        assert_eq!(project.sql(told).await, ["3"], "each once");
    }
    // What it tells to run helps.
    for remedy in project
        .sql("select remedy from odoo_sync.open_views()")
        .await
    {
        project.sql(&remedy).await;
    }
    let open = project.sql("select view from odoo_sync.open_views()").await;
    assert_eq!(open, Vec::<String>::new());
}
