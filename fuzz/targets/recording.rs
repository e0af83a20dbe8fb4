//! Any octets as a file that is named as the port: replayed it comes to an end and its frames
//! obey the contracts; recorded once more and replayed it gives the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use serialshark::framing::{PROTOCOLS, Protocol, SILENCE_NS, Setup, protocol};
use serialshark::line::{Line, ModemLine, Settings};
use serialshark::packet::Batch;
use serialshark::source::record::{Header, RecordKind, encode, header};
use serialshark::source::{self, Input, Opening, Source};
use serialshark::sys::Waker;
use serialshark::time::{MonoClock, Timestamp};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// What a source delivers, and how far the wall clock is ahead then.
#[derive(Debug, PartialEq)]
enum Event {
    Octets(Vec<u8>, Timestamp, i64),
    Silence(Timestamp, i64),
    Missing(u64, Timestamp, i64),
    Gone(String, Timestamp),
    Back(Timestamp),
}

fuzz_target!(|octets: &[u8]| {
    let (mut file, name) = memory_file();
    file.write_all(octets).expect("fits into memory");
    let Some(mut source) = open(&name) else { return };
    let known = header(OsStr::new(&name))
        .expect("has just been read")
        .filter(|h| protocol(&h.protocol).is_some());
    let header_again = known.unwrap_or_else(|| Header {
        protocol: PROTOCOLS[0].name.to_owned(),
        line: Line::at(38_400),
        channel: None,
        settings: Vec::new(),
        silence_ns: SILENCE_NS,
        port: name.clone(),
    });
    let first = events(source.as_mut());
    let row = protocol(&header_again.protocol).expect("is in the table");
    check_frames(row, header_again.line, &first);
    let (mut copy, copy_name) = memory_file();
    copy.write_all(&recorded(&header_again, &first)).expect("fits into memory");

    let again = header(OsStr::new(&copy_name)).expect("can be read").expect("is a recording");
    assert_eq!((&again.protocol, again.line), (&header_again.protocol, header_again.line));
    assert_eq!(again.channel, header_again.channel);
    let mut replay = open(&copy_name).expect("is a recording");
    assert_eq!(events(replay.as_mut()), first);
});

/// These events as a recording.
fn recorded(header: &Header, events: &[Event]) -> Vec<u8> {
    let mut out = header.encode();
    let mut lead = 0;
    for event in events {
        if let Event::Octets(.., now) | Event::Silence(_, now) | Event::Missing(.., now) = event
            && *now != lead
        {
            lead = *now;
            encode(&mut out, RecordKind::WallOffset, Timestamp::default(), &lead.to_le_bytes());
        }
        match event {
            Event::Octets(octets, time, _) => encode(&mut out, RecordKind::Octets, *time, octets),
            Event::Silence(time, _) => encode(&mut out, RecordKind::Silence, *time, b""),
            Event::Missing(octets, time, _) => {
                encode(&mut out, RecordKind::Missing, *time, &octets.to_le_bytes());
            }
            Event::Gone(why, time) => encode(&mut out, RecordKind::Gone, *time, why.as_bytes()),
            Event::Back(time) => encode(&mut out, RecordKind::Back, *time, b""),
        }
    }
    out
}

/// A file in memory, and a name to open it by while it is there.
fn memory_file() -> (File, String) {
    let file = File::from(memfd_create(c"fuzz", MemfdFlags::CLOEXEC).expect("a descriptor"));
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    (file, name)
}

fn open(name: &str) -> Option<Box<dyn Source>> {
    let settings = Settings {
        line: Line::at(38_400),
        dtr: ModemLine::Keep,
        rts: ModemLine::Keep,
        same_adapter: false,
    };
    let opening = Opening { settings, paced: false, wait: false };
    let stop = Arc::new(Waker::new().expect("a descriptor"));
    source::open(OsStr::new(name), opening, MonoClock::start(), stop).ok()
}

fn events(source: &mut dyn Source) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        events.push(match source.read(None) {
            Input::Octets(octets, arrival) => Event::Octets(octets.to_vec(), arrival, 0),
            Input::Silence(now) => Event::Silence(now, 0),
            Input::Missing(octets, when) => Event::Missing(octets, when, 0),
            Input::Gone(why, when) => Event::Gone(why, when),
            Input::Ended => return events,
            Input::Errors(..) => continue,
            Input::Packets(_) => panic!("a recording has octets"),
            Input::Stopped => panic!("nobody rang"),
        });
        let wall = source.wall().map_or(0, |wall| wall.offset_ns);
        match events.last_mut() {
            Some(Event::Octets(.., lead) | Event::Silence(_, lead) | Event::Missing(.., lead)) => {
                *lead = wall
            }
            Some(Event::Gone(..)) => {
                events.push(Event::Back(source.reopen().expect("nobody rang")))
            }
            _ => {}
        }
    }
}

/// Frames them as a reader thread does; the times may be any.
fn check_frames(row: &Protocol, line: Line, events: &[Event]) {
    let mut framer = (row.framer)(&Setup { line, ..Setup::new(line.baud) });
    let mut batch = Batch::new(0);
    let mut pushed = 0;
    for event in events {
        match event {
            Event::Octets(octets, arrival, _) => {
                framer.push(octets, *arrival, &mut batch);
                pushed += octets.len() as u64;
            }
            Event::Silence(now, _) => framer.expire(*now, &mut batch),
            Event::Gone(..) | Event::Missing(..) => framer.finish(&mut batch),
            Event::Back(_) => {}
        }
    }
    framer.finish(&mut batch);
    let tally = framer.tally();
    let judged = tally.good_octets + tally.damaged_octets + tally.padding_octets;
    assert_eq!((tally.octets, judged + tally.skipped_octets), (pushed, pushed));
    assert!(batch.packets().map(|packet| packet.time).is_sorted());
}
