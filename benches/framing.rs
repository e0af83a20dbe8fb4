//! What framers and encoders cost: `cargo bench`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serialshark::encode::text::Style;
use serialshark::encode::{Encoder, Format, Interface};
use serialshark::framing::{PROTOCOLS, Setup, protocol};
use serialshark::packet::{Batch, Timestamp};
use serialshark::source::sim::Simulator;
use std::hint::black_box;
use std::sync::Arc;

/// A megabyte of what a simulated line says, or of octets from a real one.
fn line(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut simulator = Simulator::named(name, 115_200);
    let recorded = include_str!("../tests/data/pinoccio-touchlink/input.txt");
    while octets.len() < 1 << 20 {
        match &mut simulator {
            Some(simulator) => octets.extend(simulator.next_burst().octets),
            None => octets.extend(recorded.lines().filter_map(hex).flatten()),
        }
    }
    octets
}

/// The octets of a line such as `25000: 55ff00`.
fn hex(line: &str) -> Option<Vec<u8>> {
    let (_time, octets) = line.split_once(": ")?;
    let pairs = octets.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn noise() -> Vec<u8> {
    let mut state = 1u64;
    (0..1 << 20)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// The frames of `octets`, read 4096 at a time.
fn frames(protocol_name: &str, octets: &[u8]) -> Vec<Batch> {
    let row = protocol(protocol_name).unwrap();
    let mut framer = (row.framer)(&Setup::new(row.baud));
    let mut time = Timestamp::from_ns(1_700_000_000_000_000_000);
    octets
        .chunks(4096)
        .map(|chunk| {
            let mut batch = Batch::new(0);
            time = time.plus_ns(1_000_000);
            framer.push(chunk, time, &mut batch);
            batch
        })
        .collect()
}

fn framers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framer");
    let noise = noise();
    group.throughput(Throughput::Bytes(noise.len() as u64));
    for row in &PROTOCOLS {
        let line = line(row.name);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(row.name, |bench| bench.iter(|| frames(row.name, black_box(&line))));
        group.throughput(Throughput::Bytes(noise.len() as u64));
        let name = format!("{} on noise", row.name);
        group.bench_function(name, |bench| bench.iter(|| frames(row.name, black_box(&noise))));
    }
    group.finish();
}

fn encoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encoder");
    let batches = frames("mstp", &line("mstp"));
    group.throughput(Throughput::Elements(batches.iter().map(|batch| batch.len() as u64).sum()));
    let interfaces: Arc<[Interface]> = Arc::new([Interface {
        name: "sim:mstp".into(),
        description: "bench".into(),
        baud: 115_200,
        protocol: &PROTOCOLS[0],
        direction: serialshark::encode::Direction::Unknown,
        recorded: false,
    }]);
    for (name, format) in [
        ("pcap", Format::Pcap),
        ("pcapng", Format::Pcapng),
        ("text", Format::Text(Style::default())),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut out = Vec::with_capacity(1 << 22);
                let mut encoder =
                    Encoder::start(format, Arc::clone(&interfaces), Timestamp::default(), &mut out)
                        .unwrap();
                for packet in batches.iter().flat_map(Batch::packets) {
                    encoder.packet(&packet, 0, &mut out).unwrap();
                }
                out
            });
        });
    }
    group.finish();
}

criterion_group!(benches, framers, encoders);
criterion_main!(benches);
