//! The chatter is searched by its index, also by those whom row-level security holds back.

use crate::project::{Project, eventually, query};

/// Many messages, a few of them about an offer; the newest of these is gone from Odoo. What the index has yet to
/// take in, as autovacuum would have it do, is taken in.
const MESSAGES: &str = "
    insert into public.odoo_messages (id, model, res_id, date, email_from, kind, subject, body_text, deleted_at)
    select n, 'crm.lead', n % 100, now() - make_interval(mins => 20000 - n), 'Ada <ada@example.com>', 'note', 'About ' || n,
           case when n % 1000 = 0 then 'what about offer ' || n || '?' else 'hello' end,
           case when n = 20000 then now() end
      from generate_series(1, 20000) n;
    select gin_clean_pending_list('public.odoo_messages_search');
    analyze public.odoo_messages";

#[tokio::test]
async fn an_admin_s_search_goes_by_the_index() {
    let project = Project::new().await;
    project.sql(MESSAGES).await;
    let superuser = project.database.connect_as_superuser().await.unwrap();
    let reads = async || {
        let read = "select t.seq_scan, i.idx_scan, (select count(*) from pg_stat_activity a where a.usename = 'authenticated' and a.datname = current_database())
                      from pg_stat_user_tables t, pg_stat_user_indexes i
                     where t.relname = 'odoo_messages' and i.indexrelname = 'odoo_messages_search'";
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
