//! Any octets on a line, held to the contracts of `framing`. The target's name is the protocol.
#![no_main]

#[path = "../../tests/common/contracts.rs"]
mod contracts;

use libfuzzer_sys::fuzz_target;
use serialshark::framing::protocol;

fuzz_target!(|line: &[u8]| {
    contracts::all(protocol(env!("CARGO_BIN_NAME")).expect("is in the table"), line);
});
