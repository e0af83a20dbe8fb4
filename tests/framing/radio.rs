//! The talk with IEEE 802.15.4 sniffers, each played at the other end of a PTY: what they are told, in
//! which order, at which answers, and that they are stopped at the end.

use crate::common::*;
use std::path::PathBuf;
use tempfile::TempDir;

/// What is said, and what the sniffer answers.
type Exchange<'a> = (&'a [u8], &'a [u8]);

/// A sniffer that is played, and the program that reads it.
struct Played {
    pty: Pty,
    program: Program,
    file: PathBuf,
    _dir: TempDir,
}

impl Played {
    fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("capture.pcap");
        let pty = Pty::new();
        let program = Program::start([&[pty.path(), "-w", file.to_str().unwrap()], args].concat());
        program.wait_for("reading");
        Self { pty, program, file, _dir: dir }
    }

    fn hears(&self, said: &[u8]) {
        let heard = self.pty.receive_until(|heard| heard.len() >= said.len());
        assert_eq!(text(&heard), text(said));
    }

    fn talk(&self, exchanges: &[Exchange<'_>]) {
        for (said, answer) in exchanges {
            self.hears(said);
            self.pty.send(answer);
        }
    }

    /// Sends a record, and waits until a packet that ends like this is in the file: record number
    /// `n`.
    fn record(&self, n: usize, record: &[u8], ends: &[u8]) {
        self.pty.send(record);
        let last = eventually("a packet", || {
            let records = pcap_records_so_far(&std::fs::read(&self.file).ok()?);
            records.into_iter().nth(n - 1)
        });
        assert!(last.data.ends_with(ends), "{:02x?}", last.data);
    }

    /// Ends the program; what the sniffer is told then.
    fn end(mut self, said: &[u8]) -> Vec<String> {
        assert_eq!(text(&self.pty.received_now()), "", "told more than that");
        self.program.terminate();
        assert_eq!(text(&self.pty.received_now()), text(said));
        self.program.stderr()
    }
}

const FRAME: &[u8] = &[0x02, 0x00, 0x07];

#[test]
fn sensniff_is_told_its_channel_if_one_is_named_and_nothing_else() {
    const MAGIC: &[u8] = b"\xc1\x1f\xfe\x72\x02";
    let record = [MAGIC, b"\0\0\x05", FRAME, b"\xd0\xff"].concat();
    let tuned = Played::start(&["-p", "sensniff", "--channel", "15"]);
    let refusing = Played::start(&["-p", "sensniff", "--channel", "26"]);
    let silent = Played::start(&["-p", "sensniff"]);
    silent.record(1, &record, FRAME);
    let set = |channel: u8| [MAGIC, &[0x84, 0, 1, channel]].concat();
    tuned.talk(&[(&set(15), &[MAGIC, &[1, 0, 1, 15]].concat())]);
    refusing.talk(&[(&set(26), &[MAGIC, &[0x7f, 0, 0]].concat())]);
    refusing.program.wait_for("refuses");
    tuned.record(1, &record, FRAME);
    refusing.record(1, &record, FRAME);
    for played in [tuned, refusing, silent] {
        played.end(b"");
    }
}

#[test]
fn nordics_sniffer_is_set_up_stopped_at_the_end_and_set_up_again_after_a_reset() {
    let played = Played::start(&["-p", "nrf", "--channel", "11"]);
    let record = |time: u64| format!("received: 020007ffff power: -40 lqi: 200 time: {time}\r\n");
    let start = b"sleep\r\nshell echo off\r\nchannel 11\r\nreceive\r\n";
    played.hears(start);
    played.record(1, record(3_600_000_000).as_bytes(), FRAME);
    played.record(2, record(3_600_001_000).as_bytes(), FRAME);
    // Its clock alone tells.
    played.record(3, record(100_000).as_bytes(), FRAME);
    played.record(4, record(101_000).as_bytes(), FRAME);
    played.program.wait_for("the sniffer has restarted");
    played.hears(start);
    played.end(b"\r\nsleep\r\n");
}

#[test]
fn zephyrs_sniffer_is_asked_again_when_its_answer_was_lost() {
    let played = Played::start(&["-p", "zephyr", "--channel", "20"]);
    let stop: Exchange<'_> = (b"sniffer stop\r\n", b"uart:~$ sniffer stop\r\nalready stopped\r\n");
    let channel: Exchange<'_> =
        (b"sniffer channel 20\r\n", b"uart:~$ sniffer channel 20\r\nchannel 20\r\n");
    played.talk(&[
        stop,
        (channel.0, b"uart:~$ sniffer channel 20\r\nset channel failed (-22)\r\n"),
        // In the middle of a record, where it is not known for an answer.
        (b"sniffer start\r\n", b"psdu: 0200started\r\n"),
        (b"sniffer start\r\n", b"already started\r\n"),
    ]);
    played.program.wait_for("set channel failed (-22)");
    played.record(1, b"psdu: 020007 power: -40 lqi: 200 time: 4000000\r\n", FRAME);
    played.pty.send(b"*** Booting Zephyr OS build v4.2.0 ***\r\n");
    played.program.wait_for("the sniffer has restarted");
    played.talk(&[stop, channel, (b"sniffer start\r\n", b"\r\nstarted\r\n")]);
    played.record(2, b"psdu: 020007 power: -40 lqi: 200 time: 400000\r\n", FRAME);
    played.end(b"sniffer stop\r\n");
}

/// A spinel message on the line: HDLC-lite, whose FCS-16 is made bit by bit here.
fn hdlc(message: &[u8]) -> Vec<u8> {
    let mut crc = 0xffff_u16;
    for octet in message {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    let mut line = vec![0x7e];
    for &octet in message.iter().chain(&(!crc).to_le_bytes()) {
        match octet {
            0x7d | 0x7e | 0x11 | 0x13 | 0xf8 => line.extend([0x7d, octet ^ 0x20]),
            _ => line.push(octet),
        }
    }
    line.push(0x7e);
    line
}

#[test]
fn openthreads_radio_is_set_up_property_by_property_and_again_after_a_reset() {
    let played = Played::start(&["-p", "spinel", "--channel", "17"]);
    let set = |property: u8, value: u8| hdlc(&[0x81, 3, property, value]);
    let is = |property: u8, value: u8| hdlc(&[0x81, 6, property, value]);
    // PHY enabled, monitor mode, channel, raw stream.
    let start = [(0x20, 1), (0x38, 2), (0x21, 17), (0x37, 1)];
    let record = |time_us: u64| {
        let mut message = vec![0x80, 6, 0x71, 5, 0, 2, 0, 7, 0xff, 0xff, 0xc0, 0x80, 0, 0];
        message.extend([10, 0, 17, 200]);
        message.extend(time_us.to_le_bytes());
        message.extend([1, 0, 0]);
        hdlc(&message)
    };
    for (property, value) in start {
        played.talk(&[(&set(property, value), &is(property, value))]);
    }
    played.record(1, &record(5_000_000), FRAME);
    played.pty.send(&hdlc(&[0x80, 6, 0, 0x72]));
    played.program.wait_for("the sniffer has restarted");
    for (property, value) in start {
        // This one it does not know.
        let answer = if property == 0x38 { is(0, 13) } else { is(property, value) };
        played.talk(&[(&set(property, value), &answer)]);
    }
    played.program.wait_for("status 13");
    played.record(2, &record(100_000), FRAME);
    played.end(&[set(0x37, 0), set(0x38, 0)].concat());
}

#[test]
fn tis_sniffer_gets_layer_and_frequency_and_is_stopped() {
    let played = Played::start(&["-p", "ti", "--channel", "26"]);
    let well: &[u8] = b"\x40\x53\x80\x01\x00\x00\x81\x40\x45";
    played.talk(&[
        (b"\x40\x53\x42\x00\x00\x42\x40\x45", b"\x40\x53\x80\x01\x00\x06\x87\x40\x45"), // it did not run
        (b"\x40\x53\x40\x00\x00\x40\x40\x45", b"\x40\x53\x80\x03\x00\x00\x01\x02\x86\x40\x45"),
        (b"\x40\x53\x47\x01\x00\x12\x5a\x40\x45", well),
        // 2480 MHz.
        (b"\x40\x53\x45\x04\x00\xb0\x09\x00\x00\x02\x40\x45", well),
        (b"\x40\x53\x41\x00\x00\x41\x40\x45", well),
    ]);
    played.program.wait_for("status 6");
    // FCS of 02 00 07.
    let record =
        b"\x40\x53\xc0\x0e\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x07\x07\xc1\xd0\x80\x40\x45";
    played.record(1, record, b"\x02\x00\x07\x07\xc1");
    played.end(b"\x40\x53\x42\x00\x00\x42\x40\x45");
}

#[test]
fn other_sniffers_are_told_in_their_own_words() {
    let sonoff = Played::start(&["-p", "sonoff", "--channel", "25"]);
    let esp = Played::start(&["-p", "esp", "--channel", "11"]);
    let blueluna = Played::start(&["-p", "blueluna", "--channel", "20"]);
    let kirale = Played::start(&["-p", "kirale", "--channel", "12"]);
    sonoff.hears(b"{\"C\":25}\r");
    sonoff.record(
        1,
        b"{\"L\":5,\"Q\":255,\"R\":-82,\"S\":\"02000707c1\"}\r\n",
        b"\x02\0\x07\x07\xc1",
    );
    sonoff.end(b"");
    esp.hears(b"r");
    // It boots, as it was told to: no reason to tell it again.
    esp.pty.send(b"ESP-ROM:esp32c6-20220919\r\n");
    esp.hears(b"11");
    esp.record(1, b"@RAW [05, 02, 00, 07, c8, 80]\r\n", FRAME);
    let said = esp.end(b"");
    assert!(!said.iter().any(|line| line.contains("restarted")), "{said:?}");
    blueluna.talk(&[
        (b"\x07\x02\x98\xf5\xf2\xf6\x0f\0", b"\x06\x02\xe7\x8a\x8d\x09\0"),
        (b"\x03\x03\x14\0\x02\x05\0", b""),
    ]);
    blueluna.record(1, b"\x03\x07\x14\x01\x03\x03\x02\x02\x07\0", FRAME);
    blueluna.end(b"\x02\x06\0");
    kirale.hears(b"ifdown\r\nconfig channel 12\r\nifup\r\n");
    kirale.record(1, b"SNIF\0\x05\0\0\0\0\0\0\0\x01\x02\0\x07\x07\xc1", b"\x02\0\x07\x07\xc1");
    kirale.end(b"ifdown\r\n");
}
