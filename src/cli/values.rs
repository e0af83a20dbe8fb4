//! Values of options: text in, a number out, or what was expected.

use crate::output::permissions;
use crate::time::Timestamp;
use chrono::{DateTime, Local, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// A number of seconds, minutes, hours or days.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        Some(b'd') => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    let number = number.parse::<u64>().ok().filter(|_| !number.starts_with('+'));
    // A year at most: what is longer is a slip.
    let seconds = number.and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=366 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("expected such as 30s, 15m, 1h or 1d")
}

/// Where a part of the past begins: of an hour that clocks have twice, the first one.
#[cfg_attr(
    not(all(target_os = "linux", feature = "nats")),
    allow(dead_code, reason = "for --from")
)]
pub(super) fn beginning(text: &str) -> Result<Timestamp, &'static str> {
    moment(text, std::cmp::min)
}

/// Where it ends: of an hour that clocks have twice, the second one.
#[cfg_attr(not(all(target_os = "linux", feature = "nats")), allow(dead_code, reason = "for --to"))]
pub(super) fn end(text: &str) -> Result<Timestamp, &'static str> {
    moment(text, std::cmp::max)
}

/// A point in time: RFC 3339, or local date and time, or a time of today; `which` of two that are
/// called the same.
fn moment(
    text: &str,
    which: fn(DateTime<Local>, DateTime<Local>) -> DateTime<Local>,
) -> Result<Timestamp, &'static str> {
    const EXPECTED: &str =
        "expected such as 10:15, \"2026-11-28 10:15:00\" or 2026-11-28T10:15:00Z";
    let at_day = |time: NaiveTime| Local::now().date_naive().and_time(time);
    let time = |text: &str| {
        ["%H:%M:%S", "%H:%M"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
    };
    let local = || -> Option<NaiveDateTime> {
        let (day, rest) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
        match NaiveDate::parse_from_str(day, "%Y-%m-%d") {
            Ok(day) => Some(day.and_time(time(rest)?)),
            Err(_) => time(text).map(at_day),
        }
    };
    let ns = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.timestamp_nanos_opt(),
        Err(_) => match Local.from_local_datetime(&local().ok_or(EXPECTED)?) {
            LocalResult::Single(moment) => moment.timestamp_nanos_opt(),
            LocalResult::Ambiguous(one, other) => which(one, other).timestamp_nanos_opt(),
            LocalResult::None => return Err("there was no such time: clocks were put forward"),
        },
    };
    ns.and_then(|ns| u64::try_from(ns).ok()).map(Timestamp::from_ns).ok_or(EXPECTED)
}

/// Octets of a file with a password, at most.
#[cfg_attr(not(any(feature = "mqtt", feature = "nats")), allow(dead_code, reason = "for brokers"))]
const LONGEST_PASSWORD: u64 = 4096;

/// The password in a file, without the end of its line.
#[cfg_attr(not(any(feature = "mqtt", feature = "nats")), allow(dead_code, reason = "for brokers"))]
pub(super) fn password(option: &str, path: &Path) -> Result<String, clap::Error> {
    let wrong = |why| super::usage(format!("{option} {}: {why}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(LONGEST_PASSWORD + 1).read_to_string(&mut text))
        .map_err(|error| wrong(format!("cannot read: {}", crate::error::words(error))))?;
    if text.len() as u64 > LONGEST_PASSWORD {
        return Err(wrong("holds no password: it is too long".to_owned()));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A time on a channel: long enough to tune the sniffer, and not for ever.
pub(super) fn dwell(text: &str) -> Result<Duration, &'static str> {
    let (number, unit_ms) =
        match (text.strip_suffix("ms"), text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(number), ..) => (number, 1),
            (_, Some(number), _) => (number, 1000),
            (.., Some(number)) => (number, 60_000),
            _ => (text, 1000),
        };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    let ms = ms.filter(|ms| (100..=86_400_000).contains(ms));
    ms.map(Duration::from_millis).ok_or("expected 100ms to 1440m, such as 500ms, 5s or 1m")
}

/// tcpdump's unit, millions of octets, unless a letter names another one.
pub(super) fn file_size(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1_000_000),
    };
    let number = number.parse::<u64>().ok().filter(|_| !number.starts_with('+'));
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|octets| *octets > 0)
        .ok_or("expected millions of bytes, 1 or more, or such as 500k, 10M, 1G")
}

pub(super) fn group(text: &str) -> Result<u32, &'static str> {
    permissions::group(text).ok_or(permissions::NO_GROUP)
}

/// Octal, as chmod takes it.
pub(super) fn mode(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777);
    mode.ok_or("expected octal permissions, such as 0660")
}

/// Milliseconds that an adapter may keep octets to itself.
pub(super) fn latency(typed: &str) -> Result<f64, String> {
    let ms = typed.parse().ok().filter(|ms| (0.0..=1000.0).contains(ms));
    ms.ok_or_else(|| "a number of milliseconds, 0 to 1000".to_owned())
}
