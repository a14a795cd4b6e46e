//! The time that each part of an exchange takes: `make bench-parts`, or `cargo bench -p
//! exchange-parts -- NAME`.
#![allow(missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::time::Instant;

use broker_core::Digest32;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use exchange_parts::{answer, ask, books, proof};

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    for bytes in [1_000_u64, 100_000, 1_000_000] {
        let body = vec![0x5a; usize::try_from(bytes).unwrap_or_default()];
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| Digest32::sha256(black_box(&body)));
        });
    }
}

fn request(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    for bytes in [1_000, 100_000] {
        let body = ask::body(bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| ask::read(black_box(&body)));
        });
    }
}

fn stream(c: &mut Criterion) {
    let events = answer::events(64);
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("scan", |b| b.iter(|| answer::scan(black_box(&events))));
    group.bench_function("relay", |b| b.iter(|| answer::relay(black_box(&events))));
}

fn ending(c: &mut Criterion) {
    let desk = proof::Desk::new();
    let receipt = desk.receipt();
    c.bench_function("sign", |b| b.iter(|| desk.signature()));
    c.bench_function("receipt", |b| b.iter(|| desk.receipt()));
    c.bench_function("receipt/document", |b| b.iter(|| desk.document()));
    c.bench_function("receipt/leaf", |b| b.iter(|| desk.leaf(black_box(&receipt))));
    c.bench_function("ending", |b| b.iter(|| desk.ending()));
}

/// A hold and a charge for each exchange, all of a batch in two commits that are on the disk.
fn ledger(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    for exchanges in [1, 8, 32, 128] {
        let mut books = books::Books::open();
        group.throughput(Throughput::Elements(exchanges as u64));
        group.bench_function(BenchmarkId::from_parameter(exchanges), |b| {
            b.iter_custom(|times| {
                let once = |_| {
                    let turn = books.turn(exchanges);
                    let began = Instant::now();
                    books.commit(&turn);
                    began.elapsed()
                };
                (0..times).map(once).sum()
            });
        });
    }
}

criterion_group!(parts, hash, request, stream, ending, ledger);
criterion_main!(parts);
