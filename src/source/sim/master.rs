//! A simulated Modbus line: a master polls three units, and one of them lacks a register.

use super::{Burst, Stage, fill};
use crate::framing::modbus::CRC;
use std::ops::RangeInclusive;

// Silences in microseconds.
const TURNAROUND: RangeInclusive<u32> = 2_500..=12_000;
const POLL: RangeInclusive<u32> = 25_000..=90_000;
/// What the master waits for an answer that does not come.
const TIMEOUT_US: u32 = 200_000;

/// A request and its answer, both without CRC; without an answer nobody gives one. `$`: the
/// temperature of the unit in tenths, `=`: a counter.
type Talk = (&'static str, &'static str);

/// What the master asks, over and over.
const TALKS: [Talk; 12] = [
    // A thermostat: holding registers, the first of which is a temperature.
    ("01 03 0000 0002", "01 03 04 $ 00c8"),
    // Eight inputs, and an input register that counts.
    ("02 02 0000 0008", "02 02 01 a5"),
    ("02 04 0010 0001", "02 04 02 ="),
    // A meter: a number of two registers.
    ("11 04 0000 0002", "11 04 04 436a ="),
    ("01 03 0000 0002", "01 03 04 $ 00c8"),
    // It lacks this register: illegal data address.
    ("11 03 0400 0001", "11 83 02"),
    // A setpoint, and a relay that is switched on.
    ("01 06 0001 00d2", "01 06 0001 00d2"),
    ("02 05 0003 ff00", "02 05 0003 ff00"),
    ("01 03 0000 0002", "01 03 04 $ 00c8"),
    ("01 10 0010 0002 04 = 0001", "01 10 0010 0002"),
    // To all at once; and to one that is not there.
    ("00 06 0020 0001", ""),
    ("05 03 0000 0001", ""),
];

/// The scene.
#[derive(Debug)]
pub(super) struct Master {
    turn: usize,
    celsius: f32,
    count: u16,
}

impl Master {
    pub(super) fn new() -> Self {
        Self { turn: 0, celsius: 21.5, count: 1 }
    }

    /// Asks once.
    pub(super) fn poll(&mut self, stage: &mut Stage) {
        let (request, response) = TALKS[self.turn % TALKS.len()];
        self.turn += 1;
        self.count = self.count.wrapping_add(1);
        stage.dice.drift(&mut self.celsius);
        let tenths = ((self.celsius * 10.0) as u16).to_be_bytes();
        let count = self.count.to_be_bytes();
        let octets = |template| {
            let mut octets = fill(template, &[('$', &tenths), ('=', &count)]);
            octets.extend(CRC.checksum(&octets).to_le_bytes());
            octets
        };
        let pause = if response.is_empty() { TIMEOUT_US } else { 0 } + stage.dice.within(POLL);
        let burst = |pause_us: u32, template| Burst {
            pause_ns: u64::from(pause_us) * 1000,
            octets: octets(template),
        };
        stage.queue.push_back(burst(pause, request));
        if !response.is_empty() {
            let turnaround = stage.dice.within(TURNAROUND);
            stage.queue.push_back(burst(turnaround, response));
        }
    }
}
