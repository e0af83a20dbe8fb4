//! A day of a busy trunk at full speed: memory stays flat, and the counters are exact.
//!
//! The real program reads a port and feeds two FIFOs. The reader of one keeps up; at the other,
//! readers come and go, and each is far too slow. The short form sends 300,000 frames. The day,
//! 12 million: `SERIALSHARK_FRAMES=12000000 cargo test --release --test machine endurance -- --nocapture`.

use crate::common::*;
use rustix::process::Signal;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

const FRAMES: u32 = 300_000;
/// Memory is looked at this often; the first look is the measure of the others.
const LOOKS: u32 = 10;
/// How much more it may be: the queues of both FIFOs, of 4 MiB each, are empty at one look and full
/// at another, on a loaded machine that of the quick reader too.
const MEMORY_KB: u64 = 2 * 4096 + 1024;
/// Frames sent before the slow reader reads a pipeful of 2000 once more.
const SLOWNESS: u32 = 10_000;
/// Frames until the next slow reader takes its place.
const TURN: u32 = 150_000;

#[test]
fn a_day_of_traffic_at_full_speed() {
    let _alone = crate::alone();
    let frames = std::env::var("SERIALSHARK_FRAMES");
    let frames = frames.map_or(FRAMES, |frames| frames.parse().expect("a number"));
    let dir = TempDir::new().unwrap();
    let (quick, slow) = (dir.path().join("quick"), dir.path().join("slow"));
    let pty = Pty::new();
    let mut program = Program::start([
        pty.path(),
        "--fifo",
        quick.to_str().unwrap(),
        "--fifo",
        slow.to_str().unwrap(),
    ]);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&quick);
    reader.header();
    let all_there = std::thread::spawn(move || {
        // Those that are there, in order; how many are not, the log must know.
        let (mut numbers, mut delivered) = (0..frames, 0);
        while let Some(record) = reader.record() {
            assert!(numbers.any(|number| numbered_frame(number) == record.data));
            delivered += 1;
        }
        delivered
    });

    let mut slow_reader = SlowReader::come(&slow);
    let (mut turns, mut octets, mut least, mut kilobytes) = (1, 0, None, Vec::new());
    let start = Instant::now();
    for number in (0..frames).step_by(1000) {
        let chunk: Vec<u8> =
            (number..(number + 1000).min(frames)).flat_map(numbered_frame).collect();
        octets += chunk.len();
        pty.send(&chunk);
        if number % SLOWNESS == 0 {
            slow_reader.read_pipeful();
        }
        if number % TURN == TURN - 1000 {
            drop(slow_reader);
            program.wait_for_nth(turns, &format!("{}: its reader left", slow.display()));
            slow_reader = SlowReader::come(&slow);
            turns += 1;
        }
        if number % (frames / LOOKS) == 0 && number > 0 {
            let now = memory_kb(program.child.id(), "VmRSS");
            kilobytes.push(now);
            let least = *least.get_or_insert(now);
            assert!(now <= least + MEMORY_KB, "memory in kB: {kilobytes:?}");
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    eventually("all octets are read", || {
        program.signal(Signal::USR1);
        let all = format!("damaged; {octets} octets =");
        program.stderr().iter().any(|line| line.contains(&all)).then_some(())
    });
    let peak = memory_kb(program.child.id(), "VmHWM");
    drop(slow_reader);
    program.wait_for_nth(turns, &format!("{}: its reader left", slow.display()));
    program.terminate();

    let said = program.stderr();
    let summary = said.iter().rfind(|line| line.contains("octets =")).unwrap();
    let expected = format!(
        "{frames} frames, 0 damaged; {octets} octets = {octets} in frames + 0 in damaged ones + \
         0 padding + 0 skipped"
    );
    assert!(summary.ends_with(&expected), "{summary}");
    let accounts = |path: &Path| -> Vec<[u64; 4]> {
        let name = format!("{}: ", path.display());
        let lines = program.stderr();
        let ended = lines.iter().filter(|l| l.contains(&name) && l.contains(" abandoned"));
        ended.map(|line| check_account(line)).collect()
    };
    let [framed, delivered, dropped, abandoned] = accounts(&quick)[0];
    assert_eq!((framed, abandoned), (frames.into(), 0));
    assert_eq!(all_there.join().unwrap(), delivered);
    let of_slow = accounts(&slow);
    assert_eq!(of_slow.len(), turns);
    let total = |index: usize| of_slow.iter().map(|account| account[index]).sum::<u64>();
    assert!(total(0) <= frames.into() && total(2) > 0, "{of_slow:?}");
    eprintln!(
        "{frames} frames, {octets} octets in {seconds:.1} s; memory in kB: {kilobytes:?}, peak {peak}; \
         quick reader: {delivered} delivered, {dropped} dropped; {turns} slow readers: {} framed, \
         {} delivered, {} dropped, {} abandoned",
        total(0),
        total(1),
        total(2),
        total(3),
    );
}

/// A reader that takes one pipeful now and then.
struct SlowReader(FifoReader);

impl SlowReader {
    fn come(fifo: &Path) -> Self {
        let mut reader = FifoReader::open(fifo);
        reader.header();
        Self(reader)
    }

    fn read_pipeful(&self) {
        // There may be nothing yet.
        let _ = rustix::io::read(&self.0.fd, &mut [0; 1 << 16]);
    }
}
