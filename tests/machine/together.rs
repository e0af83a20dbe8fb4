//! All outputs at once on a line at 12 Mbit/s: each reader gets all, and one that stalls loses
//! only its own packets.
//!
//! `SERIALSHARK_SOAK_SECONDS` sets the length; unless told otherwise 20 seconds in full, and 5.

use crate::common::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// 12 Mbit/s, ten bits an octet.
const OCTETS_PER_SECOND: f64 = 1_200_000.0;
/// How many frames there are before they begin anew.
const CYCLE: u32 = 4096;

/// What is sent again and again, and what is sent at last.
fn frames() -> (Vec<Vec<u8>>, Vec<u8>) {
    let frame = |n: u32| mstp(6, 1, 2, &[&n.to_be_bytes()[..], &[0x33; 96]].concat());
    ((0..CYCLE).map(frame).collect(), mstp(0, 1, 2, &[]))
}

/// Reads a pcap stream to its end, whole records of frames that were sent; returns how many they
/// are, and how often the one before is missing.
fn read_all(stream: impl Read, has_last: &AtomicBool) -> (u64, u64) {
    let (frames, last) = frames();
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    stream.read_exact(&mut [0; 24]).expect("a header");
    let (mut records, mut gaps, mut next, mut last_time) = (0, 0, 0, (0, 0));
    while !stream.fill_buf().unwrap().is_empty() {
        let mut header = [0; 16];
        stream.read_exact(&mut header).expect("a whole record header");
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        let mut data = vec![0; word(8) as usize];
        stream.read_exact(&mut data).expect("a whole record");
        assert!((word(0), word(4)) >= last_time, "time runs backwards");
        last_time = (word(0), word(4));
        records += 1;
        if data == last {
            has_last.store(true, Ordering::Release);
            continue;
        }
        let number = u32::from_be_bytes(data[8..12].try_into().unwrap());
        assert_eq!(data, frames[number as usize]);
        gaps += u64::from(number != next);
        next = (number + 1) % CYCLE;
    }
    (records, gaps)
}

#[test]
fn all_outputs_together_at_12_mbit_s() {
    let _alone = crate::alone();
    let seconds: f64 = std::env::var("SERIALSHARK_SOAK_SECONDS")
        .map_or(if full() { 20.0 } else { 5.0 }, |seconds| seconds.parse().unwrap());
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (fifo, unix, file) = (path("sharkfin"), path("socket"), path("trunk.pcap"));
    let tcp = format!("127.0.0.1:{}", free_port());
    let pty = Pty::new();
    // So large a queue that only a reader which does not read at all fills it: packets that wait
    // take some 3.3 MiB a second.
    let buffer_size = (seconds * 0.8).max(1.0) as u64;
    let mut program = Program::start([
        pty.path(),
        "--baud=12000000",
        &format!("--buffer-size={buffer_size}"),
        &format!("--fifo={}", fifo.display()),
        &format!("--tcp={tcp}"),
        &format!("--unix={}", unix.display()),
        "--write=-",
        &format!("--write={}", file.display()),
    ]);
    let stdout = program.child.stdout.take().unwrap();
    program.wait_for("reading mstp");
    let (octets, last) = frames();
    let octets = octets.concat();
    let (at_end, has_last) = (Barrier::new(2), [(); 5].map(|()| AtomicBool::new(false)));
    let sent = (seconds * OCTETS_PER_SECOND) as usize / octets.len() * octets.len();
    let (swift, stalled) = std::thread::scope(|scope| {
        let [of_fifo, of_tcp, of_unix, of_stdout, of_stalled] = &has_last;
        let swift = [
            scope.spawn(|| read_all(File::open(&fifo).unwrap(), of_fifo)),
            scope.spawn(|| read_all(TcpStream::connect(&tcp).unwrap(), of_tcp)),
            scope.spawn(|| read_all(UnixStream::connect(&unix).unwrap(), of_unix)),
            scope.spawn(|| read_all(stdout, of_stdout)),
        ];
        let stalled = scope.spawn(|| {
            let stream = UnixStream::connect(&unix).unwrap();
            at_end.wait();
            read_all(stream, of_stalled)
        });
        program.wait_for_nth(4, "a reader has come");

        let start = Instant::now();
        let mut done = 0;
        while done < sent {
            let due = (start.elapsed().as_secs_f64() * OCTETS_PER_SECOND) as usize;
            let end = due.min(sent).min(done + octets.len() - done % octets.len());
            pty.send(&octets[done % octets.len()..][..end - done]);
            done = end;
            // A tick of the line's clock: nothing is waited for here.
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let rate = sent as f64 / start.elapsed().as_secs_f64() / OCTETS_PER_SECOND * 12.0;
        eprintln!("{sent} octets at {rate:.2} Mbit/s");
        at_end.wait();
        eventually("the last frame everywhere", || {
            pty.send(&last);
            has_last.iter().all(|has_last| has_last.load(Ordering::Acquire)).then_some(())
        });
        program.terminate();
        (swift.map(|reader| reader.join().unwrap()), stalled.join().unwrap())
    });
    let from_file = read_all(File::open(&file).unwrap(), &AtomicBool::new(false));

    let accounts: Vec<[u64; 4]> = program
        .stderr()
        .iter()
        .filter(|line| line.contains("packets framed"))
        .map(|line| check_account(line))
        .collect();
    assert_eq!(accounts.len(), 6, "{:#?}", program.stderr());
    let framed = accounts[0][0];
    assert!(framed > sent as u64 / 120);
    for (records, gaps) in swift.into_iter().chain([from_file]) {
        assert_eq!((records, gaps), (framed, 0));
    }
    let [of_stalled] = accounts.iter().filter(|account| account[2] > 0).collect::<Vec<_>>()[..]
    else {
        panic!("one alone drops: {accounts:?}");
    };
    assert_eq!(of_stalled[1], stalled.0);
}
