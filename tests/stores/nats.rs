//! `--nats` and `nats://`: packets through a real nats-server, compared with a file of the same capture.
#![cfg(all(target_os = "linux", feature = "nats"))]

use crate::certificates::Certificates;
use crate::clock::FakeClock;
use crate::common::*;
use crate::nats_server::*;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A trunk that is stored, and written to a file as well.
struct Stored {
    program: Program,
    pty: Pty,
    file: PathBuf,
    sent: u32,
    _dir: TempDir,
}

impl Stored {
    fn start(url: &str, more: &[&str]) -> Self {
        Self::start_by(url, more, |args| Program::start(args))
    }

    fn start_by(url: &str, more: &[&str], start: impl Fn(&[&str]) -> Program) -> Self {
        let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
        let file = dir.path().join("local.pcapng");
        let args = [pty.path(), "-b", "38400", "-w", file.to_str().unwrap(), "--nats", url];
        let program = start(&[&args, more].concat());
        program.wait_for("reading mstp");
        Self { program, pty, file, sent: 0, _dir: dir }
    }

    /// So many frames more; waits until they are in the file.
    fn say(&mut self, frames: u32) {
        for n in self.sent..self.sent + frames {
            self.pty.send(&numbered_frame(n));
        }
        self.sent += frames;
        eventually("the file", || {
            let file = std::fs::read(&self.file).unwrap();
            (packets(&file).len() >= self.sent as usize).then_some(())
        });
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_read_back_is_the_local_file_block_for_block() {
    let Some(nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk-1");
    let mut trunk = Stored::start(&url, &[]);
    let mut random = Random(7);
    for n in 0..300 {
        // Noise between frames, and now and then a frame with a flaw: damage and comments.
        let mut frame = numbered_frame(n);
        if n % 20 == 4 {
            let at = frame.len() - 1;
            frame[at] ^= 0x41;
        }
        if n % 7 == 0 {
            let len = random.below(40) as usize;
            trunk.pty.send(&random.octets(len));
        }
        trunk.pty.send(&frame);
    }
    trunk.pty.send(&numbered_frame(300).repeat(2));
    eventually("the last frame", || {
        let file = packets(&std::fs::read(&trunk.file).unwrap());
        let last = numbered_frame(300);
        file.last().filter(|packet| packet.windows(last.len()).any(|octets| octets == last))?;
        Some(())
    });
    trunk.program.terminate();
    check_stored(&url, &trunk.file, &[]);
    let (local, back) = (std::fs::read(&trunk.file).unwrap(), stored(&url, &[]));
    let (local, back) = (blocks(&local), blocks(&back));
    // The last one has the statistics of who wrote it.
    assert_eq!(local.len(), back.len());
    assert!(local[..local.len() - 1] == back[..back.len() - 1]);
    let words = |blocks: &[Vec<u8>]| text(&blocks.concat());
    assert!(words(&local).contains("CRC") && words(&back).contains("CRC"), "no comments");
}

/// The packets of one interface, as if it were the first.
fn of_interface(file: &Path, number: u32) -> Vec<Vec<u8>> {
    let mut packets = packets(&std::fs::read(file).unwrap());
    packets.retain(|packet| packet[8..12] == number.to_ne_bytes());
    packets.iter_mut().for_each(|packet| packet[8..12].fill(0));
    packets
}

/// Of both what is stored is what the file has of it: also where packets wait for the server in a spool.
#[test]
fn each_of_two_ports_is_a_trunk_of_its_own() {
    for spooled in [false, true] {
        let Some(nats) = Nats::start() else { return };
        let (dir, ports) = (TempDir::new().unwrap(), [Pty::new(), Pty::new()]);
        let paths = ["one", "two.2"].map(|name| dir.path().join(name));
        for (path, pty) in paths.iter().zip(&ports) {
            pty.name(path);
        }
        let (file, spool) = (dir.path().join("local.pcapng"), dir.path().join("spool"));
        let url = nats.url("campus.{port}");
        let mut args: Vec<_> = paths.iter().map(|path| text_of(path)).collect();
        args.extend(["-b", "38400", "-w", text_of(&file), "--nats", &url]);
        if spooled {
            args.extend(["--nats-spool", text_of(&spool)]);
        }
        let mut program = Program::start(&args);
        program.wait_for_nth(2, "reading mstp");
        for number in 0..60_u32 {
            let port = usize::from(number % 3 == 0);
            let mut frame = numbered_frame(number);
            if number % 20 == 4 {
                *frame.last_mut().unwrap() ^= 0x41;
            }
            ports[port].send(&frame);
            // One after the other: so no packet is late, which the file would tell of.
            eventually("the file", || {
                (packets(&std::fs::read(&file).unwrap()).len() > number as usize).then_some(())
            });
        }
        let urls = ["one", "two-2"].map(|name| nats.url(&format!("campus.{name}")));
        for (number, url) in urls.iter().enumerate() {
            let local = of_interface(&file, number as u32);
            assert_same(&wait_until_stored(url, local.len(), &[]), &local);
        }
        assert_eq!(of_interface(&file, 1).len(), 20);
        program.terminate();
        let back = stored(&urls[1], &[]);
        let words = |blocks: &[Vec<u8>]| text(&blocks.concat());
        assert!(words(&blocks(&back)[..2]).contains("two.2"), "its name is in the file");
        assert!(!words(&blocks(&stored(&urls[0], &[]))[..2]).contains("two.2"));
        let accounts = program.stderr().join("\n");
        for (trunk, packets) in [("one", 40), ("two-2", 20)] {
            let line = accounts.lines().rfind(|line| {
                line.contains(&format!("campus.{trunk}")) && line.contains("delivered")
            });
            let [framed, delivered, dropped, _] = check_account(line.expect(&accounts));
            assert_eq!((framed, delivered, dropped), (packets, packets, 0), "{accounts}");
        }
    }
}

#[test]
fn ports_that_would_be_one_trunk_are_refused_in_one_line() {
    let field = "nats://127.0.0.1:1/campus.{port}";
    let whole = "nats://127.0.0.1:1/campus.a";
    for (args, says) in [
        (&["/a/ttyUSB0", "/b/ttyUSB0", "--nats", field][..], "both be ttyUSB0"),
        (&["sim:mstp", "sim:mstp", "--nats", field], "both be sim-mstp"),
        (&["sim:mstp", "sim:modbus", "--nats", whole], "nats://HOST/SITE.{port}"),
        (&["nats://127.0.0.1:1/a.*", "--nats", field], "{port} is for ports"),
        (&["sim:mstp", "--nats", "nats://127.0.0.1:1/campus.{line}"], "letters, digits"),
    ] {
        let (code, _, stderr) = run(args);
        assert!(code == 2 && stderr.contains(says), "{args:?}: {code} {stderr}");
        assert_eq!(
            stderr.lines().filter(|line| line.starts_with("error: ")).count(),
            1,
            "{stderr}"
        );
    }
}

#[test]
fn a_server_that_is_killed_three_times_loses_and_doubles_nothing() {
    let Some(mut nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk1");
    let mut trunk = Stored::start(&url, &[]);
    trunk.program.wait_for("trunk1: connected");
    for time in 1..=3 {
        trunk.say(200);
        nats.kill();
        trunk.say(200);
        trunk.program.wait_for_nth(time, "packets cannot be stored");
        nats.start_again();
        trunk.say(200);
        trunk.program.wait_for_nth(time, "connected again");
    }
    check_stored(&url, &trunk.file, &[]);
    trunk.program.terminate();
    assert_eq!(packets(&stored(&url, &[])).len(), 1800);
}

#[test]
fn an_acknowledgement_that_comes_too_late_stores_nothing_twice() {
    let Some(nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk1");
    // It forgets ids of messages at once, so it cannot be what keeps a second one out.
    let made = nats.request(
        "$JS.API.STREAM.CREATE.forgetful",
        "{\"name\":\"forgetful\",\"subjects\":[\"serialshark.campus.trunk1.packets\"],\
         \"duplicate_window\":100000000,\"storage\":\"file\",\"retention\":\"limits\",\
         \"num_replicas\":1}",
    );
    assert!(!made.contains("\"error\""), "{made}");
    let mut trunk = Stored::start(&url, &[]);
    trunk.program.wait_for("trunk1: connected");
    trunk.say(100);
    wait_until_stored(&url, 100, &[]);
    nats.signal(Signal::STOP);
    trunk.say(100);
    trunk.program.wait_for("packets cannot be stored");
    nats.signal(Signal::CONT);
    trunk.program.wait_for("connected again");
    trunk.say(100);
    check_stored(&url, &trunk.file, &[]);
    trunk.program.terminate();
}

#[test]
fn what_waits_in_a_spool_comes_through_a_server_that_is_away_and_a_crash_once_and_in_order() {
    let Some(mut nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk1");
    let dir = TempDir::new().unwrap();
    let spool = dir.path().join("spool");
    let with_spool = ["--nats-spool", text_of(&spool)];
    nats.kill();
    let mut local = Vec::new();
    let mut end = |mut trunk: Stored, signal| {
        local.extend(packets(&std::fs::read(&trunk.file).unwrap()));
        trunk.program.signal(signal);
        trunk.program.wait();
    };
    // A run's packets are safe from a crash once they are in the newest file of the spool.
    let spooled = |count: usize| {
        eventually("the spool", || {
            let files = std::fs::read_dir(&spool).unwrap().flatten().map(|file| file.path());
            let newest =
                files.filter(|path| path.extension().is_some_and(|it| it == "pcapng")).max()?;
            (packets(&std::fs::read(newest).ok()?).len() >= count).then_some(())
        });
    };

    let mut trunk = Stored::start(&url, &with_spool);
    trunk.program.wait_for("packets cannot be stored");
    trunk.say(300);
    spooled(300);
    end(trunk, Signal::KILL);

    let mut trunk = Stored::start(&url, &with_spool);
    trunk.say(300);
    spooled(300);
    nats.start_again();
    trunk.program.wait_for("connected");
    eventually("a part", || nats.state("campus.trunk1", "messages").filter(|n| *n > 0));
    nats.signal(Signal::STOP);
    trunk.say(300);
    spooled(600);
    end(trunk, Signal::KILL);
    nats.signal(Signal::CONT);

    let mut trunk = Stored::start(&url, &with_spool);
    trunk.say(100);
    wait_until_stored(&url, 1000, &[]);
    end(trunk, Signal::TERM);
    let back = packets(&stored(&url, &[]));
    assert_eq!(back.len(), local.len());
    assert_same(&octets(&back), &octets(&local));
}

#[test]
fn a_spool_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;
    let url = format!("nats://127.0.0.1:{}/campus.trunk1", free_port());
    let dir = TempDir::new().unwrap();
    let spool = dir.path().join("spool");
    let mut trunk = Stored::start(&url, &["--nats-spool", text_of(&spool)]);
    trunk.say(10);
    let made = eventually("files", || {
        let made: Vec<_> = std::fs::read_dir(&spool).ok()?.flatten().collect();
        made.iter().any(|file| file.file_name() == "campus.trunk1.id").then_some(made)
    });
    let packets = made.iter().filter(|file| file.path().extension() == Some("pcapng".as_ref()));
    let modes: Vec<_> = packets.map(|file| file.metadata().unwrap().permissions().mode()).collect();
    assert!(!modes.is_empty() && modes.iter().all(|mode| mode & 0o007 == 0), "{modes:?}");
    trunk.program.terminate();
}

#[test]
fn without_a_spool_a_server_that_is_away_costs_no_more_memory_than_told_and_no_time_at_the_end() {
    let url = format!("nats://127.0.0.1:{}/campus.trunk1", free_port());
    let mut trunk = Stored::start(&url, &["-B", "1"]);
    trunk.program.wait_for("Connection refused; it is tried again");
    let before = memory_kb(trunk.program.child.id(), "VmRSS");
    // The bound is that of the file as well, so that one must not fall behind.
    (0..30).for_each(|_| trunk.say(1000));
    let grown = memory_kb(trunk.program.child.id(), "VmHWM") - before;
    assert!(trunk.program.terminate() < SOON);
    let lines = trunk.program.stderr();
    let line = lines.iter().find(|line| line.contains("trunk1: ended before its reader took all"));
    let [framed, delivered, dropped, abandoned] =
        check_account(line.unwrap_or_else(|| panic!("{lines:#?}")));
    assert!(framed == 30_000 && dropped > 5_000, "{lines:#?}");
    // The queue, and the same again for what a socket and the file's own queue hold.
    assert!(grown < 8_000, "{grown} kB");
    let lost: u64 = lines
        .iter()
        .find_map(|line| {
            line.split_once(" packets are not stored")?.0.rsplit(' ').next()?.parse().ok()
        })
        .unwrap_or_default();
    assert!(lost <= delivered && delivered + abandoned > 5_000, "{lines:#?}");
}

#[test]
fn a_second_serialshark_with_the_same_name_is_told_and_both_are_kept_apart() {
    let Some(nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk1");
    let mut one = Stored::start(&url, &[]);
    one.program.wait_for("trunk1: connected");
    one.say(50);
    eventually("a message", || nats.state("campus.trunk1", "messages").filter(|n| *n > 0));
    let mut other = Stored::start(&url, &[]);
    other.program.wait_for("trunk1: connected");
    other.say(60);
    eventually("the other's", || nats.state("campus.trunk1", "messages").filter(|n| *n > 1));
    one.say(50);
    let told = one.program.wait_for("another serialshark stores packets under this name too");
    let beside = told.split("go to ").nth(1).unwrap().split(' ').next().unwrap();
    eventually("beside", || nats.state(beside, "messages").filter(|n| *n > 0));
    other.say(60);
    one.program.terminate();
    other.program.terminate();
    let both = [packets(&stored(&url, &[])), packets(&stored(&nats.url(beside), &[]))].concat();
    let local = |trunk: &Stored| packets(&std::fs::read(&trunk.file).unwrap());
    let (mut all, mut both) = (octets(&[local(&one), local(&other)].concat()), octets(&both));
    all.sort();
    both.sort();
    assert_same(&both, &all);
    // What came after they were told apart is apart.
    assert!(packets(&stored(&nats.url(beside), &[])).iter().all(|it| local(&one).contains(it)));
}

#[test]
fn what_a_server_lacks_or_refuses_is_told_in_one_line_without_secrets() {
    let told = |url: &str, more: &[&str], why: &str| {
        let mut trunk = Stored::start(url, &[&["-vv"], more].concat());
        trunk.program.wait_for(why);
        trunk.say(10);
        assert!(trunk.program.terminate() < SOON);
        let lines = trunk.program.stderr();
        assert_eq!(lines.iter().filter(|line| line.contains(why)).count(), 1, "{lines:#?}");
        assert!(!lines.concat().contains("s3cret"), "{lines:#?}");
        assert!(!lines.concat().contains("SUAEXAMPLE"), "{lines:#?}");
    };
    let Some(nats) = Nats::with("") else { return };
    told(&nats.url("a.b"), &[], "the server has no JetStream");
    let (code, _, stderr) = run(&[&nats.url("a.b"), "-w", "-"]);
    assert!(code == 1 && stderr.contains("no JetStream"), "{stderr}");

    let Some(nats) = Nats::with(
        "jetstream { store_dir: \"DIR/store\" }\nauthorization { user: me, password: right }",
    ) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret-wrong\n").unwrap();
    let url = nats.url("a.b").replace("//", "//me@");
    let file = ["--nats-password-file", text_of(&password)];
    let why = "it refuses this user, password or credentials file";
    told(&url, &file, why);
    told(&nats.url("a.b").replace("//", "//me:s3cret@"), &[], why);
    let creds = dir.path().join("user.creds");
    std::fs::write(
        &creds,
        "-----BEGIN NATS USER JWT-----\neyJzdWIiOiJzM2NyZXQifQ\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\nSUAEXAMPLE\n------END USER NKEY SEED------\n",
    )
    .unwrap();
    told(&nats.url("a.b"), &["--nats-creds", text_of(&creds)], "packets cannot be stored");

    std::fs::write(&password, "right\n").unwrap();
    let mut trunk = Stored::start(&url, &file);
    trunk.program.wait_for("b: connected");
    trunk.say(100);
    check_stored(&url, &trunk.file, &file);
    trunk.program.terminate();
    assert!(!trunk.program.stderr().concat().contains("right"));
}

#[test]
fn a_wrong_address_is_said_without_its_password() {
    for args in [
        &["nats://me:s3cret@/a.b"][..],
        &["nats://me:s3cret@h/a"],
        &["nats://me:s3cret@h:x/a.b", "-w", "-"],
        &["report", "nats://me:s3cret@h/a"],
        &["fleet", "nats://me:s3cret@"],
        &["sim:mstp", "--nats", "nats://me:s3cret@h"],
        // Each packet would be stored again as often as it is read.
        &["nats://me:s3cret@127.0.0.1:1/a.b", "--nats", "nats://127.0.0.1:1/a.b"],
        &["nats://127.0.0.1:1/a.*", "--nats", "nats://me:s3cret@127.0.0.1:1/a.b"],
        &["sim:mstp", "-c", "1", "--nats", "nats://me:s3cret@h/a.b", "--nats-ca", "Cargo.toml"],
    ] {
        let (code, _, said) = run(args);
        assert!(code == 2 && !said.contains("s3cret"), "{args:?}: {said}");
    }
}

/// With the rights that SECURITY.md says are enough.
/// An hour that clocks have twice is asked for whole, one that they do not have is named.
#[test]
fn times_where_clocks_are_put_back_or_forward() {
    let url = format!("nats://127.0.0.1:{}/a.b", free_port());
    let asked = |from: &str, to: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_serialshark"))
            .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            .args([&url, "--from", from, "--to", to, "-w", "-"])
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    // From the first 02:15 to the second 02:10, for which a server is needed.
    let (code, said) = asked("2025-10-26 02:15", "2025-10-26 02:10");
    assert!(code == Some(1) && said.contains("cannot connect"), "{said}");
    let (code, said) = asked("2025-10-26 03:15", "2025-10-26 03:10");
    assert!(code == Some(2) && said.contains("--from must be before --to"), "{said}");
    let (code, said) = asked("2025-03-30 02:30", "2025-03-30 04:00");
    assert!(code == Some(2) && said.contains("clocks were put forward"), "{said}");
}

#[test]
fn a_user_who_may_store_one_trunk_stores_no_other() {
    let Some(nats) = Nats::with(
        &"jetstream { store_dir: \"DIR/store\" }
         authorization { users: [ { user: pi, password: s3cret, permissions: {
             publish: [
                 \"serialshark.campus.trunk1.packets\", \"$JS.API.STREAM.NAMES\",
                 \"$JS.API.STREAM.INFO.STREAM\", \"$JS.API.STREAM.CREATE.STREAM\",
                 \"$JS.API.STREAM.MSG.GET.STREAM\",
             ],
             subscribe: \"_INBOX.>\"
         } }, { user: reader, password: s3cret } ] }"
            .replace("STREAM\"", "serialshark+campus+trunk1\""),
    ) else {
        return;
    };
    let as_user =
        |trunk: &str, user: &str| nats.url(trunk).replace("//", &format!("//{user}:s3cret@"));
    let mut other = Stored::start(&as_user("campus.trunk2", "pi"), &[]);
    let mut trunk = Stored::start(&as_user("campus.trunk1", "pi"), &[]);
    trunk.say(50);
    check_stored(&as_user("campus.trunk1", "reader"), &trunk.file, &[]);
    other.say(1);
    let told = other.program.wait_for("packets cannot be stored");
    assert!(told.contains("the server says: ") && told.contains("$JS.API.STREAM."), "{told}");
    let refused = try_stored(&as_user("campus.trunk2", "pi"), &[]).unwrap_err();
    assert!(refused.contains("the server says: "), "{refused}");
    trunk.program.terminate();
    other.program.terminate();
    assert!(nats.log().contains("Publish Violation"));
    try_stored(&as_user("campus.trunk2", "reader"), &[]).unwrap_err();
}

#[test]
fn a_full_stream_is_told_and_goes_on_when_it_has_room() {
    let Some(nats) = Nats::start() else { return };
    let url = nats.url("campus.trunk1");
    let made = nats.request(
        "$JS.API.STREAM.CREATE.small",
        "{\"name\":\"small\",\"subjects\":[\"serialshark.*.*.packets\"],\"max_bytes\":4000,\
         \"discard\":\"new\",\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1}",
    );
    assert!(!made.contains("\"error\""), "{made}");
    let mut trunk = Stored::start(&url, &[]);
    trunk.say(500);
    let line = trunk.program.wait_for("packets cannot be stored");
    assert!(line.contains("maximum bytes"), "{line}");
    let made = nats.request(
        "$JS.API.STREAM.UPDATE.small",
        "{\"name\":\"small\",\"subjects\":[\"serialshark.*.*.packets\"],\"max_bytes\":4000000,\
         \"discard\":\"new\",\"storage\":\"file\",\"retention\":\"limits\",\"num_replicas\":1}",
    );
    assert!(!made.contains("\"error\""), "{made}");
    check_stored(&url, &trunk.file, &[]);
    trunk.program.wait_for("connected again");
    trunk.program.terminate();
    let lines = trunk.program.stderr();
    let told = lines.iter().filter(|line| line.contains("cannot be stored")).count();
    assert_eq!(told, 1, "{lines:#?}");

    // One of the trunk's name that does not take its packets.
    let made = nats.request(
        "$JS.API.STREAM.CREATE.serialshark+campus+other",
        "{\"name\":\"serialshark+campus+other\",\"subjects\":[\"other\"]}",
    );
    assert!(!made.contains("\"error\""), "{made}");
    nats.request("$JS.API.STREAM.DELETE.small", "");
    let mut trunk = Stored::start(&nats.url("campus.other"), &[]);
    trunk.say(1);
    trunk.program.wait_for("no stream takes serialshark.campus.other.packets; it is tried again");
    trunk.program.terminate();
}

#[test]
fn a_server_that_takes_small_messages_gets_small_ones_and_what_is_too_large_is_told() {
    let Some(nats) = Nats::with("jetstream { store_dir: \"DIR/store\" }\nmax_payload: 4KB") else {
        return;
    };
    let url = nats.url("campus.trunk1");
    let mut trunk = Stored::start(&url, &[]);
    trunk.say(1000);
    check_stored(&url, &trunk.file, &[]);
    trunk.program.terminate();

    // A stream of somebody's own may take less than the server.
    let made = nats.request(
        "$JS.API.STREAM.CREATE.small",
        "{\"name\":\"small\",\"subjects\":[\"serialshark.campus.trunk2.packets\"],\"max_msg_size\":1024}",
    );
    assert!(!made.contains("\"error\""), "{made}");
    let url = nats.url("campus.trunk2");
    let mut trunk = Stored::start(&url, &[]);
    trunk.say(500);
    check_stored(&url, &trunk.file, &[]);
    trunk.program.terminate();

    let Some(nats) = Nats::with("jetstream { store_dir: \"DIR/store\" }\nmax_payload: 1KB") else {
        return;
    };
    let url = nats.url("campus.trunk1");
    let mut trunk = Stored::start(&url, &[]);
    trunk.say(10);
    for _ in 0..3 {
        trunk.pty.send(&mstp(5, 1, 2, &[0x22; 480]));
    }
    trunk.program.wait_for("the server takes no message so large");
    trunk.pty.send(&numbered_frame(10));
    assert_eq!(wait_until_stored(&url, 11, &[]).len(), 11);
    trunk.program.terminate();
    let lines = trunk.program.stderr();
    let told = lines.iter().filter(|line| line.contains("no message so large")).count();
    assert!(lines.iter().any(|line| line.contains("3 packets were too large")), "{lines:#?}");
    assert_eq!(told, 1, "{lines:#?}");
}

/// By the times of the packets, to the nanosecond.
#[test]
fn a_part_of_the_past_has_just_its_packets() {
    let Some(nats) = Nats::start() else { return };
    let dir = TempDir::new().unwrap();
    let Some(clock) = FakeClock::new(dir.path()) else { return };
    // Nothing may be waited for, and nothing missed: neither where the end is an hour ago, nor where the
    // clock of the machine that stores is ahead of the server's.
    for (trunk, offset) in [("campus.trunk1", "-3600"), ("campus.trunk2", "+300")] {
        clock.set(offset);
        let url = nats.url(trunk);
        let mut trunk = Stored::start_by(&url, &[], |args| clock.start(args));
        trunk.program.wait_for(": connected");
        for _ in 0..40 {
            trunk.say(1);
            // Longer than a frame takes on the wire, so that each has a time of its own.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let local = packets(&std::fs::read(&trunk.file).unwrap());
        let read = |from: u64, to: u64, more: &[&str]| {
            let (from, to) = (written(from), written(to));
            let mut command = Program::command();
            command.args([&url, "--from", &from, "--to", &to, "-w", "-", "--format", "pcapng"]);
            clock.give_to(&mut command);
            let output = command.args(more).output().unwrap();
            output.status.success().then(|| packets(&output.stdout))
        };
        // It is asked for an hour later.
        clock.set("+3600");
        let (from, to) = (time(&local[10]), time(&local[25]));
        eventually("all packets in the store", || {
            let all = read(time(&local[0]), time(&local[39]) + 1, &[])?;
            (all.len() == 40).then(|| assert_same(&all, &local))
        });
        assert_same(&read(from, to, &[]).unwrap(), &local[10..25]);
        assert_same(&read(from, to, &["-c", "3"]).unwrap(), &local[10..13]);
        trunk.program.terminate();
    }
}

/// The server is away when the time is over: what was heard before is read when it is back.
#[test]
fn a_time_that_ends_while_the_server_is_away_is_read_to_its_end() {
    let Some(mut nats) = Nats::start() else { return };
    let dir = TempDir::new().unwrap();
    let (url, file) = (nats.url("campus.trunk1"), dir.path().join("part.pcapng"));
    let mut trunk = Stored::start(&url, &[]);
    trunk.program.wait_for("trunk1: connected");
    trunk.say(10);
    wait_until_stored(&url, 10, &[]);
    let ns = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let to_ns = ns() + 4_000_000_000;
    let to = written(to_ns);
    let args = [&url, "--since", "1h", "--to", &to, "--format", "pcapng", "-w", text_of(&file)];
    let mut reader = Program::start(args);
    let read = || std::fs::read(&file).map(|file| packets(&file)).unwrap_or_default();
    eventually("what was stored", || (read().len() == 10).then_some(()));
    nats.kill();
    reader.wait_for("packets cannot be read");
    trunk.say(10);
    // Longer than a reader waits for what is late.
    while ns() < to_ns + 1_500_000_000 {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // Asks when all is stored that the server missed.
    reader.signal(Signal::STOP);
    nats.start_again();
    wait_until_stored(&url, 20, &[]);
    reader.signal(Signal::CONT);
    assert!(reader.wait().success());
    let local = packets(&std::fs::read(&trunk.file).unwrap());
    let wanted: Vec<_> = local.into_iter().filter(|packet| time(packet) < to_ns).collect();
    assert_same(&read(), &wanted);
    trunk.program.terminate();
}

fn time(packet: &[u8]) -> u64 {
    let half = |at: usize| u64::from(u32::from_ne_bytes(packet[at..at + 4].try_into().unwrap()));
    half(12) << 32 | half(16)
}

/// A machine that has begun in 1970, as one without a clock of its own does, and learns the time later.
#[test]
fn packets_of_1970_are_stored_told_and_read_in_order_before_and_after_the_clock_is_set() {
    let Some(nats) = Nats::start() else { return };
    let dir = TempDir::new().unwrap();
    let Some(clock) = FakeClock::new(dir.path()) else { return };
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: u64 = uptime.split('.').next().unwrap().parse().unwrap();
    let spool = dir.path().join("spool");
    for (name, more) in
        [("campus.plain", &[][..]), ("campus.spooled", &["--nats-spool", text_of(&spool)])]
    {
        let url = nats.url(name);
        clock.set(&format!("-{}", seconds - uptime - 60));
        let mut trunk = Stored::start_by(&url, more, |args| clock.start(args));
        trunk.program.wait_for("connected");
        let told = trunk.program.wait_for("this machine's clock says 19");
        assert!(told.contains(": packets have such times until it is set"), "{told}");
        trunk.say(50);
        let early = wait_until_stored(&url, 50, &[]);
        assert!(early.iter().all(|packet| time(packet) < (uptime + 3600) * 1_000_000_000));

        let live = dir.path().join(name);
        let args = [&url, "-w", text_of(&live), "--format", "pcapng"];
        let mut reader = Program::start(args);
        reader.wait_for("reading mstp");
        trunk.say(10);
        clock.set("+0");
        trunk.say(50);
        trunk.program.wait_for("the clock was set forward");
        check_stored(&url, &trunk.file, &[]);
        let local = packets(&std::fs::read(&trunk.file).unwrap());
        let from_live = eventually("the live reader", || {
            let got = packets(&std::fs::read(&live).ok()?);
            (got.len() >= 60).then_some(got)
        });
        assert_same(&from_live, &local[50..]);
        let times: Vec<_> = local.iter().map(|packet| time(packet)).collect();
        assert!(times.is_sorted() && times[109] / 1_000_000_000 >= seconds, "{times:?}");
        let sent: Vec<_> = (0..110).map(numbered_frame).collect();
        assert_same(&octets(&local), &sent);
        // It is found by the time at which it was stored.
        let hours_ago = |hours: u64| written((seconds - hours * 3600) * 1_000_000_000);
        let args = [&url, "-w", "-", "--format", "pcapng", "--from", &hours_ago(2)];
        let (code, got, said) = run(&[&args[..], &["--to", &hours_ago(1)]].concat());
        assert!(code == 0 && packets(&got).is_empty(), "{said}");
        reader.terminate();
        trunk.program.terminate();
        let lines = trunk.program.stderr();
        let told = lines.iter().filter(|line| line.contains("clock says")).count();
        assert_eq!(told, 1, "{lines:#?}");
    }
}

/// Two trunks whose packets alternate, and one of another site.
#[test]
fn all_trunks_of_a_site_are_interfaces_in_order_of_time() {
    let Some(nats) = Nats::start() else { return };
    let mut trunks: Vec<_> = ["campus.one", "campus.two", "other.three"]
        .iter()
        .map(|name| Stored::start(&nats.url(name), &[]))
        .collect();
    for trunk in &trunks {
        trunk.program.wait_for("connected");
    }
    for _ in 0..5 {
        trunks.iter_mut().for_each(|trunk| trunk.say(4));
    }
    for (trunk, name) in trunks.iter().zip(["campus.one", "campus.two", "other.three"]) {
        check_stored(&nats.url(name), &trunk.file, &[]);
    }
    let found = packets(&stored(&nats.url("campus.*"), &[]));
    assert_eq!(found.len(), 40);
    let times: Vec<_> = found.iter().map(|packet| time(packet)).collect();
    assert!(times.is_sorted(), "{times:?}");
    for (interface, trunk) in trunks.iter().take(2).enumerate() {
        let of_it = |packet: &&Vec<u8>| packet[8..12] == (interface as u32).to_ne_bytes();
        let found: Vec<_> = found.iter().filter(of_it).cloned().collect();
        let local = packets(&std::fs::read(&trunk.file).unwrap());
        assert_same(&octets(&found), &octets(&local));
    }
    trunks.iter_mut().for_each(|trunk| {
        trunk.program.terminate();
    });
}

/// The server's certificate must be of the authority that was named, and valid today.
#[test]
fn a_certificate_that_proves_nothing_is_refused() {
    let Some(certificates) = Certificates::new() else { return };
    let of = |name: &str| certificates.path(name);
    let server = |certificate: &str| {
        Nats::with(&format!(
            "jetstream {{ store_dir: \"DIR/store\" }}\n\
             tls {{ cert_file: \"{}\", key_file: \"{}\" }}",
            of(certificate),
            of("server.key")
        ))
    };
    let Some(good) = server("good.pem") else { return };
    let ours = of("ours.pem");
    let ours = ["--nats-ca", &ours];
    for scheme in ["tls", "nats"] {
        let url = good.url("a.b").replacen("nats", scheme, 1);
        let mut trunk = Stored::start(&url, &ours);
        trunk.program.wait_for("b: connected");
        trunk.say(10);
        trunk.program.terminate();
    }
    let Some(expired) = server("expired.pem") else { return };
    let strange = of("strange.pem");
    for (url, authority, why) in [
        (good.url("a.b"), Some(&strange), "name who has with --nats-ca"),
        (good.url("a.b"), None, "name who has with --nats-ca"),
        (expired.url("a.b"), Some(&of("ours.pem")), "it has expired, or the clock"),
    ] {
        let more: Vec<_> = authority.iter().flat_map(|path| ["--nats-ca", path.as_str()]).collect();
        let mut trunk = Stored::start(&url, &more);
        let told = trunk.program.wait_for("packets cannot be stored");
        assert!(told.contains(why), "{told}");
        trunk.program.terminate();
    }
}
