//! The SHA-1 that each file's bytes pass on their way.
#![allow(missing_docs, reason = "criterion's macros write the functions")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sha1::{Digest, Sha1};

fn hashing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SHA-1");
    for bytes in [1_000, 60_000, 6 * 1024 * 1024] {
        let content = vec![7_u8; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(bytes),
            &content,
            |b, content| {
                b.iter(|| Sha1::digest(black_box(content)));
            },
        );
    }
}

criterion_group!(benches, hashing);
criterion_main!(benches);
