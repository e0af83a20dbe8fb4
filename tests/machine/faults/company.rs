//! A second port that says nothing, or an octet now and then, beside one that speaks.
//!
//! - The first port's frames are there a second after they were sent, whatever the second does;
//! - both ports' frames are all there, each port's in order, and times never run backwards;
//! - the end is clean.
#![allow(missing_docs)]

use super::*;

/// A frame waits for the other port for a second; the rest is for this machine.
const IN_TIME: Duration = Duration::from_millis(2500);
/// Between two octets of the second port.
const DRIBBLE: Duration = Duration::from_millis(100);
/// How long a life is, at most.
const LIFE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
pub struct Outcome {
    frames: u64,
    of_the_second: u64,
    damaged: u64,
    unplugged: u64,
    slowest_ms: u64,
    slowest_end_ms: u64,
}

/// What the second port does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Silent,
    /// Octets of frames.
    Dribble,
    /// Octets that are none.
    Noise,
    /// A frame at once.
    Frames,
}

pub struct Life {
    random: Random,
    dir: TempDir,
    program: Run,
    first: Pty,
    second: Option<Pty>,
    reader: Reader,
    records: Vec<Record>,
    /// When the frames of the first port were sent.
    sent: Vec<Instant>,
    /// How many of them have come.
    come: usize,
    manner: Manner,
    last_octet: Instant,
    /// What the second port has still to say of its frame, and how many that were.
    unsaid: VecDeque<u8>,
    of_the_second: u32,
    /// Whether there was noise in that frame.
    is_spoiled: bool,
    /// Those that were said without.
    intact: Vec<u32>,
}

impl Life {
    pub fn begin(mut random: Random) -> Self {
        let dir = TempDir::new().unwrap();
        let (first, second) = (Pty::new(), Pty::new());
        let fifo = dir.path().join("a");
        first.name(dir.path().join("one"));
        second.name(dir.path().join("two"));
        let mut command = Program::command();
        // The second one may come first.
        let mut ports = ["one", "two"];
        ports.rotate_left(random.below(2) as usize);
        command.args(ports.map(|port| dir.path().join(port)));
        command.arg("-b").arg(BAUD.to_string()).args(["--format", "pcap", "--fifo"]).arg(&fifo);
        let program = Run::start(command, dir.path(), &mut random);
        let reader = Reader::of_pcap(&fifo);
        for pty in [&first, &second] {
            eventually("the port is open", || is_open(pty).then_some(()));
        }
        Self {
            random,
            dir,
            program,
            first,
            second: Some(second),
            reader,
            records: Vec::new(),
            sent: Vec::new(),
            come: 0,
            manner: Manner::Silent,
            last_octet: Instant::now(),
            unsaid: VecDeque::new(),
            of_the_second: 0,
            is_spoiled: false,
            intact: Vec::new(),
        }
    }

    pub fn live(mut self, outcome: &mut Outcome) {
        let end = Instant::now() + LIFE / 2 + LIFE.mul_f64(self.random.below(50) as f64 / 100.0);
        while Instant::now() < end {
            self.step(outcome);
            if self.random.below(50) == 0 {
                self.fault(outcome);
            }
        }
        while self.come < self.sent.len() {
            self.hear(outcome);
        }
        self.program.signal(Signal::TERM);
        let told = Instant::now();
        let status = eventually("the end", || {
            self.reader.read(1 << 16);
            self.program.hear();
            self.program.child.try_wait().unwrap()
        });
        let took = told.elapsed();
        outcome.slowest_end_ms = outcome.slowest_end_ms.max(took.as_millis() as u64);
        self.program.check_said(status);
        assert!(took < SOON, "the end took {took:?}: {:#?}", self.program.lines());
        while self.reader.read(1 << 16) {}
        self.judge(outcome);
    }

    /// Some frames of the first port, what the second one says, and a few milliseconds.
    fn step(&mut self, outcome: &mut Outcome) {
        if self.random.below(2) == 0 {
            for _ in 0..1 + self.random.below(3) {
                self.first.send(&frame_of_the_first(self.sent.len()));
                self.sent.push(Instant::now());
            }
        }
        self.second_says();
        self.hear(outcome);
        std::thread::park_timeout(Duration::from_millis(self.random.below(20)));
    }

    fn second_says(&mut self) {
        let Some(pty) = self.second.as_ref().filter(|pty| is_open(pty)) else { return };
        if self.last_octet.elapsed() < DRIBBLE {
            return;
        }
        self.last_octet = Instant::now();
        match self.manner {
            Manner::Silent => {}
            Manner::Noise => {
                self.is_spoiled = !self.unsaid.is_empty();
                pty.send(&[self.random.next() as u8]);
            }
            Manner::Dribble | Manner::Frames => {
                if self.unsaid.is_empty() {
                    self.unsaid.extend(frame_of_the_second(self.of_the_second));
                    self.of_the_second += 1;
                    self.is_spoiled = false;
                }
                let all = matches!(self.manner, Manner::Frames);
                let len = if all { self.unsaid.len() } else { 1 };
                pty.send(&self.unsaid.drain(..len).collect::<Vec<_>>());
                if self.unsaid.is_empty() && !self.is_spoiled {
                    self.intact.push(self.of_the_second - 1);
                }
            }
        }
    }

    fn fault(&mut self, outcome: &mut Outcome) {
        match self.random.below(8) {
            0 => self.manner = Manner::Silent,
            1..=3 => self.manner = Manner::Dribble,
            4 => self.manner = Manner::Noise,
            5 => self.manner = Manner::Frames,
            6 if self.second.is_some() => {
                outcome.unplugged += 1;
                self.second = None;
                self.unsaid.clear();
                // May have been unread.
                self.intact.pop();
            }
            7 if self.second.is_none() => {
                let pty = Pty::new();
                pty.name(self.dir.path().join("two"));
                self.second = Some(pty);
            }
            _ => {}
        }
    }

    /// Reads what is there; the first port's frames must have come in time.
    fn hear(&mut self, outcome: &mut Outcome) {
        let asked = Instant::now();
        self.reader.read(1 << 20);
        self.program.hear();
        let known: usize = self.records.iter().map(|record| 16 + record.data.len()).sum();
        let mut rest = &self.reader.octets[24 + known..];
        while let Some((record, len)) = parse_record(rest) {
            rest = &rest[len..];
            if self.sent.len() > self.come && record.data == frame_of_the_first(self.come) {
                let took = asked.saturating_duration_since(self.sent[self.come]);
                outcome.slowest_ms = outcome.slowest_ms.max(took.as_millis() as u64);
                self.come += 1;
            }
            self.records.push(record);
        }
        if let Some(sent) = self.sent.get(self.come) {
            let waited = asked.saturating_duration_since(*sent);
            let (come, manner) = (self.come, self.manner);
            assert!(waited < IN_TIME, "no. {come} is not there after {waited:?}: {manner:?}");
        }
    }

    fn judge(&mut self, outcome: &mut Outcome) {
        let records = self.reader.records();
        assert!(records.is_sorted_by_key(|record| record.time_us), "time runs backwards");
        let is_first = |record: &&Record| record.data.len() == 44 && record.data[4] == 1;
        let of_the_first = records.iter().filter(is_first);
        let expected = (0..self.sent.len()).map(frame_of_the_first);
        assert!(of_the_first.map(|record| &record.data).eq(expected.collect::<Vec<_>>().iter()));
        let is_second = |record: &&Record| {
            let number = record.data.get(8..12).map(|octets| octets.try_into().unwrap());
            number.is_some_and(|number| {
                record.data == frame_of_the_second(u32::from_be_bytes(number))
            })
        };
        let numbers: Vec<u32> = records
            .iter()
            .filter(is_second)
            .map(|record| u32::from_be_bytes(record.data[8..12].try_into().unwrap()))
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        for number in &self.intact {
            assert!(numbers.binary_search(number).is_ok(), "no. {number} of the second is missing");
        }
        let whole = numbers.len() as u64;
        outcome.frames += self.sent.len() as u64;
        outcome.of_the_second += whole;
        outcome.damaged += records.len() as u64 - self.sent.len() as u64 - whole;
    }
}

fn is_open(pty: &Pty) -> bool {
    tcgetattr(&pty.master).unwrap().input_speed() == BAUD
}

fn frame_of_the_first(number: usize) -> Vec<u8> {
    mstp(5, 9, 1, &[&(number as u32).to_be_bytes()[..], &[0x11; 30]].concat())
}

fn frame_of_the_second(number: u32) -> Vec<u8> {
    mstp(5, 9, 2, &[&number.to_be_bytes()[..], &[0x22; 30]].concat())
}
