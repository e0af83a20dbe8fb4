//! Wireshark's own program as the judge of the main job.

use crate::common::*;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The first words of the README, as they are written there.
#[test]
fn twenty_simulated_frames_through_a_pipe_none_malformed() {
    if tool("tshark").is_none() {
        return;
    }
    let serialshark = env!("CARGO_BIN_EXE_serialshark");
    for (sim, fields, wanted) in [
        ("sim:mstp", "-e frame.protocols -e mstp.frame_type", "mstp"),
        ("sim:modbus", "-e frame.protocols -e exported_pdu.ipv4_dst", "exported_pdu"),
        ("sim:riot", "-e frame.protocols -e wpan-tap.lqi", "wpan"),
    ] {
        let pipeline = format!(
            "{serialshark} -q {sim} -w - | tshark -r - -c 20 -T fields -e _ws.malformed {fields}"
        );
        let output = Command::new("sh").args(["-c", &pipeline]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let says = text(&output.stdout);
        assert_eq!(says.lines().count(), 20, "{says}");
        for line in says.lines() {
            let columns: Vec<_> = line.split('\t').collect();
            assert!(columns[0].is_empty() && columns[1].contains(wanted), "{line}");
            assert!(!columns[2].is_empty(), "{line}");
        }
        let inside = match sim {
            "sim:riot" => "6lowpan",
            "sim:modbus" => "mbrtu:modbus",
            _ => "bacnet",
        };
        assert!(says.contains(inside), "{says}");
    }
}

#[test]
fn tshark_on_the_fifo_again_and_again_and_two_at_once() {
    if tool("tshark").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let fifo = fifo.to_str().unwrap();
    let mut program = Program::start(["sim:mstp", "--fifo", fifo]);
    program.wait_for("reading mstp");
    let start = |packets: usize| {
        Command::new("tshark")
            .args([
                "-i",
                fifo,
                "-c",
                &packets.to_string(),
                "-T",
                "fields",
                "-e",
                "mstp.frame_type",
                "-e",
                "_ws.malformed",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let judge = |tshark: std::process::Child, packets| {
        let output = tshark.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let says = text(&output.stdout);
        assert_eq!(says.lines().count(), packets, "{says}");
        for line in says.lines() {
            let (frame_type, malformed) = line.split_once('\t').unwrap();
            assert!(frame_type.parse::<u8>().is_ok() && malformed.is_empty(), "{says}");
        }
    };
    let rounds = if full() { 5 } else { 2 };
    for _ in 0..rounds {
        judge(start(10), 10);
    }
    // Not in the same instant, or they would share one stream.
    let first = start(100);
    program.wait_for_nth(rounds + 1, "a reader has come");
    let second = start(10);
    judge(second, 10);
    judge(first, 100);
    program.wait_for_nth(rounds + 2, "its reader left");
    program.terminate();
}

#[test]
fn on_a_quiet_line_each_tshark_is_served_and_shows_what_comes() {
    if tool("tshark").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let program = Program::start([pty.path(), "--fifo", fifo.to_str().unwrap()]);
    program.wait_for("reading mstp");
    for round in 1..=if full() { 3 } else { 2 } {
        let tshark = Command::new("tshark")
            .args(["-i", fifo.to_str().unwrap(), "-c", "1", "-x"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        program.wait_for_nth(round, "a reader has come");
        pty.send(&mstp(0, 16, 5, &[]));
        let output = tshark.wait_with_output().unwrap();
        let says = text(&output.stdout);
        assert!(says.contains("55 ff 00 10 05 00 00 8c"), "{says}");
        program.wait_for_nth(round, "its reader left");
    }
}

/// The wiki says that the header must be in the pipe before Wireshark reads it.
#[test]
fn a_reader_may_be_there_first() {
    if tool("tshark").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let tshark = Command::new("tshark")
        .args(["-i", fifo.to_str().unwrap(), "-c", "3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It has the FIFO open once a writer would not be refused.
    eventually("tshark at the FIFO", || {
        let flags = rustix::fs::OFlags::PATH;
        let node = rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).unwrap();
        let inode = rustix::fs::fstat(&node).unwrap().st_ino;
        let descriptors = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok());
        let open = descriptors.flatten().flatten().any(|fd| {
            use std::os::unix::fs::MetadataExt;
            fd.path().metadata().is_ok_and(|metadata| metadata.ino() == inode)
                && std::fs::read_link(fd.path()).is_ok_and(|path| path == fifo)
                && !fd.path().starts_with(format!("/proc/{}/", std::process::id()))
        });
        open.then_some(())
    });
    let program = Program::start(["sim:mstp", "--fifo", fifo.to_str().unwrap()]);
    let output = tshark.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout).lines().count(), 3);
    program.wait_for("its reader left");
}

#[test]
fn pcapng_shows_damage_skipped_octets_and_where_packets_come_from() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut bad_data = mstp(5, 1, 2, b"some data");
    bad_data[12] ^= 0x40;
    let good = mstp(0, 16, 5, &[]);
    let cut = &mstp(6, 1, 2, &[3; 60])[..30];
    pty.send(&[&good[..], &bad_data, &[1, 2, 3], &good, cut, &good].concat());
    eventually("five packets", || {
        let pcapng = std::fs::read(&file).unwrap();
        let says = tshark(&["-r", "-"], &pcapng).unwrap_or_default();
        (says.lines().count() == 5 || tool("tshark").is_none()).then_some(())
    });
    program.terminate();
    let fields = [
        "frame.packet_flags_crc_error",
        "frame.packet_flags_packet_too_short_error",
        "frame.len",
        "frame.cap_len",
        "frame.interface_name",
        "frame.comment",
    ];
    let mut args = vec!["-r", "-", "-T", "fields", "-E", "separator=|"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let Some(says) = tshark(&args, &std::fs::read(&file).unwrap()) else { return };
    let port = pty.path();
    let expected = [
        format!("||8|8|{port}|"),
        format!("1|0|19|19|{port}|damaged: CRC error"),
        format!("||8|8|{port}|3 bytes outside frames before this packet"),
        format!("0|1|70|30|{port}|damaged: too short, 30 of 70 bytes"),
        format!("||8|8|{port}|"),
    ];
    assert_eq!(says.lines().collect::<Vec<_>>(), expected);
    // A cut frame is shown as cut, and not as malformed.
    let filter = "_ws.malformed && frame.packet_flags_packet_too_short_error == 1";
    let malformed = tshark(&["-r", "-", "-Y", filter], &std::fs::read(&file).unwrap());
    assert_eq!(malformed.unwrap(), "");
}

/// What is printed for a packet says the same as the dissector: addresses, service, object.
#[test]
fn printed_packets_agree_with_the_dissector() {
    if tool("tshark").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let [recording, capture] = ["trunk.rec", "trunk.pcap"].map(|name| dir.path().join(name));
    let [recording, capture] = [&recording, &capture].map(|path| path.to_str().unwrap());
    let (code, _, stderr) =
        run(&["sim:mstp", "--record", recording, "-w", capture, "-c", "200", "-b", "1000000"]);
    assert_eq!(code, 0, "{stderr}");
    let (_, printed, _) = run(&["-t", "-q", recording, "-c", "200"]);
    let fields = ["mstp.src", "mstp.dst", "frame.len", "bacapp.instance_number"];
    let fields: Vec<_> = fields.into_iter().flat_map(|field| ["-e", field]).collect();
    let args = ["-r", capture, "-T", "fields", "-E", "occurrence=f", "-e", "_ws.col.Info"];
    let judged = tshark(&[&args[..], &fields].concat(), b"").unwrap();
    let printed = text(&printed);
    assert_eq!((printed.lines().count(), judged.lines().count()), (200, 200));
    let mut services = 0;
    for (line, judged) in printed.lines().zip(judged.lines()) {
        let columns: Vec<_> = judged.split('\t').collect();
        let [info, source, destination, len, instance] = columns[..] else { panic!("{judged}") };
        let addresses = format!("{source:>3} > {destination:<3} ");
        let said = line.strip_prefix(&addresses).unwrap_or_else(|| panic!("{line}: {judged}"));
        let said = said.strip_suffix(&format!(", length {len}")).expect(line);
        let name = said.split(' ').next().unwrap();
        assert!(info.contains(name), "{line}: {judged}");
        if !instance.is_empty() && !name.contains("Notification") {
            assert!(said.contains(&format!(" {instance}")), "{line}: {judged}");
            services += 1;
        }
    }
    assert!(services > 20, "{services}");
}
