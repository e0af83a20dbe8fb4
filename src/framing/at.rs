//! AT commands of modems and modules (ITU-T V.250), and what comes back: lines of text.
//!
//! ```text
//! AT... CR            a command
//! CR LF text CR LF    an answer, or a message that nobody asked for
//! ```
//!
//! Nothing protects a line. So the first one must be a command, or one of the results that V.250 has;
//! from there on each line is taken, until an octet comes that is no text. Ends of lines count as
//! padding, but for the CR that ends a packet.

use super::hunt::{Format, Found, Hunter, Judgement, Starts};
use super::lines::is_text;
use super::upper::Upper;
use super::{Part, Protocol, Setup};
use crate::dissect;
use crate::exported_pdu;
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "at",
    help: "AT commands of modems and modules",
    line: Line::at(115_200),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: false,
    when_silent: "check that the tap is on the line of the one that speaks",
    when_senseless: "check the rate: often -b 9600",
    dissector: dissect::at::words,
    proof,
    part,
    ..Protocol::PLAIN
};

/// A command has its two letters, what commands are made of, and its end. Results are in boot logs too:
/// they are not against it.
fn proof(packet: &[u8]) -> u8 {
    let line = line_of(packet);
    if is_command(line) {
        if is_body(&line[2..]) { 20 } else { 0 }
    } else if is_information(line) {
        16
    } else if is_final(line) {
        6
    } else {
        0
    }
}

/// A command asks, and one of the final results ends what is said to that.
fn part(packet: &[u8]) -> Part {
    let line = line_of(packet);
    if is_command(line) && is_body(&line[2..]) {
        Part::Question
    } else if is_final(line) {
        Part::Result
    } else {
        Part::Line
    }
}

/// The line without its end.
fn line_of(packet: &[u8]) -> &[u8] {
    exported_pdu::split(packet).map_or(packet, |(_, line)| line).trim_ascii_end()
}

/// Whether commands may be written so behind AT (V.250, clause 5.3): an extended one, a number to dial,
/// or letters with their numbers. Words that begin with these two letters may not.
fn is_body(body: &[u8]) -> bool {
    match *body {
        [b'+' | b'#' | b'%' | b'^' | b'$' | b'*' | b'!' | b'@' | b'\\', first, ..] => {
            first.is_ascii_alphanumeric()
        }
        [b'D' | b'd', ref number @ ..] => {
            number.iter().all(|octet| b"0123456789*#+,;!@>-TPWABCDtpw".contains(octet))
        }
        _ => {
            let is_basic = |octet: &u8| octet.is_ascii_alphanumeric() || b"&=?,;".contains(octet);
            let mut after_and = false;
            let is_word = body.windows(2).any(|pair| {
                let is_one = !after_and && pair.iter().all(u8::is_ascii_alphabetic);
                after_and = pair[0] == b'&';
                is_one
            });
            body.iter().all(is_basic) && !is_word
        }
    }
}

/// What an extended command is answered (clause 5.4.3): its name in capitals, a colon, values. Many
/// modules leave out the space, and those of LoRa have an equals sign.
fn is_information(line: &[u8]) -> bool {
    let [mark @ (b'+' | b'^' | b'#' | b'%'), rest @ ..] = line else { return false };
    let name = rest.iter().take_while(|octet| octet.is_ascii_uppercase()).count();
    let behind = &rest[name..];
    name >= 2
        && if *mark == b'+' {
            matches!(behind, [b':' | b'=', ..])
        } else {
            behind.starts_with(b": ")
        }
}

/// Characters of the longest line.
const MOST: usize = 1024;
/// Final results of V.250, clause 5.7.1, and of modules.
const RESULTS: [&[u8]; 9] = [
    b"OK",
    b"ERROR",
    b"RING",
    b"BUSY",
    b"NO CARRIER",
    b"NO ANSWER",
    b"NO DIALTONE",
    b"CONNECT",
    b"+OK",
];

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<At> {
    Hunter::new(At { upper: Upper::new("at", "AT"), in_talk: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct At {
    upper: Upper,
    /// Whether all since a command or result was text.
    in_talk: bool,
}

impl Format for At {
    fn find(&self, octets: &[u8]) -> usize {
        static STARTS: Starts = Starts::of(b"AaOERBNC+");
        STARTS.find(octets)
    }

    fn is_due(&self) -> bool {
        self.in_talk
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let text = octets.iter().take(MOST + 1).take_while(|octet| is_text(**octet)).count();
        let line = &octets[..text];
        if !self.in_talk && !is_command(line) && !is_result(line) {
            let is_open = text == octets.len() && may_become_result(line);
            return if is_open { Judgement::More(None) } else { Judgement::Nothing };
        }
        match octets.get(text) {
            Some(b'\r' | b'\n') if text == 0 => Judgement::Pad(1),
            Some(b'\r' | b'\n') => Judgement::Good(text + 1),
            None if text <= MOST => Judgement::More(None),
            _ => Judgement::Nothing,
        }
    }

    fn record(&self, line: &[u8], notes: Notes, out: &mut Batch) {
        let direction = if is_command(line) { Direction::Outbound } else { Direction::Inbound };
        self.upper.record(direction, [line, &[]], notes, out);
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        match found {
            Found::Good => self.in_talk = true,
            Found::Nothing | Found::Damaged => self.in_talk = false,
            Found::Mark => {}
        }
    }

    fn reset(&mut self) {
        self.in_talk = false;
    }
}

fn is_command(line: &[u8]) -> bool {
    line.starts_with(b"AT") || line.starts_with(b"at")
}

fn is_result(line: &[u8]) -> bool {
    RESULTS.contains(&line)
}

/// Whether it ends an answer. Errors that have a name count in a talk only: by themselves they start none.
fn is_final(line: &[u8]) -> bool {
    is_result(line) || [&b"+CME ERROR"[..], b"+CMS ERROR"].iter().any(|it| line.starts_with(it))
}

/// Whether more text may make a command or a result of it.
fn may_become_result(line: &[u8]) -> bool {
    b"AT".starts_with(line)
        || b"at".starts_with(line)
        || RESULTS.iter().any(|result| result.starts_with(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_speak_for_it_and_words_do_not() {
        for command in [
            "AT",
            "at",
            "ATZ",
            "ATE0V1Q0",
            "AT&F",
            "AT&FE0",
            "ATS7=60",
            "ATI4",
            "ATD*99#",
            "ATDT0123,4;",
            "AT+CSQ",
            "AT+CGDCONT=1,\"IP\",\"a b\"",
            "AT^SYSINFO",
            "AT#SCFG?",
            "atdt5551234",
            "AT\\Q3",
        ] {
            assert_eq!(proof(format!("{command}\r").as_bytes()), 20, "{command}");
        }
        for word in
            ["AT Translated Set 2 keyboard", "attached", "at 0x3f8", "ATA disk", "atomic", "AT+"]
        {
            assert_eq!(proof(word.as_bytes()), 0, "{word}");
        }
        assert_eq!((proof(b"+CSQ: 20,99\r"), proof(b"+CIFSR:STAIP,\"10.0.0.7\"\r")), (16, 16));
        assert_eq!((proof(b"OK\r"), proof(b"+x\r"), proof(b"Quectel\r")), (6, 0, 0));
        assert_eq!((proof(b"+RCV=1,2,HI,-40,12\r"), proof(b"+OK\r")), (16, 6));
    }
}
