//! What framers, recognition and encoders cost: `cargo bench`. Counted is the CPU time of the thread,
//! so that other programs on the machine do not matter much.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serialshark::detect::Detector;
use serialshark::encode::text::Style;
use serialshark::encode::{Encoder, Format, Interface};
use serialshark::framing::{PROTOCOLS, Setup, protocol};
use serialshark::line::Line;
use serialshark::packet::Batch;
use serialshark::source::sim::Simulator;
use serialshark::time::Timestamp;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Time that the thread had a CPU.
struct CpuTime;

impl CpuTime {
    #[cfg(unix)]
    fn now() -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }

    #[cfg(not(unix))]
    fn now() -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A megabyte of what a simulated line says, or of the golden captures of this protocol.
fn line(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut simulator = Simulator::named(name, Line::at(115_200));
    let recorded = if simulator.is_none() { golden(name) } else { Vec::new() };
    while octets.len() < 1 << 20 {
        match &mut simulator {
            Some(simulator) => octets.extend(simulator.next_burst().octets),
            None => octets.extend_from_slice(&recorded),
        }
    }
    octets
}

/// The octets of all golden captures of a protocol.
fn golden(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut inputs: Vec<_> = std::fs::read_dir(data)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("input.txt")).ok())
        .filter(|input| input.lines().any(|line| line == format!("protocol: {name}")))
        .collect();
    inputs.sort();
    let octets: Vec<u8> = inputs.iter().flat_map(|input| input.lines()).flat_map(octets).collect();
    assert!(!octets.is_empty(), "{name} has no golden capture");
    octets
}

/// The octets of a line such as `25000: 55ff00`, `25000: "text\n"`, or what goes on with either.
fn octets(line: &str) -> Vec<u8> {
    let octets = match line.split_once(": ") {
        Some((time, octets)) if time.bytes().all(|octet| octet.is_ascii_digit()) => octets,
        None if line.starts_with(' ') => line.trim(),
        _ => return Vec::new(),
    };
    let Some(text) = octets.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        return octets.as_bytes().chunks(2).map(|two| pair(two).unwrap()).collect();
    };
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match (octet, if octet == b'\\' { rest.next() } else { None }) {
            (_, None) => octet,
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b't')) => b'\t',
            (_, Some(b'x')) => {
                let two = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&two).unwrap(), 16).unwrap()
            }
            (_, Some(other)) => other,
        });
    }
    octets
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
    let mut framer = (row.framer)(&Setup::new(row.line.baud));
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

fn framers(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("framer");
    let noise = noise();
    group.throughput(Throughput::Bytes(noise.len() as u64));
    for row in PROTOCOLS {
        let line = line(row.name);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(row.name, |bench| bench.iter(|| frames(row.name, black_box(&line))));
        group.throughput(Throughput::Bytes(noise.len() as u64));
        let name = format!("{} on noise", row.name);
        group.bench_function(name, |bench| bench.iter(|| frames(row.name, black_box(&noise))));
    }
    group.finish();
}

fn encoders(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("encoder");
    let batches = frames("mstp", &line("mstp"));
    group.throughput(Throughput::Elements(batches.iter().map(|batch| batch.len() as u64).sum()));
    let interfaces: Arc<[Interface]> = Arc::new([Interface {
        name: "sim:mstp".into(),
        description: "bench".into(),
        line: Line::at(115_200),
        protocol: PROTOCOLS[0],
        link_type: PROTOCOLS[0].link_type,
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

/// What all framers together come to, asked for a verdict after each read, as `serialshark detect`
/// runs them over a file.
fn recognised(octets: &[u8], read: usize) -> bool {
    let line = Line::at(115_200);
    let mut detector = Detector::new(line, false);
    let mut time = Timestamp::from_ns(1_700_000_000_000_000_000);
    octets.chunks(read).any(|chunk| {
        time = time.plus_ns(chunk.len() as u64 * line.octet_ns());
        detector.gather(chunk, time);
        detector.verdict().is_some()
    })
}

fn detect(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("detect");
    let text = include_bytes!("../docs/framings.md").repeat(100);
    for (name, octets) in [("noise", noise()), ("text", text)] {
        group.throughput(Throughput::Bytes(octets.len() as u64));
        for read in [8, 64, 4096] {
            let name = format!("{name} in reads of {read}");
            group.bench_function(name, |bench| {
                bench.iter(|| assert!(!recognised(black_box(&octets), read)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = framers, detect, encoders
}
criterion_main!(benches);
