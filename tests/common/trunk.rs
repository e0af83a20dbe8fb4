//! A simulated trunk as an adapter hears it, without waiting for real time.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use serialshark::analysis::Record;
use serialshark::analysis::doctor::{Doctor, Known};
use serialshark::analysis::document;
use serialshark::analysis::timing::BaudFrom;
use serialshark::decode::line::Line;
use serialshark::framing::{self, Setup};
use serialshark::source::sim::{Burst, Plan, Ring};
use serialshark::time::Timestamp;

/// When captures begin.
pub const BEGIN_NS: u64 = 1_767_225_600_000_000_000;

/// How a trunk is listened to.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub seconds: u64,
    /// The adapter's latency timer; 0 for one that dates each octet.
    pub latency_ms: u64,
    /// Octets that were missed at the beginning.
    pub missed: usize,
    /// Whether the rate is known.
    pub tells_baud: bool,
    /// Whether octets outside frames are kept, as recordings do, or only counted.
    pub keeps_strays: bool,
    /// Whether it ends in the middle of a frame.
    pub is_cut: bool,
}

pub const FIVE_MINUTES: Listening = Listening {
    seconds: 300,
    latency_ms: 0,
    missed: 0,
    tells_baud: true,
    keeps_strays: true,
    is_cut: false,
};

/// Octets and when the last of them arrived.
pub fn chunks(plan: &Plan, listening: Listening, sink: &mut impl FnMut(&[u8], Timestamp)) {
    let mut ring = Ring::new(plan.clone());
    chunks_of(plan.baud, &mut || ring.next_burst(), listening, sink);
}

/// The same of whoever says these bursts.
fn chunks_of(
    baud: u32,
    next_burst: &mut impl FnMut() -> Burst,
    listening: Listening,
    sink: &mut impl FnMut(&[u8], Timestamp),
) {
    let octet_ns = 10_000_000_000 / u64::from(baud);
    let mut now = 0;
    let mut missed = listening.missed;
    let latency_ns = listening.latency_ms * 1_000_000;
    let (mut chunk, mut period) = (Vec::new(), 0);
    let at = |ns: u64| Timestamp::from_ns(BEGIN_NS + ns);
    while now < listening.seconds * 1_000_000_000 {
        let burst = next_burst();
        now += burst.pause_ns;
        if latency_ns == 0 {
            now += burst.octets.len() as u64 * octet_ns;
            let octets = &burst.octets[missed.min(burst.octets.len())..];
            missed -= burst.octets.len() - octets.len();
            if !octets.is_empty() {
                sink(octets, at(now));
            }
            continue;
        }
        for octet in burst.octets {
            now += octet_ns;
            if missed > 0 {
                missed -= 1;
                continue;
            }
            // The adapter's timer runs by itself.
            if (now / latency_ns != period || chunk.len() == 62) && !chunk.is_empty() {
                let full = chunk.len() == 62 && now / latency_ns == period;
                let arrival = if full { now - octet_ns } else { (period + 1) * latency_ns };
                sink(&chunk, at(arrival));
                chunk.clear();
            }
            period = now / latency_ns;
            chunk.push(octet);
        }
    }
    if listening.is_cut {
        let burst = std::iter::repeat_with(next_burst).find(|burst| burst.octets.len() > 4);
        if let Some(burst) = burst {
            now += burst.pause_ns;
            chunk.extend(&burst.octets[..burst.octets.len() / 2]);
        }
    }
    if !chunk.is_empty() {
        now += chunk.len() as u64 * octet_ns;
        sink(&chunk, at(now.next_multiple_of(latency_ns.max(1))));
    }
}

/// The records of what is heard of a trunk.
pub fn records(plan: &Plan, listening: Listening, sink: &mut impl FnMut(&Record<'_>)) {
    let framer = (framing::protocol("mstp").unwrap().framer)(&Setup::new(plan.baud));
    let mut line = Line::new(framer, 10_000_000_000 / u64::from(plan.baud), listening.keeps_strays);
    let mut sink = |record: &Record<'_>, _| sink(record);
    chunks(plan, listening, &mut |octets, arrival| line.push(octets, arrival, &mut sink));
    line.finish(&mut sink);
}

/// The report on a trunk, as JSON.
pub fn report(plan: &Plan, listening: Listening) -> Value {
    let baud = listening.tells_baud.then_some((plan.baud, BaudFrom::Recording));
    let mut doctor = Doctor::new(Known { baud, latency_ms: None });
    records(plan, listening, &mut |record| doctor.push(record));
    document::of_trunk(&doctor.report())
}

/// The same of a trunk that has been there for so many seconds.
pub fn report_later(plan: &Plan, seconds: u64, listening: Listening) -> Value {
    let mut ring = Ring::new(plan.clone());
    let octet_ns = 10_000_000_000 / u64::from(plan.baud);
    let mut now = 0;
    while now < seconds * 1_000_000_000 {
        let burst = ring.next_burst();
        now += burst.pause_ns + burst.octets.len() as u64 * octet_ns;
    }
    report_of(plan.baud, &mut || ring.next_burst(), listening)
}

/// The report on a trunk that says these bursts.
pub fn report_of(baud: u32, next_burst: &mut impl FnMut() -> Burst, listening: Listening) -> Value {
    let framer = (framing::protocol("mstp").unwrap().framer)(&Setup::new(baud));
    let mut line = Line::new(framer, 10_000_000_000 / u64::from(baud), listening.keeps_strays);
    let known = listening.tells_baud.then_some((baud, BaudFrom::Recording));
    let mut doctor = Doctor::new(Known { baud: known, latency_ms: None });
    let mut sink = |record: &Record<'_>, _| doctor.push(record);
    chunks_of(baud, next_burst, listening, &mut |octets, at| line.push(octets, at, &mut sink));
    line.finish(&mut sink);
    document::of_trunk(&doctor.report())
}

/// Names and nodes of its findings.
pub fn findings(report: &Value) -> Vec<(String, String, Vec<u64>)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            let nodes = finding["nodes"].as_array().unwrap();
            let nodes = nodes.iter().map(|mac| mac.as_u64().unwrap()).collect();
            (word(&finding["id"]), word(&finding["severity"]), nodes)
        })
        .collect()
}

/// A record of a capture file: its time and octets.
pub type Stamped = (u64, Vec<u8>);

/// What is heard of a trunk, as records of a capture file.
pub fn stamped(plan: &Plan, listening: Listening) -> Vec<Stamped> {
    let mut all = Vec::new();
    records(plan, listening, &mut |record| all.push((record.time.as_ns(), record.octets.to_vec())));
    all
}

/// A classic capture file, in microseconds.
pub fn pcap(link_type: u32, snap_len: u32, records: &[Stamped]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, snap_len, link_type] {
        file.extend(u32::to_le_bytes(word));
    }
    for (ns, octets) in records {
        let kept = octets.len().min(snap_len as usize);
        let seconds = (ns / 1_000_000_000) as u32;
        let micros = (ns % 1_000_000_000 / 1000) as u32;
        for word in [seconds, micros, kept as u32, octets.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(&octets[..kept]);
    }
    file
}
