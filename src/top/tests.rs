//! What is on the screen, and what keys do to it.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::analysis::Record;
use crate::analysis::doctor::Known;
use crate::analysis::timing::BaudFrom;
use crate::framing::PROTOCOLS;
use crate::framing::mstp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// A frame without data.
fn frame(kind: u8, to: u8, from: u8) -> Vec<u8> {
    let header = [kind, to, from, 0, 0];
    let mut frame = vec![0x55, 0xff];
    frame.extend(header);
    frame.push(mstp::HEADER_CRC.checksum(&header));
    frame
}

/// A trunk of three nodes, two of which answer; a token to node 9 is always sent twice.
fn trunk() -> Live {
    let known = Known { baud: Some((38_400, BaudFrom::User)), latency_ms: Some(1.0) };
    let mut live = Live::new(PROTOCOLS[0], known);
    let mut time = Timestamp::from_ns(1_700_000_000_000_000_000);
    let mut number = 0;
    let mut say = |live: &mut Live, octets: &[u8], after_ms: u64| {
        number += 1;
        let original_len = octets.len() as u32;
        live.push(&Record { number, time, octets, original_len, ..Record::default() }, false);
        time = time.plus_ns(after_ms * 1_000_000);
    };
    for _ in 0..2000 {
        say(&mut live, &frame(0, 4, 1), 5);
        say(&mut live, &frame(0, 9, 4), 25);
        say(&mut live, &frame(0, 9, 4), 5);
        say(&mut live, &frame(0, 1, 9), 5);
    }
    live
}

/// The screen as text, a row each.
fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let around = Around {
        port: "/dev/ttyUSB0, mstp 38400 8N1".into(),
        state: "live".into(),
        log: vec!["a log line".into()],
    };
    terminal.draw(|frame| screen.draw(frame, &around)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn screen() -> (Screen, Live) {
    let mut live = trunk();
    let mut screen = Screen::new(Shown::of(&mut live));
    screen.update(&mut live);
    (screen, live)
}

#[test]
fn grade_ring_nodes_findings_and_keys_fit_24_rows() {
    let (screen, _) = screen();
    let rows = drawn(&screen, 80, 24);
    let all = rows.join("\n");
    assert!(rows[0].starts_with("serialshark top: /dev/ttyUSB0, mstp 38400 8N1"), "{all}");
    assert!(rows[0].ends_with(" live"), "{all}");
    assert!(rows[1].starts_with("POOR: ") || rows[1].starts_with("FAIR: "), "{all}");
    assert!(rows[5].starts_with("Ring: "), "{all}");
    assert!(rows[5].contains("[1]") && rows[5].contains(" 4") && rows[5].contains(" 9"), "{all}");
    assert!(rows[6].starts_with("MAC Device  Tokens"), "{all}");
    // The one with the trouble is first.
    assert!(rows[7].starts_with("9 "), "{all}");
    assert!(all.contains("Findings: ") && all.contains("NEW "), "{all}");
    assert_eq!(rows[22], "a log line");
    assert!(rows[23].starts_with("q leave"), "{all}");
}

#[test]
fn keys_lead_to_the_page_of_a_node_and_back() {
    let (mut screen, mut live) = screen();
    assert_eq!(screen.press(Key::Char('s')), Wish::Draw);
    assert!(drawn(&screen, 80, 24)[7].starts_with("1 "), "by address now");
    screen.press(Key::Down);
    screen.press(Key::Down);
    screen.press(Key::Enter);
    screen.update(&mut live);
    let page = drawn(&screen, 80, 24);
    assert_eq!(page[1], "Node 9", "{page:?}");
    assert!(page.iter().any(|row| row.starts_with("tokens repeated to it      2000")), "{page:?}");
    screen.press(Key::Back);
    assert!(drawn(&screen, 80, 24)[5].starts_with("Ring: "));
}

#[test]
fn a_chosen_node_stays_chosen_where_rows_move() {
    let (mut screen, _) = screen();
    screen.press(Key::Char('s'));
    screen.press(Key::End);
    assert_eq!(screen.node.as_deref(), Some("9"));
    screen.press(Key::Char('r'));
    assert_eq!(screen.chosen(), 0);
    assert!(drawn(&screen, 80, 24)[7].starts_with("9 "));
}

#[test]
fn the_page_of_a_finding_says_what_to_do() {
    let (mut screen, _) = screen();
    screen.press(Key::Tab);
    screen.press(Key::Enter);
    let page = drawn(&screen, 80, 24).join("\n");
    assert!(page.contains("  do  ") && page.contains("  filter  "), "{page}");
}

#[test]
fn q_leaves_and_c_begins_anew() {
    let (mut screen, _) = screen();
    assert_eq!(screen.press(Key::Leave), Wish::Leave);
    assert_eq!(screen.press(Key::Char('c')), Wish::Anew);
}

#[test]
fn no_size_is_too_small_and_nothing_heard_is_no_harm() {
    let (mut full, _) = screen();
    let known = Known::default();
    let mut empty = Screen::new(Shown::of(&mut Live::new(PROTOCOLS[0], known)));
    for screen in [&mut full, &mut empty] {
        for key in "s\tlrh".chars().map(Key::Char).chain([Key::Back, Key::Tab, Key::Enter]) {
            screen.press(key);
            for (width, height) in [(1, 1), (1, 24), (80, 1), (7, 3), (20, 9), (300, 100)] {
                drawn(screen, width, height);
            }
        }
        for key in [Key::Down, Key::Up, Key::PageDown, Key::PageUp, Key::Home, Key::End] {
            screen.press(key);
        }
    }
}

#[test]
fn of_another_protocol_there_are_its_addresses() {
    let modbus = PROTOCOLS.into_iter().find(|protocol| protocol.name == "modbus").unwrap();
    let mut live = Live::new(modbus, Known::default());
    let mut screen = Screen::new(Shown::of(&mut live));
    screen.update(&mut live);
    let rows = drawn(&screen, 80, 24).join("\n");
    assert!(rows.contains("UNKNOWN: only MS/TP trunks are graded, this is modbus"), "{rows}");
    assert!(rows.contains("Address"), "{rows}");
}
