//! Any octets on a line, held to the contracts of `framing`. The variable `FRAMING` names the protocol.
#![no_main]

#[path = "../../tests/common/contracts.rs"]
mod contracts;

use libfuzzer_sys::fuzz_target;
use serialshark::framing::{Protocol, protocol};
use std::sync::LazyLock;

static ROW: LazyLock<&Protocol> = LazyLock::new(|| {
    let name = std::env::var("FRAMING").expect("FRAMING names a protocol");
    protocol(&name).expect("FRAMING is in the table")
});

fuzz_target!(|line: &[u8]| contracts::all(&ROW, line));
