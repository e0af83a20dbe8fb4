//! A sniffer whose clock is wrong: it leaps, falls back, stands still, turns over, has wrong digits.
//!
//! - Each intact record is a packet, once and in order;
//! - none is dated after its arrival, or by more than a minute before it;
//! - times never run backwards, and a replay has the same ones.
#![allow(missing_docs)]

use super::*;

const BAUD: u32 = 115_200;
/// How long a record may have been on its way.
const BOUND_NS: u64 = 60 * 1_000_000_000;
/// Records in a life, at most.
const RECORDS: u64 = 2000;

#[derive(Debug, Default)]
pub struct Outcome {
    records: u64,
    leaps: u64,
    restarts: u64,
    most_before_ms: u64,
}

pub struct Life {
    random: Random,
    dir: TempDir,
    program: Run,
    pty: Pty,
    sent: Vec<u8>,
    /// Each record's packet, and where its octets begin and end.
    records: Vec<(Vec<u8>, std::ops::Range<usize>)>,
    /// The sniffer's clock, in microseconds, less ours.
    ahead_us: u64,
    began: Instant,
    /// It stands still here.
    frozen: Option<u64>,
}

impl Life {
    pub fn begin(mut random: Random) -> Self {
        let dir = TempDir::new().unwrap();
        let pty = Pty::new();
        let mut command = Program::command();
        command.arg(pty.path()).args(["-p", "riot", "--channel", "26"]);
        command.arg("-w").arg(dir.path().join("file.pcapng"));
        command.arg("--record").arg(dir.path().join("line.rec"));
        let program = Run::start(command, dir.path(), &mut random);
        eventually("the port is open", || {
            (tcgetattr(&pty.master).unwrap().input_speed() == BAUD).then_some(())
        });
        let ahead_us = random.below(1 << 33);
        Self {
            random,
            dir,
            program,
            pty,
            sent: Vec::new(),
            records: Vec::new(),
            ahead_us,
            began: Instant::now(),
            frozen: None,
        }
    }

    pub fn live(mut self, outcome: &mut Outcome) {
        for _ in 0..1 + self.random.below(RECORDS) {
            self.step(outcome);
        }
        let file = self.dir.path().join("file.pcapng");
        let (last, _) = self.records.last().unwrap().clone();
        eventually("the last record in the file", || {
            self.program.hear();
            let file = std::fs::read(&file).unwrap();
            file.windows(last.len()).any(|octets| octets == last).then_some(())
        });
        self.program.signal(Signal::TERM);
        let status = eventually("the end", || {
            self.program.hear();
            self.program.child.try_wait().unwrap()
        });
        self.program.check_said(status);
        self.judge(outcome);
    }

    fn step(&mut self, outcome: &mut Outcome) {
        let mut octets = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            if self.random.below(20) == 0 {
                self.clock_fault(outcome);
            }
            let now_us = self.began.elapsed().as_micros() as u64;
            let mut rx_us = self.frozen.unwrap_or(self.ahead_us.wrapping_add(now_us));
            match self.random.below(40) {
                0 => rx_us ^= 1 << self.random.below(64),
                1 => rx_us = self.random.next(),
                2 => rx_us &= 0xffff,
                3 => rx_us = rx_us.wrapping_sub(self.random.below(2_000_000)),
                4 => rx_us = rx_us.wrapping_add(self.random.below(200_000_000)),
                _ => {}
            }
            let number = (self.records.len() as u32).to_be_bytes();
            let len = 20 + self.random.below(60) as usize;
            let psdu = [&[0x41, 0x88], &number[..], &self.random.octets(len)].concat();
            let lqi = self.random.next() as u8;
            let data: String = psdu.iter().map(|octet| format!("{octet:02X} ")).collect();
            let header =
                format!("rftest-rx --- len {:08X} lqi {lqi:02X} rx_time {rx_us:016X}", psdu.len());
            let begin = self.sent.len() + octets.len();
            octets.extend(format!("{header}\r\n{data}\r\n").bytes());
            let end = self.sent.len() + octets.len();
            octets.extend_from_slice(if self.random.below(8) == 0 { b"\r\n> " } else { b"\r\n" });
            self.records.push((tap(&psdu, lqi), begin..end));
        }
        // It asks for RIOT's interfaces, and gets no answer.
        self.pty.received_now();
        if self.random.below(4) == 0 {
            // In two parts, with a pause.
            let at = self.random.below(octets.len() as u64) as usize;
            self.pty.send(&octets[..at]);
            std::thread::park_timeout(Duration::from_millis(self.random.below(30)));
            self.pty.send(&octets[at..]);
        } else {
            self.pty.send(&octets);
        }
        self.sent.extend(octets);
        self.program.hear();
        let pause = [0, 0, 3, 10, 30][self.random.below(5) as usize];
        std::thread::park_timeout(Duration::from_millis(pause));
    }

    /// The sniffer's clock is another one from now on.
    fn clock_fault(&mut self, outcome: &mut Outcome) {
        let now_us = self.began.elapsed().as_micros() as u64;
        outcome.leaps += 1;
        match self.random.below(8) {
            // Ahead: a moment, some seconds, hours.
            0 => self.ahead_us = self.ahead_us.wrapping_add(self.random.below(100_000)),
            1 => self.ahead_us = self.ahead_us.wrapping_add(self.random.below(90_000_000)),
            2 => self.ahead_us = self.ahead_us.wrapping_add(self.random.below(1 << 40)),
            // Back.
            3 => self.ahead_us = self.ahead_us.wrapping_sub(self.random.below(100_000)),
            4 => self.ahead_us = self.ahead_us.wrapping_sub(self.random.below(90_000_000)),
            // Restarted.
            5 => {
                outcome.restarts += 1;
                self.ahead_us =
                    0_u64.wrapping_sub(now_us).wrapping_add(self.random.below(5_000_000));
            }
            // About to turn over.
            6 => self.ahead_us = 0xffff_ff00_u64.wrapping_sub(now_us),
            _ => {
                let now = self.ahead_us.wrapping_add(now_us);
                self.frozen = if self.frozen.is_some() { None } else { Some(now) };
            }
        }
    }

    fn judge(&mut self, outcome: &mut Outcome) {
        let path = |name: &str| self.dir.path().join(name);
        let (packets, has_trailer) = pcapng_packets(&std::fs::read(path("file.pcapng")).unwrap());
        assert!(has_trailer);
        let arrivals = arrivals(&std::fs::read(path("line.rec")).unwrap());
        assert_eq!(packets.len(), self.records.len(), "records and packets");
        let mut last = 0;
        for (n, ((time, data), (expected, range))) in packets.iter().zip(&self.records).enumerate()
        {
            assert!(data == expected, "no. {n} is {data:02x?}, and not {expected:02x?}");
            assert!(*time >= last, "no. {n} is before the one before");
            last = *time;
            let arrival = |at: usize| {
                let chunk = arrivals.partition_point(|(end, _)| *end <= at);
                arrivals[chunk].1
            };
            // Its header came with that chunk, whole or not.
            let came = arrival(range.start);
            assert!(*time <= came, "no. {n} comes from the future: {} ns", time - came);
            let before = came - time;
            // A chunk's first octet was on the line before its last one.
            let chunk_ns = 65_536 * 10 * 1_000_000_000 / u64::from(BAUD);
            assert!(before <= BOUND_NS + chunk_ns, "no. {n} comes from the past: {before} ns");
            outcome.most_before_ms = outcome.most_before_ms.max(before / 1_000_000);
        }
        outcome.records += packets.len() as u64;

        let again = Program::command()
            .arg(path("line.rec"))
            .arg("-w")
            .arg(path("again.pcapng"))
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", text(&again.stderr));
        let (replayed, _) = pcapng_packets(&std::fs::read(path("again.pcapng")).unwrap());
        for (n, (packet, replayed)) in packets.iter().zip(&replayed).enumerate() {
            assert!(packet == replayed, "no. {n} is replayed as {replayed:02x?}");
        }
        assert_eq!(replayed.len(), packets.len());
    }
}

/// Where each chunk of a recording ends, and when it arrived.
fn arrivals(recording: &[u8]) -> Vec<(usize, u64)> {
    let mut lines = recording.splitn(3, |octet| *octet == b'\n');
    let mut rest = lines.nth(2).unwrap();
    let (mut arrivals, mut at) = (Vec::new(), 0);
    while let Some((header, tail)) = rest.split_first_chunk::<13>() {
        let time = u64::from_le_bytes(header[1..9].try_into().unwrap());
        let len = u32::from_le_bytes(header[9..].try_into().unwrap()) as usize;
        if header[0] == b'O' {
            at += len;
            arrivals.push((at, time));
        }
        rest = &tail[len..];
    }
    arrivals
}

/// What a capture on channel 26 has of a record: the TAP header and the PSDU.
fn tap(psdu: &[u8], lqi: u8) -> Vec<u8> {
    let fcs_type = [0, 0, 1, 0, 0, 0, 0, 0];
    let channel = [3, 0, 3, 0, 26, 0, 0, 0];
    let lqi = [10, 0, 1, 0, lqi, 0, 0, 0];
    [&[0, 0, 28, 0], &fcs_type[..], &channel, &lqi, psdu].concat()
}
