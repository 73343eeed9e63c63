//! Odoo's answers, in both protocols, to everything that is asked of it.

use futures::StreamExt;
use futures::executor::block_on;
use odoo::attachment::Selection;
use odoo::records::Model;
use odoo::{Known, Odoo, ProtocolChoice, Settings, Window};
use outbound::Secret;
use serde_json::Map;

use crate::outside::{InstantClock, KEY, ORIGIN, Recorded, Server, check};

/// The answer of JSON-RPC.
pub fn json_rpc(data: &[u8]) {
    ask_everything(ProtocolChoice::JsonRpc, data);
}

/// The answer of JSON-2.
pub fn json_2(data: &[u8]) {
    ask_everything(ProtocolChoice::Json2, data);
}

/// The answer with a file's content, headers and all.
pub fn content(data: &[u8]) {
    for offset in [0, 7] {
        let odoo = odoo(ProtocolChoice::JsonRpc, data);
        block_on(async {
            if let Some(Some(content)) = check(odoo.content(5, offset, 64).await) {
                let mut chunks = content.chunks;
                while let Some(Ok(_)) = chunks.next().await {}
            }
        });
        // With a key alone, a token is asked for, and put into an address.
        let odoo = with(ProtocolChoice::JsonRpc, data, |settings| {
            settings.password = Secret::default();
            settings.may_write_access_tokens = true;
        });
        check(block_on(odoo.content(5, offset, 64)));
    }
}

fn ask_everything(protocol: ProtocolChoice, data: &[u8]) {
    block_on(async {
        let of = || odoo(protocol, data);
        let named = Map::new();
        check(
            of().call::<i64>("crm.lead", "search_count", None, named)
                .await,
        );
        let selection = Selection::default();
        let window = Window::default();
        if let Some(newest) = check(of().newest_write(&selection).await) {
            // What a reading begins with is what its windows are made of.
            let window = Window {
                until: newest,
                since: newest,
                ..window
            };
            assert!(!window.domain().is_empty());
        }
        check(of().attachments(&selection, window, 100).await);
        check(of().attachment_ids(&selection, window, 100).await);
        let model = Model {
            name: "crm.lead",
            domain: &[],
            language: "",
            undated: None,
            links: &[],
        };
        check(of().newest_record(model).await);
        check(of().fields("crm.lead", "").await);
        let fields = ["name".to_owned()];
        check(of().records(model, window, &fields, 100).await);
        if let Some(stamps) = check(of().stamps(model, window, 100).await) {
            assert!(stamps.is_sorted_by(|one, next| one.id < next.id));
        }
        if let Some(mut files) = check(of().datas(&[5, 6], 1_000).await) {
            let mut bytes = 0;
            while let Some(Some(file)) = check(files.next().await) {
                bytes += file.content.len();
            }
            assert!(bytes <= 1_000, "{bytes} bytes are held, 1,000 were allowed");
        }
        if let Some(mut chunks) = check(of().datas_stream(5).await) {
            while let Some(Some(chunk)) = chunks.next().await.map(check) {
                assert!(!chunk.is_empty());
            }
        }
    });
}

fn odoo(protocol: ProtocolChoice, data: &[u8]) -> Odoo<Server, InstantClock> {
    with(protocol, data, |_| {})
}

fn with(
    protocol: ProtocolChoice,
    data: &[u8],
    change: impl FnOnce(&mut Settings),
) -> Odoo<Server, InstantClock> {
    let mut settings = Settings {
        url: ORIGIN.to_owned(),
        database: "odoo".to_owned(),
        login: "admin".to_owned(),
        api_key: Secret::new(KEY),
        password: Secret::new(KEY),
        protocol,
        parallel_calls: 1,
        ..Settings::default()
    };
    change(&mut settings);
    let server = Server::new(Recorded::read(data), 97);
    Odoo::new(server, InstantClock::default(), settings, Known::default()).unwrap()
}
