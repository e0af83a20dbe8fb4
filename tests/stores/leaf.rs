//! A `nats-server` on each Pi and one in the middle, with the configuration that is packaged: what the one
//! stored while the other was away is there afterwards.
#![cfg(all(target_os = "linux", feature = "nats"))]

use crate::common::*;
use crate::nats_server::*;
use tempfile::TempDir;

const STREAM: &str = "serialshark+campus+trunk1";

fn packaged(name: &str) -> String {
    std::fs::read_to_string(format!("packaging/nats/{name}")).unwrap()
}

/// One file's ports and directory of its own; everything else is as it is packaged.
fn with(config: &str, changes: [(&str, &str); 2]) -> String {
    changes.iter().fold(config.to_owned(), |config, (from, to)| {
        assert_eq!(config.matches(from).count(), 1, "{from}");
        config.replace(from, to)
    })
}

#[test]
fn what_a_leaf_stored_while_the_hub_was_away_is_read_at_the_hub_packet_for_packet() {
    let to_hub = free_port().to_string();
    let store = ("/var/lib/nats", "DIR/store");
    let hub =
        with(&packaged("hub.conf"), [store, ("0.0.0.0:7422", &format!("127.0.0.1:{to_hub}"))]);
    let place = ("hub.example:7422\" }", &*format!("127.0.0.1:{to_hub}\" }}"));
    let leaf = with(&packaged("leaf.conf"), [store, place]);
    let (Some(mut hub), Some(leaf)) = (Nats::with(&hub), Nats::with(&leaf)) else { return };
    let made = hub.request(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &packaged("trunk.json"));
    assert!(!made.contains("\"error\""), "{made}");
    hub.kill();

    let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
    let file = dir.path().join("local.pcapng");
    let url = leaf.url("campus.trunk1");
    let args = [pty.path(), "-b", "38400", "-w", file.to_str().unwrap(), "--nats", &url];
    let mut program = Program::start(args);
    program.wait_for("trunk1: connected");
    let say = |numbers: std::ops::Range<u32>| {
        let all = numbers.end as usize;
        numbers.for_each(|n| pty.send(&numbered_frame(n)));
        eventually("the file", || {
            (packets(&std::fs::read(&file).unwrap()).len() == all).then_some(())
        });
        check_stored(&url, &file, &[]);
    };
    say(0..500);
    hub.start_again();
    check_stored(&hub.url("campus.trunk1"), &file, &[]);
    // And what comes from then on.
    say(500..700);
    check_stored(&hub.url("campus.trunk1"), &file, &[]);
    program.terminate();
}

#[test]
fn the_guide_shows_what_is_packaged() {
    let guide = std::fs::read_to_string("docs/nats.md").unwrap();
    for name in ["leaf.conf", "hub.conf", "trunk.json"] {
        let shown = packaged(name).lines().fold(String::new(), |shown, line| {
            shown + if line.is_empty() { "" } else { "    " } + line + "\n"
        });
        assert!(guide.contains(&shown), "docs/nats.md does not show packaging/nats/{name}");
    }
}
