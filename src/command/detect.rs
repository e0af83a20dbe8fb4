//! `serialshark detect PORT...`: what is spoken on a line, how sure that is, and what to type.

use crate::config::{Auto, Port};
use crate::detect::{self, Evidence};
use crate::error::Error;
use crate::framing::PROTOCOLS;
use crate::line::Settings;
use crate::recognition::{Listening, Outcome, Unknown};
use crate::source::{self, Pace};
use crate::sys::{Waker, shell};
use crate::time::MonoClock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;

/// Listens to each port in turn, says what is spoken there, and returns the exit code: 0 if all were
/// recognised, 1 if one was not or could not be opened.
pub(super) fn run(ports: &[Port], seconds: u64, json: bool) -> u8 {
    let mut exit_code = 0;
    let mut all = Vec::new();
    for port in ports {
        let outcome = listen(port, seconds);
        if !matches!(outcome, Ok(Outcome::Recognised(_))) {
            exit_code = 1;
        }
        match outcome {
            Ok(outcome) if json => all.push(as_json(port, &outcome)),
            Ok(outcome) => {
                // Fails when nobody wants to know any more.
                let _ = io::stdout().write_all(as_text(port, &outcome).as_bytes());
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "serialshark: {error:#}");
            }
        }
    }
    if json {
        let _ = writeln!(io::stdout(), "{:#}", json!(all));
    }
    exit_code
}

fn listen(port: &Port, seconds: u64) -> Result<Outcome, Error> {
    let stop = Waker::new().map_err(|error| Error::new("waker", "cannot make").because(error))?;
    let clock = MonoClock::start();
    let settings =
        Settings { line: port.setup.line, dtr: port.dtr, rts: port.rts, same_adapter: false };
    let opening = source::Opening { settings, paced: false, wait: false };
    let mut source = source::open(&port.address, opening, clock, Arc::new(stop))?;
    let lines = if is_serial(port) { detect::lines() } else { vec![port.setup.line] };
    let is_stored = source.pace() == Pace::Stored;
    let until = clock.now().plus_ns(seconds.saturating_mul(1_000_000_000));
    let mut listening = Listening::new(source.as_mut(), PROTOCOLS.to_vec(), lines);
    match listening.run(if is_stored { None } else { Some(until) }) {
        // It may not be back in time, or ever.
        Outcome::Gone(why, _) => match listening.end() {
            Outcome::Unknown(unknown) if unknown.heard.octets == 0 => {
                Err(Error::new(&port.name, format!("is gone: {why}")))
            }
            outcome => Ok(outcome),
        },
        outcome => Ok(outcome),
    }
}

/// Whether its rate is part of the answer.
fn is_serial(port: &Port) -> bool {
    matches!(port.auto, Auto::Protocol { line: true })
}

/// How a port is typed, with what was recognised.
fn command(port: &Port, evidence: &Evidence) -> String {
    let word = shell::word(&port.name);
    if is_serial(port) {
        format!("serialshark {word} {}", evidence.command())
    } else {
        format!("serialshark {word} -p {}", evidence.protocol.name)
    }
}

fn as_text(port: &Port, outcome: &Outcome) -> String {
    let mut said = String::new();
    let name = &port.name;
    match outcome {
        Outcome::Recognised(evidence) => {
            let Evidence { protocol, line, .. } = evidence;
            let at = if is_serial(port) { format!(" at {line}") } else { String::new() };
            let _ = writeln!(said, "{name}: {}, {}{at}", protocol.name, protocol.help);
            let _ = writeln!(said, "    evidence:  {}", proof(evidence));
            let _ = writeln!(said, "    to see it: {}", command(port, evidence));
        }
        Outcome::Unknown(unknown) => {
            let _ = writeln!(said, "{name}: not recognised: {}", unknown.advice());
            for evidence in unknown.evidence.iter().take(3) {
                let protocol = evidence.protocol.name;
                let _ = writeln!(said, "    {protocol}? not certain: {}", proof(evidence));
            }
            if is_serial(port) {
                let _ = writeln!(said, "    listened at {} line settings", unknown.settings);
            }
        }
        Outcome::Gone(..) | Outcome::Stopped => {}
    }
    said
}

fn proof(evidence: &Evidence) -> String {
    let Evidence { packets, bits, share, .. } = evidence;
    format!(
        "{packets} packets whose checks hold ({bits:.0} bits), {:.0} % of the bytes",
        100.0 * share
    )
}

fn as_json(port: &Port, outcome: &Outcome) -> Value {
    let evidence = |evidence: &Evidence| {
        json!({
            "protocol": evidence.protocol.name,
            "baud": is_serial(port).then_some(evidence.line.baud),
            "line": is_serial(port).then(|| evidence.line.format.to_string()),
            "packets": evidence.packets,
            "bits": evidence.bits.round(),
            "share": (evidence.share * 1000.0).round() / 1000.0,
        })
    };
    match outcome {
        Outcome::Recognised(found) => json!({
            "port": port.name,
            "recognised": evidence(found),
            "command": command(port, found),
        }),
        Outcome::Unknown(unknown) => {
            let Unknown { heard, evidence: all, settings } = unknown;
            json!({
                "port": port.name,
                "recognised": null,
                "candidates": all.iter().map(evidence).collect::<Vec<_>>(),
                "bytes": heard.octets,
                "printable": heard.printable,
                "settings": settings,
                "advice": unknown.advice(),
            })
        }
        Outcome::Gone(..) | Outcome::Stopped => json!({ "port": port.name, "recognised": null }),
    }
}
