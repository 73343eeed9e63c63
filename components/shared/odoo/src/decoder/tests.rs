use super::*;
use proptest::prelude::*;
use serde_json::json;

type Files = Vec<(i64, Option<Vec<u8>>)>;

/// Reads an answer in the given cuts.
fn read(answer: &[u8], cuts: &[usize]) -> Result<Files, DatasError> {
    let mut decoder = DatasDecoder::new();
    let mut files = Vec::new();
    let mut bytes = Vec::new();
    let mut found = |event: Event<'_>| match event {
        Event::Bytes(more) => bytes.extend_from_slice(more),
        Event::Record { id, has_datas } => {
            let content = std::mem::take(&mut bytes);
            files.push((id, has_datas.then_some(content)));
        }
    };
    let mut rest = answer;
    for cut in cuts {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        decoder.push(now, &mut found)?;
        rest = later;
    }
    decoder.push(rest, &mut found)?;
    decoder.finish()?;
    Ok(files)
}

fn answer(files: &Files, envelope: bool) -> Vec<u8> {
    let records: Vec<_> = files
        .iter()
        .map(|(id, content)| {
            json!({
                "id": id, "name": "a \"datas\": \\\" name", "company_id": [1, "YourCompany"],
                "datas": content.as_ref().map_or(json!(false), |c| json!(STANDARD.encode(c))),
            })
        })
        .collect();
    if envelope {
        json!({"jsonrpc": "2.0", "id": 1, "result": records})
            .to_string()
            .into_bytes()
    } else {
        json!(records).to_string().into_bytes()
    }
}

proptest! {
    #[test]
    fn chunks_may_be_cut_anywhere(
        files in prop::collection::vec((1i64..1_000_000, prop::option::of(prop::collection::vec(any::<u8>(), 0..200))), 0..6),
        cuts in prop::collection::vec(0usize..40, 0..60),
        envelope: bool,
    ) {
        prop_assert_eq!(read(&answer(&files, envelope), &cuts), Ok(files));
    }

    #[test]
    fn an_answer_that_ends_early_is_never_taken_for_whole(
        content in prop::collection::vec(any::<u8>(), 0..100),
        lost in 1usize..100,
        envelope: bool,
    ) {
        let whole = answer(&vec![(7, Some(content))], envelope);
        let kept = whole.len().saturating_sub(lost);
        prop_assert!(read(&whole[..kept], &[]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(0usize..40, 0..10)) {
        let _ = read(&bytes, &cuts);
    }

    #[test]
    fn no_json_makes_it_panic(text in r#"[\[\]{}",:\\a-z0-9/+= ]{0,200}"#) {
        let _ = read(text.as_bytes(), &[]);
        let _ = read(format!(r#"[{{"id":1,"datas":"{text}"#).as_bytes(), &[3, 5]);
    }
}

#[test]
fn escapes_that_json_allows_are_understood() {
    let plain = STANDARD.encode([0xff, 0xff, 0xfe, 0x3e]);
    assert_eq!(plain, "///+Pg==");
    let answer = br#"[{"id":1,"datas":"\/\u002f/\u002BP\ng=="}]"#;
    assert_eq!(
        read(answer, &[18, 1, 3, 2]),
        Ok(vec![(1, Some(vec![0xff, 0xff, 0xfe, 0x3e]))])
    );
}

#[test]
fn what_is_not_base64_is_refused() {
    for datas in ["15.00 bytes", "AAA", "AA==AAAA", "A=AA", "ä"] {
        let answer = json!([{ "id": 1, "datas": datas }]).to_string();
        assert_eq!(
            read(answer.as_bytes(), &[]),
            Err(DatasError::Base64),
            "{datas}"
        );
    }
}

#[test]
fn an_error_is_read_without_its_traceback() {
    let answer = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 200, "message": "Odoo Server Error", "data": {
        "name": "odoo.exceptions.AccessDenied", "debug": "x".repeat(20_000), "message": "Access \"Denied\"", "arguments": ["Access Denied"], "context": {}}}});
    let mut decoder = DatasDecoder::new();
    decoder
        .push(answer.to_string().as_bytes(), &mut |_| panic!("no record"))
        .unwrap();
    decoder.finish().unwrap();
    assert_eq!(
        decoder.error(),
        Some(("odoo.exceptions.AccessDenied", "Access \"Denied\""))
    );
}

#[test]
fn an_answer_without_a_list_is_told_from_an_empty_list() {
    for (answer, has_list) in [
        ("[]", true),
        (r#"{"jsonrpc":"2.0","result":[]}"#, true),
        ("{}", false),
        (r#"{"result":null}"#, false),
        (r#"{"error":{"message":"no data","items":[]}}"#, false),
        ("false", false),
    ] {
        let mut decoder = DatasDecoder::new();
        decoder.push(answer.as_bytes(), &mut |_| ()).unwrap();
        decoder.finish().unwrap();
        assert_eq!(decoder.has_list(), has_list, "{answer}");
    }
}

#[test]
fn a_record_without_an_id_is_refused() {
    assert_eq!(read(br#"[{"datas":"AAAA"}]"#, &[]), Err(DatasError::Shape));
}
