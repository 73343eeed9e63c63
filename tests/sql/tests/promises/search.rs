//! The chatter is searched by its index, also by those whom row-level security holds back.

use crate::project::{Project, eventually, query, server};

/// Many messages, a few of them about an offer; the newest of these is gone from Odoo. What the index has yet to
/// take in, as autovacuum would have it do, is taken in.
const MESSAGES: &str = "
    insert into public.odoo_messages (id, model, res_id, date, email_from, kind, subject, body_text, deleted_at)
    select n, 'crm.lead', n % 100, now() - make_interval(mins => 20000 - n), 'Ada <ada@example.com>', 'note', 'About ' || n,
           case when n % 1000 = 0 then 'what about offer ' || n || '?' else 'hello' end,
           case when n = 20000 then now() end
      from generate_series(1, 20000) n;
    select gin_clean_pending_list('public.odoo_messages_words');
    analyze public.odoo_messages";

#[tokio::test]
async fn an_admin_s_search_goes_by_the_index() {
    let project = Project::new().await;
    project.sql(MESSAGES).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    let reads = async || {
        let read = "select t.seq_scan, i.idx_scan, (select count(*) from pg_stat_activity a where a.usename = 'authenticated' and a.datname = current_database())
                      from pg_stat_user_tables t, pg_stat_user_indexes i
                     where t.relname = 'odoo_messages' and i.indexrelname = 'odoo_messages_words'";
        let row = superuser.query_one(read, &[]).await.unwrap();
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, i64>(2),
        )
    };
    let admin = project.user(true).await;
    let (seq_before, idx_before, _) = reads().await;
    let found = "select id || ' ' || author || ' ' || found from public.search_odoo_chatter('\"about offer\"', 2)";
    assert_eq!(
        query(&admin, found).await.unwrap(),
        [
            "19000 Ada what «about» «offer» 19000?",
            "18000 Ada what «about» «offer» 18000?"
        ]
    );
    // What a session read is told when it ends.
    drop(admin);
    let told = eventually(|| async {
        match reads().await {
            (seq, idx, 0) if idx > idx_before => Ok(seq),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(told.await.unwrap(), seq_before, "not row by row");
}

#[tokio::test]
async fn a_search_finds_nothing_for_who_is_no_admin_and_no_more_than_is_shown() {
    let project = Project::new().await;
    project.sql(MESSAGES).await;
    let count = |at_most: &str| {
        format!("select count(*) from public.search_odoo_chatter('hello or offer', {at_most})")
    };
    let user = project.user(false).await;
    assert_eq!(query(&user, &count("20")).await.unwrap(), ["0"]);
    let admin = project.user(true).await;
    for (at_most, found) in [("20", "20"), ("100000", "100"), ("-1", "0"), ("null", "20")] {
        assert_eq!(query(&admin, &count(at_most)).await.unwrap(), [found]);
    }
    let backend = project
        .database
        .connect_as("service_role", None)
        .await
        .unwrap();
    assert_eq!(query(&backend, &count("20")).await.unwrap(), ["20"]);
    for words in ["''", "null", "'no-such-word'"] {
        let search = format!("select count(*) from public.search_odoo_chatter({words})");
        assert_eq!(query(&admin, &search).await.unwrap(), ["0"], "{words}");
    }
}

/// Someone of whom all three speak.
const EVERYWHERE: &str = "
    insert into public.odoo_partners (id, name, city, comment_text, write_date, row_hash) values
      (1, 'Müller & Söhne', 'Zürich', 'They build houses.', now(), 'a'), (2, 'Someone else', 'Bern', null, now(), 'b');
    insert into public.odoo_leads (id, name, partner_name, description_text, write_date, row_hash) values
      (1, 'A house', 'Müller', 'Wants a quotation.', now(), 'a'), (2, 'Deleted house', 'Müller', null, now(), 'b');
    update public.odoo_leads set deleted_at = now() where id = 2;
    insert into public.odoo_messages (id, model, res_id, date, kind, subject, body_text, is_internal) values
      (1, 'crm.lead', 1, now(), 'email', 'Re: houses', 'Herr Müller asks for two quotations', false)";

/// What is found, best first: where, its id, and its snippet.
async fn found(client: &tokio_postgres::Client, words: &str) -> Vec<String> {
    let search = format!(
        "select concat_ws(' ', s.found_in, s.id, s.model, s.res_id) from public.search_odoo('{words}') s order by 1"
    );
    query(client, &search).await.unwrap()
}

#[tokio::test]
async fn leads_contacts_and_messages_are_found_by_one_question_whatever_their_accents() {
    let project = Project::new().await;
    project.sql(EVERYWHERE).await;
    let admin = project.user(true).await;
    let all = [
        "lead 1 crm.lead 1",
        "message 1 crm.lead 1",
        "partner 1 res.partner 1",
    ];
    assert_eq!(found(&admin, "müller").await, all);
    assert_eq!(found(&admin, "MULLER").await, all);
    assert_eq!(found(&admin, "zurich").await, [all[2]]);
    let snippet =
        "select s.title || ': ' || s.found from public.search_odoo('quotation', 20, '{lead}') s";
    assert_eq!(
        query(&admin, snippet).await.unwrap(),
        ["A house: Müller\nWants a «quotation»."]
    );
    // A title counts more than what stands below it.
    let best = "select s.found_in from public.search_odoo('houses or house') s limit 1";
    assert_ne!(query(&admin, best).await.unwrap(), ["partner"]);
    let user = project.user(false).await;
    assert_eq!(found(&user, "müller").await, Vec::<String>::new());
}

#[tokio::test]
async fn another_text_configuration_makes_the_indices_anew() {
    let project = Project::new().await;
    project.sql(EVERYWHERE).await;
    let admin = project.user(true).await;
    // As they are, words are not found by others of the same stem.
    assert_eq!(found(&admin, "quotations").await, ["message 1 crm.lead 1"]);
    project
        .sql("select odoo_sync.set('search_configuration', '\"english\"')")
        .await;
    assert_eq!(
        found(&admin, "quotations").await,
        ["lead 1 crm.lead 1", "message 1 crm.lead 1"]
    );
    assert_eq!(found(&admin, "muller").await.len(), 3);
    // The files of the folder, run again, leave it so.
    project.database.apply_sql().await.unwrap();
    assert_eq!(
        found(&admin, "quotation").await,
        ["lead 1 crm.lead 1", "message 1 crm.lead 1"]
    );
    let wrong = "select odoo_sync.set('search_configuration', '\"klingon\"')";
    let refusal = project.refusal(wrong).await;
    assert!(
        refusal.contains("there is no text search configuration klingon"),
        "{refusal}"
    );
}

#[tokio::test]
async fn where_unaccent_may_not_be_created_the_rest_is_there() {
    let database = server().await.bare_database().await.unwrap();
    let superuser = database.connect_as_superuser().await.unwrap();
    let forbid = "create function public.forbid() returns event_trigger language plpgsql as $$ begin raise exception 'not here'; end $$;
         create event trigger forbid on ddl_command_start when tag in ('CREATE EXTENSION') execute function public.forbid()";
    superuser.batch_execute(forbid).await.unwrap();
    database.apply_sql().await.unwrap();
    let project = Project::of(database).await;
    project.sql(EVERYWHERE).await;
    let admin = project.user(true).await;
    assert_eq!(found(&admin, "müller").await.len(), 3);
    assert_eq!(found(&admin, "muller").await, Vec::<String>::new());
    superuser
        .batch_execute("drop event trigger forbid")
        .await
        .unwrap();
    project.database.apply_sql().await.unwrap();
    assert_eq!(found(&admin, "muller").await.len(), 3);
}
