//! The trunk doctor on trunks that are written down frame by frame: what is a cause and what comes
//! of it, and how times are read that a capture does not explain.

use crate::common::{Random, mstp};
use crate::trunk;
use crate::trunk::{FIVE_MINUTES, Listening, findings};
use serde_json::Value;
use serialshark::analysis::Record;
use serialshark::analysis::doctor::{Doctor, Known};
use serialshark::analysis::document;
use serialshark::analysis::timing::BaudFrom;
use serialshark::source::sim::Plan;
use serialshark::time::Timestamp;

const BAUD: u32 = 38_400;

/// A trunk at 38400 baud, frame by frame.
struct Script {
    doctor: Doctor,
    now_ns: u64,
    number: u64,
}

impl Script {
    fn new() -> Self {
        Self::of(Known { baud: Some((BAUD, BaudFrom::Recording)), latency_ms: None })
    }

    fn of(known: Known) -> Self {
        Self { doctor: Doctor::new(known), now_ns: trunk::BEGIN_NS, number: 0 }
    }

    /// After so many milliseconds of silence, these octets.
    fn octets(&mut self, pause_ms: u64, octets: &[u8]) {
        self.now_ns += pause_ms * 1_000_000;
        self.number += 1;
        self.doctor.push(&Record {
            number: self.number,
            time: Timestamp::from_ns(self.now_ns),
            octets,
            original_len: octets.len() as u32,
            ..Record::default()
        });
        self.now_ns += octets.len() as u64 * 10_000_000_000 / u64::from(BAUD);
    }

    fn frame(&mut self, pause_ms: u64, kind: u8, from: u8, to: u8) {
        self.octets(pause_ms, &mstp(kind, to, from, &[]));
    }

    fn token(&mut self, pause_ms: u64, from: u8, to: u8) {
        self.frame(pause_ms, 0, from, to);
    }

    fn poll(&mut self, pause_ms: u64, from: u8, to: u8) {
        self.frame(pause_ms, 1, from, to);
    }

    /// The token goes round these nodes, so many times.
    fn rounds(&mut self, n: usize, nodes: &[u8]) {
        for _ in 0..n {
            for (at, from) in nodes.iter().enumerate() {
                self.token(3, *from, nodes[(at + 1) % nodes.len()]);
            }
        }
    }

    /// The holder asks another for a value.
    fn request(&mut self, from: u8, to: u8, id: u8) {
        self.octets(1, &mstp(5, to, from, &[1, 4, 0, 3, id, 12, 12, 0, 0, 0, 1, 25, 85]));
    }

    /// Who was asked tells it.
    fn answer(&mut self, pause_ms: u64, from: u8, to: u8, id: u8) {
        let data = [1, 0, 0x30, id, 12, 12, 0, 0, 0, 1, 25, 85, 62, 0x44, 66, 145, 0, 0, 63];
        self.octets(pause_ms, &mstp(6, to, from, &data));
    }

    /// Who polls its gap finds nobody there, and passes the token on.
    fn poll_in_vain(&mut self, from: u8, to: u8) {
        self.poll(3, from, to);
        self.now_ns += 22_000_000;
    }

    fn report(mut self) -> Value {
        document::of_trunk(&self.doctor.report())
    }
}

/// Names and nodes of what is worse than advice.
fn named(report: &Value) -> Vec<(String, Vec<u64>)> {
    let found = findings(report).into_iter().filter(|(_, severity, _)| severity != "advice");
    found.map(|(id, _, nodes)| (id, nodes)).collect()
}

fn effects(report: &Value, id: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap();
    let finding = all.iter().find(|finding| finding["id"] == id).unwrap();
    let effects = finding["effects"].as_array().unwrap();
    effects.iter().map(|effect| effect.as_str().unwrap().to_owned()).collect()
}

/// How much of the time frames take is known where the rate is.
#[test]
fn what_a_slow_round_is_made_of_is_told_where_the_rate_is_known() {
    for baud in [Some((BAUD, BaudFrom::Recording)), None] {
        let mut script = Script::of(Known { baud, latency_ms: None });
        for _ in 0..100 {
            for from in 0..30 {
                script.token(40, from, (from + 1) % 30);
            }
        }
        let report = script.report();
        let all = report["findings"].as_array().unwrap();
        let slow = all.iter().find(|finding| finding["id"] == "slow-loop").expect("1.2 s");
        let text = slow["text"].as_str().unwrap();
        assert!(text.contains("takes 1.3 s to go round"), "{text}");
        assert_eq!(text.contains("requests and waits for replies"), baud.is_some(), "{text}");
    }
}

/// The last of two nodes is only polled, since who passed it the token is gone as well.
#[test]
fn nodes_that_go_together_are_all_named() {
    let mut script = Script::new();
    script.rounds(2000, &[0, 1, 2, 3]);
    script.token(3, 0, 1);
    script.token(3, 1, 2);
    script.token(25, 1, 2);
    script.poll(25, 1, 3);
    script.poll(25, 1, 0);
    script.frame(3, 2, 0, 1);
    script.token(3, 1, 0);
    script.rounds(3000, &[0, 1]);
    let expected = [("node-gone".to_owned(), vec![2]), ("node-gone".to_owned(), vec![3])];
    assert_eq!(named(&script.report()), expected);
}

#[test]
fn who_seldom_hears_the_token_leaves_the_ring_because_of_it() {
    let mut script = Script::new();
    let ring = [0, 1, 2, 3];
    for at in 0..60 {
        script.rounds(70, &ring);
        script.token(3, 0, 1);
        script.token(3, 1, 2);
        script.token(25, 1, 2);
        if at % 20 == 7 {
            script.poll(25, 1, 3);
            script.frame(3, 2, 3, 1);
            script.token(3, 1, 3);
            script.token(3, 3, 0);
            script.token(3, 0, 1);
            script.poll(3, 1, 2);
            script.frame(3, 2, 2, 1);
            script.token(3, 1, 2);
        }
        script.token(3, 2, 3);
        script.token(3, 3, 0);
    }
    let report = script.report();
    assert_eq!(named(&report), [("token-retries".to_owned(), vec![2])]);
    assert_eq!(effects(&report, "token-retries"), ["node-flapping"]);
}

/// A round of nodes 0 to 7 in which the token of one of them is damaged, and all take it.
fn damaged_round(script: &mut Script, from: u8) {
    for node in 0..8 {
        let mut token = mstp(0, (node + 1) % 8, node, &[]);
        if node == from {
            token[5] ^= 0x10;
        }
        script.octets(3, &token);
    }
}

/// Noise hits all alike: what happens to one node alone has another cause.
#[test]
fn noise_does_not_explain_what_one_node_does() {
    let mut script = Script::new();
    let ring = [0, 1, 2, 3, 4, 5, 6, 7];
    for n in 0..120_u8 {
        script.rounds(2, &ring);
        damaged_round(&mut script, n % 8);
        let to = 1 + n % 7;
        script.request(0, to, n);
        if to != 3 || n % 2 == 0 {
            script.answer(10, to, 0, n);
        } else {
            script.now_ns += 260_000_000;
        }
        for round in 0..20 {
            script.rounds(1, &ring[..4]);
            // Node 5 hears one token in twenty badly.
            script.token(3, 0, 4);
            script.token(3, 4, 5);
            if round == 7 {
                script.token(25, 4, 5);
            }
            script.token(3, 5, 0);
        }
    }
    let report = script.report();
    let found = named(&report);
    for expected in [("noise", vec![]), ("no-answer", vec![3]), ("token-retries", vec![5])] {
        let (id, nodes) = expected;
        assert!(found.contains(&(id.to_owned(), nodes)), "{id}: {found:?}");
    }
}

/// Where the frames of two nodes with one address collide hardly anything is left of them.
#[test]
fn what_twins_leave_of_their_frames_is_no_noise() {
    let mut script = Script::new();
    for id in 0..60 {
        script.rounds(20, &[0, 1, 2, 3, 4, 5, 6, 7]);
        script.request(0, 3, id);
        script.answer(5, 3, 0, id);
        script.answer(2, 3, 0, id);
        for node in 0..8 {
            script.token(3, node, (node + 1) % 8);
            if node == 2 && id % 2 == 0 {
                script.octets(2, &[0x51, 0xa3, id, 0x9c, 0x77]);
                script.now_ns += 16_000_000;
            }
        }
    }
    let report = script.report();
    assert_eq!(named(&report), [("duplicate-mac".to_owned(), vec![3])]);
    assert!(effects(&report, "duplicate-mac").contains(&"noise".to_owned()));
}

/// Neighbours may be sick each by itself.
#[test]
fn what_a_neighbour_does_is_its_own() {
    let mut script = Script::new();
    script.rounds(1000, &[0, 1, 2, 3]);
    // Node 2 goes, and node 3 does not answer half of what it is asked.
    script.token(3, 0, 1);
    script.token(3, 1, 2);
    script.token(25, 1, 2);
    script.poll(25, 1, 3);
    script.frame(3, 2, 3, 1);
    script.token(3, 1, 3);
    script.token(3, 3, 0);
    for n in 0..20 {
        script.rounds(100, &[0, 1, 3]);
        script.request(0, 3, n);
        if n % 2 == 0 {
            script.answer(10, 3, 0, n);
        } else {
            script.now_ns += 260_000_000;
        }
    }
    let expected = [("no-answer".to_owned(), vec![3]), ("node-gone".to_owned(), vec![2])];
    let mut found = named(&script.report());
    found.sort();
    assert_eq!(found, expected);
}

/// Whom a token in vain shows to be away, and who is away with it and is only polled.
#[test]
fn nodes_that_come_and_go_together_are_all_named() {
    let mut script = Script::new();
    for n in 0..6 {
        script.rounds(60, &[0, 1, 2, 3, 4]);
        script.token(3, 0, 1);
        script.token(3, 1, 2);
        script.token(25, 1, 2);
        script.poll(25, 1, 3);
        script.poll(25, 1, 4);
        script.frame(3, 2, 4, 1);
        script.token(3, 1, 4);
        script.token(3, 4, 0);
        script.rounds(60, &[0, 1, 4]);
        // Node 3 answers before it is in the ring again.
        script.request(0, 3, n);
        script.answer(10, 3, 0, n);
        script.token(3, 0, 1);
        script.poll(3, 1, 2);
        script.frame(3, 2, 2, 1);
        script.token(3, 1, 2);
        script.poll(3, 2, 3);
        script.frame(3, 2, 3, 2);
        script.token(3, 2, 3);
        script.token(3, 3, 4);
        script.token(3, 4, 0);
    }
    let expected = [("node-flapping".to_owned(), vec![2]), ("node-flapping".to_owned(), vec![3])];
    assert_eq!(named(&script.report()), expected);
}

/// Who waits for an answer and hears something else drops the token, and is not to blame for it.
#[test]
fn a_token_that_is_lost_since_another_talks_is_lost_by_the_other() {
    let mut script = Script::new();
    for id in 0..20 {
        script.rounds(100, &[0, 1, 2]);
        script.request(0, 1, id);
        script.octets(5, &mstp(6, 255, 60, &[1, 0, 16, 8]));
        if id % 2 == 0 {
            // The asker goes on.
            script.token(250, 0, 1);
        } else {
            script.poll(500, 0, 1);
            script.frame(3, 2, 1, 0);
            script.token(3, 0, 1);
        }
        script.token(3, 1, 2);
        script.token(3, 2, 0);
    }
    let report = script.report();
    let all = report["findings"].as_array().unwrap();
    let lost = all.iter().find(|finding| finding["id"] == "lost-token").unwrap();
    assert_eq!((&lost["n"], &lost["nodes"]), (&10.into(), &serde_json::json!([60])), "{lost}");
    let accused = named(&report).into_iter().flat_map(|(_, nodes)| nodes);
    assert!(accused.into_iter().all(|mac| mac == 60), "{:?}", named(&report));
}

/// Who has gone on after another talked loses the token by itself.
#[test]
fn a_token_that_is_lost_after_the_holder_went_on_is_lost_by_the_holder() {
    let mut script = Script::new();
    for _ in 0..10 {
        script.rounds(100, &[0, 1, 2]);
        script.token(3, 0, 1);
        script.octets(1, &mstp(6, 255, 60, &[1, 0, 16, 8]));
        script.octets(5, &mstp(6, 255, 1, &[1, 0, 16, 8]));
        script.poll(500, 0, 1);
        script.frame(3, 2, 1, 0);
        script.token(3, 0, 1);
        script.token(3, 1, 2);
        script.token(3, 2, 0);
    }
    let report = script.report();
    let all = report["findings"].as_array().unwrap();
    let lost = all.iter().find(|finding| finding["id"] == "lost-token").unwrap();
    assert_eq!(lost["nodes"], serde_json::json!([1]), "{lost}");
}

/// Noise does not make one node talk without the token.
#[test]
fn noise_does_not_explain_tokens_that_one_node_loses_for_others() {
    let mut script = Script::new();
    for n in 0..60_u8 {
        script.rounds(10, &[0, 1, 2, 3, 4, 5, 6, 7]);
        damaged_round(&mut script, n % 8);
        script.request(0, 1, n);
        script.octets(5, &mstp(6, 255, 60, &[1, 0, 16, 8]));
        script.poll(500, 0, 1);
        script.frame(3, 2, 1, 0);
        script.token(3, 0, 1);
        for node in 1..8 {
            script.token(3, node, (node + 1) % 8);
        }
    }
    let found = named(&script.report());
    assert!(found.contains(&("noise".to_owned(), vec![])), "{found:?}");
    assert!(found.contains(&("lost-token".to_owned(), vec![60])), "{found:?}");
}

/// A token that is lost once explains no node that comes and goes all the time.
#[test]
fn what_happens_once_does_not_explain_what_happens_often() {
    let mut script = Script::new();
    for n in 0..6 {
        script.rounds(60, &[0, 1, 2, 3]);
        script.token(3, 0, 1);
        script.token(3, 1, 2);
        if n == 3 {
            script.frame(2, 6, 2, 255);
            script.poll(500, 0, 1);
            script.frame(3, 2, 1, 0);
            script.token(3, 0, 1);
            script.token(3, 1, 2);
        }
        script.token(25, 1, 2);
        script.poll(25, 1, 3);
        script.frame(3, 2, 3, 1);
        script.token(3, 1, 3);
        script.token(3, 3, 0);
        script.rounds(60, &[0, 1, 3]);
        script.token(3, 0, 1);
        script.poll(3, 1, 2);
        script.frame(3, 2, 2, 1);
        script.token(3, 1, 2);
        script.token(3, 2, 3);
        script.token(3, 3, 0);
    }
    let report = script.report();
    let found = named(&report);
    assert!(found.contains(&("node-flapping".to_owned(), vec![2])), "{found:?}");
}

#[test]
fn who_is_alone_is_so_whatever_its_max_master_is() {
    let mut script = Script::new();
    script.rounds(1000, &[0, 1, 2]);
    script.token(3, 0, 1);
    script.poll(550, 0, 1);
    for n in 0..200 {
        script.poll(70, 0, 1 + n % 5);
    }
    assert_eq!(named(&script.report()), [("sole-master".to_owned(), vec![0])]);
}

/// After a poll that nobody answers who polled is the next to send; and a poll that was damaged is
/// none that is missing.
#[test]
fn damage_behind_a_poll_is_of_who_polled() {
    let mut script = Script::new();
    let ring = [0, 1, 2, 3, 4];
    for n in 0..60 {
        script.rounds(2, &ring);
        for polled in 5..60 {
            for node in 0..4 {
                script.token(3, node, node + 1);
            }
            let mut poll = mstp(1, polled, 4, &[]);
            let mut token = mstp(0, 0, 4, &[]);
            if polled % 16 == n % 8 {
                poll[4] ^= 4;
            }
            if polled % 10 == 7 {
                token[5] ^= 0x10;
            }
            script.octets(3, &poll);
            script.octets(24, &token);
        }
        script.rounds(48, &ring);
    }
    assert_eq!(named(&script.report()), [("bad-transmitter".to_owned(), vec![4])]);
}

/// Who tells unasked what it is, and somebody else asked once.
#[test]
fn one_question_does_not_explain_many_answers() {
    let i_am = [1, 0, 16, 0, 0xc4, 2, 0, 0, 7, 0x22, 1, 0xe0, 0x91, 3, 0x21, 8];
    let mut script = Script::new();
    for n in 0..300 {
        script.rounds(10, &[0, 1, 2]);
        if n == 5 {
            script.octets(3, &mstp(6, 255, 0, &[1, 32, 255, 255, 0, 255, 16, 8, 9, 5, 25, 5]));
        }
        script.token(3, 0, 1);
        script.octets(3, &mstp(6, 255, 1, &i_am));
        script.token(3, 1, 2);
        script.token(3, 2, 0);
    }
    let report = script.report();
    let storm = (String::from("i-am-storm"), vec![1]);
    assert!(named(&report).contains(&storm), "{:?}", named(&report));
}

/// All nodes tell of changes as often as the others.
#[test]
fn nobody_is_to_blame_for_what_all_do() {
    let mut script = Script::new();
    let told = [1, 0, 16, 2, 9, 1, 0x1c, 2, 0, 0, 7, 0x2c, 0, 0, 0, 1, 0x39, 0, 0x4e, 0x4f];
    for _ in 0..100 {
        for from in 0..10 {
            script.octets(3, &mstp(6, 0, from, &told));
            script.token(3, from, (from + 1) % 10);
        }
        script.rounds(20, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    assert_eq!(named(&script.report()), [("cov-flood".to_owned(), vec![])]);
}

/// A window of segments is sent again as a whole.
#[test]
fn segments_of_a_window_time_out_as_single_ones_do() {
    let mut script = Script::new();
    for id in 0..5 {
        script.rounds(30, &[0, 1, 2]);
        script.request(0, 2, id);
        script.frame(5, 7, 2, 0);
        script.token(3, 0, 1);
        script.token(3, 1, 2);
        for segment in [0, 1, 2, 0, 1, 2, 0, 1, 2] {
            script.octets(3, &mstp(6, 0, 2, &[1, 0, 0x3c, id, segment, 3, 14, 1, 2, 3]));
        }
        script.octets(3, &mstp(6, 0, 2, &[1, 0, 0x71, id, 5]));
        script.token(3, 2, 0);
    }
    assert_eq!(named(&script.report()), [("segmentation-timeouts".to_owned(), vec![2])]);
    // The same numbers in one message after the other are no repetition.
    let mut script = Script::new();
    for _ in 0..9 {
        script.rounds(30, &[0, 1, 2]);
        script.request(0, 2, 7);
        for segment in [0, 1, 2] {
            script.octets(3, &mstp(6, 0, 2, &[1, 0, 0x3c, 7, segment, 3, 14, 1, 2, 3]));
            script.token(3, 0, 1);
            script.token(3, 1, 2);
        }
        script.token(3, 2, 0);
    }
    script.request(0, 2, 7);
    script.octets(3, &mstp(6, 0, 2, &[1, 0, 0x71, 7, 5]));
    assert!(!named(&script.report()).iter().any(|(id, _)| id == "segmentation-timeouts"));
}

/// A slow gateway postpones all answers; its client asks again, and gets both.
#[test]
fn answers_that_come_late_and_twice_are_of_one_node() {
    let mut script = Script::new();
    let ask = |script: &mut Script, id: u8| {
        script.request(0, 1, id);
        script.frame(5, 7, 1, 0);
    };
    for n in 0..8 {
        for _ in 0..2 {
            script.rounds(20, &[0, 1, 2]);
            // More questions lie in between than are kept.
            for id in 0..20 {
                ask(&mut script, n * 20 + id);
            }
        }
        for id in 0..20 {
            script.token(3, 0, 1);
            script.answer(3, 1, 0, n * 20 + id);
            script.answer(3, 1, 0, n * 20 + id);
            script.token(3, 1, 2);
            script.token(3, 2, 0);
        }
    }
    assert_eq!(named(&script.report()), []);
}

/// A question that was not heard, and a client that counts to a few only.
#[test]
fn an_answer_to_a_damaged_question_is_no_second_one() {
    for numbers in [1, 5, 16] {
        let mut script = Script::new();
        for n in 0..200_u8 {
            script.rounds(20, &[0, 1, 2]);
            if n == 70 {
                let mut damaged =
                    mstp(5, 1, 0, &[1, 4, 0, 3, n % numbers, 12, 12, 0, 0, 0, 1, 25, 85]);
                damaged[12] ^= 0x10;
                script.octets(1, &damaged);
            } else {
                script.request(0, 1, n % numbers);
            }
            script.answer(10, 1, 0, n % numbers);
        }
        assert_eq!(named(&script.report()), [], "{numbers}");
    }
}

/// A finding counts what it is about, and names those packets.
#[test]
fn evidence_is_what_a_finding_is_about() {
    let mut script = Script::new();
    let mut above = Vec::new();
    for n in (0..200_u8).chain(0..200) {
        script.rounds(2, &[0, 1, 5]);
        script.token(3, 0, 1);
        // Both poll, and node 1 only below the top.
        script.poll_in_vain(1, 2 + n % 3);
        script.token(3, 1, 5);
        script.poll_in_vain(5, 6 + n % 20);
        above.push(script.number);
        script.token(3, 5, 0);
    }
    let report = script.report();
    let all = report["findings"].as_array().unwrap();
    let high = all.iter().find(|finding| finding["id"] == "max-master-high").unwrap();
    assert_eq!((&high["n"], &high["nodes"]), (&400.into(), &serde_json::json!([5])));
    for packet in high["packets"].as_array().unwrap() {
        assert!(above.contains(&packet.as_u64().unwrap()), "{packet}");
    }
    let gaps = all.iter().find(|finding| finding["id"] == "address-gaps").unwrap();
    assert_eq!((&gaps["n"], &gaps["nodes"]), (&400.into(), &serde_json::json!([1])));
}

/// Late replies are slow ones, and count once.
#[test]
fn a_late_reply_is_one_slow_reply() {
    let mut script = Script::new();
    for id in 0..6 {
        script.rounds(100, &[0, 1, 2]);
        script.request(0, 2, id);
        script.token(256, 0, 1);
        script.answer(9, 2, 0, id);
        script.token(20, 1, 2);
        script.token(3, 2, 0);
    }
    let report = script.report();
    let all = report["findings"].as_array().unwrap();
    let slow = all.iter().find(|finding| finding["id"] == "slow-replies").unwrap();
    assert_eq!(slow["n"], 6, "{slow}");
}

/// Where the slowest adapter could not hand frames over together, times may be those of one.
#[test]
fn a_latency_that_cannot_show_is_not_taken_for_none() {
    let late = |latency_ms: u64| {
        let known = Known { baud: Some((9_600, BaudFrom::User)), latency_ms: None };
        let mut doctor = Doctor::new(known);
        let (mut now_us, mut random) = (0, Random(7));
        for number in 0..6000_u64 {
            let node = (number % 6) as u8;
            let octets = mstp(0, (node + 1) % 6, node, &[]);
            now_us += 9_500 + random.below(4_000);
            let end_us = now_us + 8_333;
            let arrived_us = match latency_ms {
                0 => end_us,
                ms => end_us.div_ceil(ms * 1000) * ms * 1000,
            };
            let time = Timestamp::from_ns(trunk::BEGIN_NS + (arrived_us - 8_333) * 1000);
            let original_len = 8;
            doctor.push(&Record {
                number,
                time,
                octets: &octets,
                original_len,
                ..Record::default()
            });
            now_us = end_us;
        }
        document::of_trunk(&doctor.report())
    };
    for latency_ms in [0, 16] {
        let report = late(latency_ms);
        assert_eq!(named(&report), [], "{latency_ms}");
        assert_eq!(report["timing_uncertainty_ms"], 16.0);
        let said = report["not_judged"].to_string();
        assert!(said.contains("--latency"), "{said}");
    }
}

/// Times in whole seconds say nothing of delays.
#[test]
fn times_in_steps_accuse_nobody() {
    let mut script = Script::new();
    let mut records = Vec::new();
    for n in 0..600 {
        for from in 0..4 {
            script.token(20, from, (from + 1) % 4);
            records.push((script.now_ns, mstp(0, (from + 1) % 4, from, &[])));
        }
        script.now_ns += 1_000_000;
        records.push((script.now_ns, mstp(5, 1 + n as u8 % 3, 0, &[1, 4, 0, 3, 1, 12, 12])));
        script.now_ns += 60_000_000;
        records.push((script.now_ns, mstp(6, 0, 1 + n as u8 % 3, &[1, 0, 0x20, 1, 12])));
        script.now_ns += 30_000_000;
        records.push((script.now_ns, mstp(1, 9, 0, &[])));
        script.now_ns += 20_000_000;
    }
    let mut doctor = Doctor::new(Known { baud: Some((BAUD, BaudFrom::User)), latency_ms: None });
    for (number, (ns, octets)) in (1..).zip(&records) {
        let time = Timestamp::from_ns(ns / 1_000_000_000 * 1_000_000_000);
        let original_len = octets.len() as u32;
        doctor.push(&Record { number, time, octets, original_len, ..Record::default() });
    }
    let report = document::of_trunk(&doctor.report());
    assert_eq!(named(&report), []);
    let said = report["not_judged"].to_string();
    assert!(said.contains("in steps of 1000 ms"), "{said}");
}

/// The times of a trunk that loses its token now and then, as a clock has them that goes in steps.
fn in_steps(step_ms: u64, latency_ms: Option<f64>) -> Value {
    let known = Known { baud: Some((BAUD, BaudFrom::User)), latency_ms };
    let (mut doctor, mut now_ms, mut number) = (Doctor::new(known), 0, 0);
    let mut push = |pause_ms: u64, kind, from, to| {
        now_ms += pause_ms;
        number += 1;
        let octets = mstp(kind, to, from, &[]);
        let time = Timestamp::from_ns(trunk::BEGIN_NS + now_ms / step_ms * step_ms * 1_000_000);
        let octets = octets.as_slice();
        doctor.push(&Record { number, time, octets, original_len: 8, ..Record::default() });
    };
    for _ in 0..30 {
        for n in 0..200 {
            push(5, 0, n % 4, (n + 1) % 4);
        }
        push(5, 0, 0, 1);
        push(503, 1, 0, 1);
        push(5, 2, 1, 0);
        for n in 0..4 {
            push(5, 0, n, (n + 1) % 4);
        }
    }
    document::of_trunk(&doctor.report())
}

/// Half a second of silence is seen in times of ten milliseconds as well.
#[test]
fn lost_tokens_are_seen_in_short_steps() {
    for step_ms in [1, 10, 20] {
        let report = in_steps(step_ms, None);
        let lost = named(&report).iter().any(|(id, _)| id == "lost-token");
        assert!(lost, "{step_ms} ms: {:?}", named(&report));
        assert!(!report["not_judged"].to_string().contains("lost tokens"), "{step_ms} ms");
    }
    let report = in_steps(1000, None);
    assert!(report["not_judged"].to_string().contains("lost tokens"));
}

/// An adapter that is known to be quick does not make up for times in steps.
#[test]
fn times_in_steps_are_so_whatever_the_adapter_is() {
    let report = in_steps(10, Some(1.0));
    assert_eq!(report["timing_uncertainty_ms"], 10.0);
    let said = report["not_judged"].to_string();
    assert!(said.contains("in steps of 10 ms"), "{said}");
}

/// An adapter hands requests and answers over together, which are of different lengths.
#[test]
fn frames_of_different_lengths_that_stand_end_to_end_have_times_of_first_octets() {
    let mut script = Script::new();
    for id in 0..255 {
        script.request(3, 10, id);
        script.answer(if id % 8 == 0 { 0 } else { 30 }, 10, 3, id);
        script.now_ns -= 1_000_000;
    }
    let said = script.report()["not_judged"].to_string();
    assert!(!said.contains("last bytes"), "{said}");
}

#[test]
fn that_nobody_is_there_any_more_is_one_finding() {
    let mut script = Script::new();
    script.rounds(3000, &[0, 1, 2]);
    for _ in 0..20 {
        for to in 1..=60 {
            script.poll(26, 0, to);
        }
        script.octets(26, &mstp(5, 1, 0, &[1, 4, 0, 3, 1, 12, 12, 0, 0, 0, 1, 25, 85]));
        script.frame(260, 1, 0, 61);
    }
    let report = script.report();
    assert_eq!(named(&report), [("sole-master".to_owned(), vec![0])]);
    let effects = effects(&report, "sole-master");
    assert!(effects.iter().any(|id| id == "node-gone"), "{effects:?}");
    assert!(effects.iter().any(|id| id == "no-answer"), "{effects:?}");
}

/// A gap of eight addresses, one at each token, and then so many tokens of rest.
fn polled_gap(rest: usize) -> Value {
    let mut script = Script::new();
    for _ in 0..6000 / (8 + rest) {
        for to in 2..10 {
            script.token(3, 0, 1);
            script.poll(3, 1, to);
            script.token(25, 1, 0);
        }
        script.rounds(rest, &[0, 1]);
    }
    script.report()
}

#[test]
fn a_gap_that_is_polled_as_a_whole_too_soon_again_is_a_poll_storm() {
    assert_eq!(named(&polled_gap(9)), [("poll-storm".to_owned(), vec![1])]);
    // Stacks count 50 from the begin of a gap or from its end.
    assert_eq!(named(&polled_gap(42)), []);
    assert_eq!(named(&polled_gap(50)), []);
}

/// Frames into which another begins are damaged at their begin; reflections hit them anywhere.
#[test]
fn collisions_at_the_begin_of_long_frames_are_no_missing_terminator() {
    let damaged = |at: usize| {
        let mut script = Script::new();
        for n in 0..60 {
            script.rounds(40, &[0, 1, 2, 3]);
            let from = n % 4;
            for node in 0..from {
                script.token(3, node, node + 1);
            }
            let mut octets = mstp(6, 255, from, &[1, 0, 16, 9].repeat(10));
            octets[if at > 0 { at + usize::from(n) % 30 } else { 3 + usize::from(n) % 5 }] ^= 0x41;
            script.octets(3, &octets);
            for node in from..4 {
                script.token(3, node, (node + 1) % 4);
            }
        }
        named(&script.report())
    };
    let is_it =
        |found: &[(String, Vec<u64>)]| found.iter().any(|(id, _)| id == "missing-terminator");
    assert!(is_it(&damaged(10)));
    assert!(!is_it(&damaged(0)));
}

/// The report on a healthy trunk whose rate nobody tells.
fn of_unknown_rate(baud: u32, latency_ms: u64, is_end: bool) -> Value {
    let plan = Plan { baud, ..Plan::healthy() };
    let mut doctor = Doctor::new(Known::default());
    let listening = Listening { seconds: 70, latency_ms, ..FIVE_MINUTES };
    trunk::records(&plan, listening, &mut |record| {
        let taken_ns = record.octets.len() as u64 * 10_000_000_000 / u64::from(baud);
        let end_ns = record.time.as_ns() + if is_end { taken_ns } else { 0 };
        doctor.push(&Record { time: Timestamp::from_ns(end_ns), ..*record });
    });
    document::of_trunk(&doctor.report())
}

#[test]
fn a_rate_that_is_told_from_times_is_the_right_one() {
    let mut wrong = Vec::new();
    for baud in [9_600, 19_200, 38_400, 57_600, 76_800, 115_200] {
        for latency_ms in [0, 16] {
            for is_end in [false, true] {
                let report = of_unknown_rate(baud, latency_ms, is_end);
                let told = &report["baud"];
                let (ids, shown) = (named(&report), &report["timing_uncertainty_ms"]);
                let is_shown = latency_ms == 0 || *shown == 16.0;
                let is_right = told.is_null() || *told == baud;
                if !is_right || !is_shown || !ids.is_empty() || latency_ms == 16 && told.is_null() {
                    wrong
                        .push(format!("{baud}, {latency_ms} ms, {is_end}: {told} {shown} {ids:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A burst of traffic fills a line too, for a moment.
#[test]
fn a_burst_is_no_busy_trunk() {
    let is_busy = |tokens| {
        let mut script = Script::new();
        for n in 0..tokens {
            let [from, to] = if n % 2 == 0 { [1, 2] } else { [2, 1] };
            script.token(0, from, to);
        }
        findings(&script.report()).iter().any(|(id, ..)| id == "busy-trunk")
    };
    // Each takes two milliseconds.
    assert!(!is_busy(500));
    assert!(is_busy(5000));
}
