//! Reading the answer to `read(ids, ["datas"])` as it comes, against parsing it as a document.
#![allow(missing_docs, reason = "criterion's macros write the functions")]

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use odoo::{DatasDecoder, Event};
use serde_json::{Value, json};

/// The size of the parts in which an answer comes.
const PART_BYTES: usize = 64 * 1024;

fn answer(files: usize, bytes: usize) -> Vec<u8> {
    let content: Vec<u8> = (0..=250).cycle().take(bytes).collect();
    let records: Vec<Value> = (1..=files)
        .map(|id| json!({"id": id, "datas": STANDARD.encode(&content)}))
        .collect();
    json!({"jsonrpc": "2.0", "id": 1, "result": records})
        .to_string()
        .into_bytes()
}

fn decode(answer: &[u8]) -> usize {
    let mut decoder = DatasDecoder::new();
    let mut bytes = 0;
    for part in answer.chunks(PART_BYTES) {
        let read = decoder.push(part, &mut |event| {
            if let Event::Bytes(more) = event {
                bytes += more.len();
            }
        });
        assert!(read.is_ok());
    }
    assert!(decoder.finish().is_ok());
    bytes
}

fn parse(answer: &[u8]) -> usize {
    let document: Value = serde_json::from_slice(answer).unwrap_or_default();
    let records = document
        .get("result")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    records
        .iter()
        .filter_map(|record| STANDARD.decode(record.get("datas")?.as_str()?).ok())
        .map(|content| content.len())
        .sum()
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("datas of 40 files");
    for bytes in [1_000, 50_000] {
        let answer = answer(40, bytes);
        assert_eq!(decode(&answer), parse(&answer));
        group.throughput(Throughput::Bytes(40 * bytes as u64));
        group.bench_with_input(
            BenchmarkId::new("as it comes", bytes),
            &answer,
            |b, answer| {
                b.iter(|| decode(black_box(answer)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("as a document", bytes),
            &answer,
            |b, answer| {
                b.iter(|| parse(black_box(answer)));
            },
        );
    }
}

criterion_group!(benches, reading);
criterion_main!(benches);
