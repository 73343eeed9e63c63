//! Planning which claimed files are fetched together.
#![allow(missing_docs, reason = "criterion's macros write the functions")]

use archive::plan::plan;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ledger::attachments::Claimed;

fn claimed(count: u32) -> Vec<Claimed> {
    (1..=count)
        .map(|id| Claimed {
            id: id.into(),
            name: None,
            mimetype: Some("application/pdf".to_owned()),
            file_size: u64::from(id.wrapping_mul(2_654_435_761) % 100_000),
            checksum: content::Sha1::new([id.to_be_bytes()[3]; 20]),
            attempts: 0,
            interruptions: 0,
            upload: None,
            stored: false,
            lost: false,
        })
        .collect()
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a plan of claimed files");
    for count in [200, 1_000] {
        let files = claimed(count);
        group.bench_with_input(BenchmarkId::from_parameter(count), &files, |b, files| {
            b.iter_batched(|| files.clone(), plan, BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, planning);
criterion_main!(benches);
