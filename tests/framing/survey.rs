//! Sniffers that go from channel to channel: what they are told, which channel packets name, and what
//! `serialshark survey` makes of it. The sniffer is played at the other end of a PTY.

use crate::common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nordic's sniffer, which hears a frame every 10 ms: on channel C from PAN C0C1, number C.
fn play(pty: &Pty, is_over: &AtomicBool) -> String {
    let (mut told, mut taken, mut channel, mut us) = (String::new(), 0, None, 1_000_000_u64);
    while !is_over.load(Ordering::Relaxed) {
        readable(&pty.master, Instant::now() + Duration::from_millis(10));
        told.push_str(&text(&pty.received_now()));
        while let Some(len) = told[taken..].find("\r\n") {
            let command = &told[taken..taken + len];
            match command.split_once(' ') {
                Some(("channel", number)) => channel = Some(number.parse::<u8>().unwrap()),
                _ => assert!(["sleep", "shell echo off", "receive", ""].contains(&command)),
            }
            taken += len + 2;
        }
        if let Some(channel) = channel.filter(|_| told.ends_with("receive\r\n")) {
            us += 10_000;
            let psdu = format!("4188{channel:02x}c1c0ffff3412{channel:02x}ffff");
            let line = format!("received: {psdu} power: -{channel} lqi: 9 time: {us}\r\n");
            pty.offer(line.as_bytes());
        }
    }
    told
}

/// Plays the sniffer to the program with these arguments; returns what it was told, and what came
/// of the program.
fn played(args: &[&str]) -> (String, String) {
    let pty = Pty::new();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sniffer = scope.spawn(|| play(&pty, &is_over));
        let args: Vec<_> =
            args.iter().map(|arg| if *arg == "PTY" { pty.path() } else { arg }).collect();
        let (code, stdout, stderr) = run(&args);
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(code, 0, "{stderr}");
        let told = sniffer.join().unwrap() + &text(&pty.received_now());
        (told, text(&stdout))
    })
}

/// The channels that the sniffer was told, one after the other.
fn channels(told: &str) -> Vec<&str> {
    told.lines().filter_map(|line| line.strip_prefix("channel ")).collect()
}

#[test]
fn a_survey_listens_once_on_each_channel() {
    let args = ["survey", "PTY", "-p", "nrf", "--channel", "15,20-21", "--dwell", "1s"];
    let (told, said) = played(&args);
    assert_eq!(channels(&told)[..3], ["15", "20", "21"]);
    assert!(told.ends_with("\r\nsleep\r\n"), "stopped at the end: {told:?}");
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    for (row, channel) in rows[1..4].iter().zip(["15", "20", "21"]) {
        let &[here, frames, damaged, rssi, "dBm", pan] = row.as_slice() else { panic!("{said}") };
        assert_eq!((here, damaged, pan), (channel, "0", "0xc0c1"), "{said}");
        assert!(frames.parse::<u32>().unwrap() > 3, "{said}");
        assert_eq!(rssi, format!("-{channel}/-{channel}/-{channel}"));
    }
}

#[test]
fn a_survey_can_be_read_by_programs() {
    let args = ["survey", "PTY", "-p", "nrf", "--channel", "11", "--dwell", "1s", "--json"];
    let (_, said) = played(&args);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let channel = &said["channels"][0];
    assert_eq!(
        (channel["channel"].as_u64(), said["channels"].as_array().unwrap().len()),
        (Some(11), 1)
    );
    assert_eq!(channel["rssi_dbm"]["mean"].as_f64(), Some(-11.0));
    assert_eq!(channel["pan_ids"][0], "0xc0c1");
    assert!(channel["frames"].as_u64().unwrap() > 3);
}

#[test]
fn packets_name_the_channel_that_they_were_heard_on() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let file = file.to_str().unwrap();
    // Up to the third channel, which is the first one again.
    let args =
        ["PTY", "-p", "nrf", "--channel", "11,26", "--dwell", "200ms", "-w", file, "-c", "150"];
    let (told, _) = played(&args);
    assert!(channels(&told).starts_with(&["11", "26", "11"]), "{told}");
    let fields = ["-T", "fields", "-e", "wpan-tap.ch_num", "-e", "wpan.seq_no"];
    let Some(shown) = tshark(&[&["-r", file][..], &fields].concat(), b"") else { return };
    let mut known = std::collections::BTreeMap::<&str, u32>::new();
    for line in shown.lines() {
        let (channel, number) = line.split_once('\t').unwrap();
        // While it is tuned nobody knows.
        assert!(channel.is_empty() || channel == number, "{line:?}");
        *known.entry(channel).or_default() += 1;
    }
    assert!(known["11"] > 10 && known["26"] > 10, "{known:?}");
}

#[test]
fn what_cannot_hop_says_so() {
    for (args, why) in [
        (&["survey", "/dev/x"][..], "name the sniffer's protocol with -p"),
        (&["survey", "/dev/x", "-p", "mstp"], "mstp does not go from channel to channel"),
        (&["survey", "sim:riot", "-p", "riot"], "sim:riot is no port of a sniffer"),
        (&["/dev/x", "-p", "pinoccio", "--channel", "11,12"], "name one alone"),
        (&["/dev/x", "-p", "nrf", "--channel", "9-12"], "--channel 9: nrf has 11 to 26"),
        (&["/dev/x", "-p", "nrf", "--channel", "11-12", "--record", "r"], "takes one channel"),
        (&["/dev/x", "-p", "mstp", "--dwell", "5s"], "mstp does not go from channel to channel"),
    ] {
        let (code, _, stderr) = run(args);
        assert!(code == 2 && stderr.contains(why), "{args:?}: {stderr}");
    }
}
