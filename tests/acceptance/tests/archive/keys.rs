//! The key of Storage: in which headers it is sent, and what is said where none of them is taken.

use anyhow::Result;
use world::odoo::EdgeCase;
use world::storage::{KeyHeaders, Options};

use crate::scene::{all_is_well, attempted, finish, in_state, odoo_with, set, small, stopped_tick};

const SECRET: &str = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";
const LEGACY: &str = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.bm8tc2lnbmF0dXJl";

fn taking(key: &str, key_headers: KeyHeaders) -> Options {
    Options {
        service_keys: vec![key.to_owned()],
        key_headers,
        ..Options::default()
    }
}

#[tokio::test]
async fn a_secret_key_goes_into_apikey_alone_a_legacy_one_into_both_and_what_a_gateway_refuses_is_tried_otherwise()
-> Result<()> {
    for (key, headers) in [
        (SECRET, KeyHeaders::Hosted),
        (SECRET, KeyHeaders::OnlyApikey),
        (SECRET, KeyHeaders::OnlyBearer),
        (LEGACY, KeyHeaders::Hosted),
        (LEGACY, KeyHeaders::OnlyApikey),
        (LEGACY, KeyHeaders::OnlyBearer),
    ] {
        // One of them goes in pieces.
        let files = small(5).with(2, EdgeCase::Size(8_000_000));
        let stage = set(odoo_with(files))
            .storage(taking(key, headers))
            .start()
            .await?;
        finish(&stage, 3).await?;
        assert_eq!(in_state(&stage, "moved").await?, 5, "{headers:?}");
        all_is_well(&stage).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_refused_in_every_header_is_told_with_the_headers_and_costs_no_attempt()
-> Result<()> {
    for key in [SECRET, LEGACY] {
        let stage = set(odoo_with(small(5)))
            .storage(taking(key, KeyHeaders::Neither))
            .start()
            .await?;
        let report = stopped_tick(&stage).await?;
        assert_eq!(report["fault"]["kind"], "storage_login", "{report}");
        let told = report["fault"]["message"].as_str().unwrap_or_default();
        for words in [
            "check storage_key",
            "apikey alone: headers must have required property 'authorization'",
            "apikey and Authorization: Invalid Compact JWS",
        ] {
            assert!(told.contains(words), "{words:?} in {told:?}");
        }
        assert_eq!(attempted(&stage).await?, 0);
    }
    Ok(())
}
