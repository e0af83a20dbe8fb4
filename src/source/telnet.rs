//! The telnet protocol (RFC 854, 855) as far as a listener needs it, and in it the control of a
//! far serial port (RFC 2217). Pure: octets of the connection in, octets of the line out, and what is to be
//! answered.
//!
//! An octet FF of the line is doubled by the far end, and is undone here, at any chunking. A
//! negotiation is answered once for each option and each change, and at most [`MOST_ANSWERS`]
//! times, so that nobody can keep us answering. Nothing but negotiation is ever sent.

use crate::line::{Line, Parity, StopBits};

/// What a far serial port is to be set to: without flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComPort {
    /// Its rate and format.
    pub line: Line,
    /// What is done with DTR, if anything.
    pub dtr: Option<bool>,
    /// The same of RTS.
    pub rts: Option<bool>,
}

/// What the far end says of its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is set to this rate.
    Baud(u32),
    /// It does not let its port be set.
    Refused,
}

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

/// Octets of the longest subnegotiation: of RFC 2217 that is a text on what is at the far end. What
/// is longer is none, but what a far end sends that knows no telnet.
const LONGEST: usize = 1024;
/// Answers in one connection.
const MOST_ANSWERS: u32 = 256;

/// Where the next octet belongs.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Data,
    /// After CR, outside binary mode: a NUL is none.
    Cr,
    Iac,
    /// After WILL, WONT, DO or DONT.
    Option(u8),
    Sub,
    SubIac,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Telnet {
    state: State,
    com_port: Option<ComPort>,
    is_set: bool,
    sub: Vec<u8>,
    /// What is agreed for each option: of the far end, and of ours.
    theirs: Agreed,
    ours: Agreed,
    answers: u32,
    is_answered: bool,
    replies: Vec<u8>,
    said: Vec<Answer>,
}

/// Options that are agreed to be on, and those that were answered.
#[derive(Clone, Copy, Debug)]
struct Agreed([Option<bool>; 256]);

impl Default for Agreed {
    fn default() -> Self {
        Self([None; 256])
    }
}

impl Telnet {
    /// A connection just made; with `com_port` its port is set as soon as the far end agrees.
    pub fn new(com_port: Option<ComPort>) -> Self {
        let mut telnet = Self { com_port, ..Self::default() };
        telnet.offer(DO, BINARY);
        telnet.offer(WILL, BINARY);
        telnet.offer(DO, SUPPRESS_GO_AHEAD);
        if com_port.is_some() {
            telnet.offer(WILL, COM_PORT);
        }
        telnet
    }

    /// Takes octets of the connection, and adds those of the line to `line`.
    pub fn receive(&mut self, octets: &[u8], line: &mut Vec<u8>) {
        for &octet in octets {
            self.state = match (self.state, octet) {
                (State::Data | State::Cr, IAC) => State::Iac,
                (State::Cr, 0) => State::Data,
                (State::Data | State::Cr, octet) => {
                    line.push(octet);
                    let is_binary = self.theirs.0[usize::from(BINARY)] == Some(true);
                    if octet == b'\r' && !is_binary { State::Cr } else { State::Data }
                }
                (State::Iac, IAC) => {
                    line.push(IAC);
                    State::Data
                }
                (State::Iac, verb @ (WILL | WONT | DO | DONT)) => State::Option(verb),
                (State::Iac, SB) => {
                    self.sub.clear();
                    State::Sub
                }
                // No operation, go ahead, and such.
                (State::Iac, _) => State::Data,
                (State::Option(verb), option) => {
                    self.negotiate(verb, option);
                    State::Data
                }
                (State::Sub, IAC) => State::SubIac,
                (State::SubIac, SE) => {
                    self.subnegotiation();
                    State::Data
                }
                (State::Sub | State::SubIac, octet) if self.sub.len() < LONGEST => {
                    self.sub.push(octet);
                    State::Sub
                }
                (State::Sub | State::SubIac, octet) => {
                    line.append(&mut self.sub);
                    line.push(octet);
                    State::Data
                }
            };
        }
    }

    /// Whether the far end has answered any of our offers: one that knows telnet does.
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// What is to be sent now.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies)
    }

    /// What the far end has said of its port since this was last asked.
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.said)
    }

    /// Octets for the line as they go through the connection.
    pub fn escaped(octets: &[u8]) -> Vec<u8> {
        octets.iter().flat_map(|&o| std::iter::repeat_n(o, 1 + usize::from(o == IAC))).collect()
    }

    fn offer(&mut self, verb: u8, option: u8) {
        let agreed = if verb == DO { &mut self.theirs } else { &mut self.ours };
        agreed.0[usize::from(option)] = Some(true);
        self.replies.extend([IAC, verb, option]);
    }

    fn negotiate(&mut self, verb: u8, option: u8) {
        self.is_answered |= [BINARY, SUPPRESS_GO_AHEAD, COM_PORT].contains(&option);
        let wanted = matches!(option, BINARY | SUPPRESS_GO_AHEAD)
            || option == COM_PORT && self.com_port.is_some();
        let (is_theirs, on) = match verb {
            WILL => (true, true),
            WONT => (true, false),
            DO => (false, true),
            _ => (false, false),
        };
        if option == COM_PORT && self.com_port.is_some() && !is_theirs {
            if on { self.set_port() } else { self.said.push(Answer::Refused) }
        }
        let agreed = if is_theirs { &mut self.theirs } else { &mut self.ours };
        let agreed = &mut agreed.0[usize::from(option)];
        let answer = on && wanted;
        // Only a change is answered, or two could go on for ever.
        if *agreed == Some(answer) || agreed.is_none() && !on {
            *agreed = Some(answer);
            return;
        }
        *agreed = Some(answer);
        self.answers += 1;
        if self.answers <= MOST_ANSWERS {
            let verb = match (is_theirs, answer) {
                (true, true) => DO,
                (true, false) => DONT,
                (false, true) => WILL,
                (false, false) => WONT,
            };
            self.replies.extend([IAC, verb, option]);
        }
    }

    /// Sets the far port, once a connection.
    fn set_port(&mut self) {
        let Some(port) = self.com_port.filter(|_| !std::mem::replace(&mut self.is_set, true))
        else {
            return;
        };
        let state = |on: Option<bool>, yes, no| on.map(|on| if on { yes } else { no });
        let baud = port.line.baud.to_be_bytes();
        self.command(1, &baud);
        let format = port.line.format;
        self.command(2, &[format.data_bits()]);
        self.command(
            3,
            &[match format.parity {
                Parity::None => 1,
                Parity::Odd => 2,
                Parity::Even => 3,
            }],
        );
        self.command(
            4,
            &[match format.stop_bits {
                StopBits::One => 1,
                StopBits::Two => 2,
            }],
        );
        self.command(5, &[1]); // no flow control
        for control in [state(port.dtr, 8, 9), state(port.rts, 11, 12)].into_iter().flatten() {
            self.command(5, &[control]);
        }
        self.command(10, &[0]); // tell nothing of the line
        self.command(11, &[0]); // nor of the modem
    }

    fn command(&mut self, command: u8, value: &[u8]) {
        self.replies.extend([IAC, SB, COM_PORT, command]);
        self.replies.extend(Self::escaped(value));
        self.replies.extend([IAC, SE]);
    }

    fn subnegotiation(&mut self) {
        const BAUD_IS: u8 = 101;
        if let [COM_PORT, BAUD_IS, a, b, c, d] = self.sub[..] {
            self.said.push(Answer::Baud(u32::from_be_bytes([a, b, c, d])));
        }
    }
}

/// Whether a connection that begins with these octets begins with a telnet negotiation; `None` as long
/// as that is open. It does with two options, or with that of RFC 2217, and nothing before them but a
/// greeting. Octets of a line that begin like this by accident are one in millions.
pub fn is_negotiation(octets: &[u8]) -> Option<bool> {
    /// The longest greeting.
    const LONGEST: usize = 256;
    let is_text = |octet: &&u8| octet.is_ascii_graphic() || octet.is_ascii_whitespace();
    let greeting = octets.iter().take_while(is_text).count();
    let rest = &octets[greeting..];
    let is_verb = |verb: &u8| (WILL..=DONT).contains(verb);
    let fits = |at: usize| {
        rest.get(at).is_none_or(|octet| *octet == IAC)
            && rest.get(at + 1).is_none_or(is_verb)
            && rest.get(at + 2).is_none_or(|option| *option < 50)
    };
    match rest {
        _ if greeting > LONGEST || !fits(0) => Some(false),
        [IAC, WILL | DO, COM_PORT, ..] => Some(true),
        _ if !fits(3) => Some(false),
        _ => (rest.len() >= 6).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const PORT: ComPort = ComPort { line: Line::at(76_800), dtr: Some(false), rts: None };

    fn line(telnet: &mut Telnet, octets: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        telnet.receive(octets, &mut line);
        line
    }

    #[test]
    fn a_negotiation_is_answered_and_the_port_is_set() {
        let mut telnet = Telnet::new(Some(PORT));
        let offers = [IAC, DO, 0, IAC, WILL, 0, IAC, DO, 3, IAC, WILL, 44];
        assert_eq!(telnet.take_replies(), offers);
        // As ser2net begins: WILL SGA, WILL ECHO, DO BINARY; and the answer to our offer.
        assert_eq!(line(&mut telnet, &[IAC, WILL, 3, IAC, WILL, 1, IAC, DO, 0]), [0; 0]);
        assert_eq!(telnet.take_replies(), [IAC, DONT, 1]);
        assert_eq!(line(&mut telnet, &[IAC, DO, 44]), [0; 0]);
        let replies = telnet.take_replies();
        assert!(replies.starts_with(&[IAC, SB, 44, 1, 0, 1, 0x2c, 0, IAC, SE]));
        for (command, value) in [(2, 8), (3, 1), (4, 1)] {
            let set = [IAC, SB, 44, command, value, IAC, SE];
            assert!(replies.windows(7).any(|sub| sub == set), "8N1: {command}");
        }
        assert!(replies.windows(6).any(|sub| sub == [IAC, SB, 44, 5, 9, IAC]), "DTR off");
        assert!(!replies.windows(6).any(|sub| sub == [IAC, SB, 44, 5, 12, IAC]), "RTS kept");
        line(&mut telnet, &[IAC, SB, 44, 101, 0, 1, 0x2c, 0, IAC, SE]);
        assert_eq!(telnet.take_answers(), [Answer::Baud(76_800)]);
        line(&mut telnet, &[IAC, DO, 44, IAC, DO, 44]);
        assert_eq!(telnet.take_replies(), [0; 0], "set once");
    }

    #[test]
    fn the_far_port_gets_the_format_of_the_line() {
        for (format, codes) in [("8N1", [8, 1, 1]), ("7E2", [7, 3, 2]), ("5O1", [5, 2, 1])] {
            let set = Line { format: format.parse().unwrap(), ..PORT.line };
            let mut telnet = Telnet::new(Some(ComPort { line: set, ..PORT }));
            line(&mut telnet, &[IAC, DO, 44]);
            let replies = telnet.take_replies();
            for (command, value) in (2..).zip(codes) {
                let set = [IAC, SB, 44, command, value, IAC, SE];
                assert!(replies.windows(7).any(|sub| sub == set), "{format}: {command}");
            }
        }
    }

    #[test]
    fn a_far_end_that_refuses_is_told_of() {
        let mut telnet = Telnet::new(Some(PORT));
        line(&mut telnet, &[IAC, DONT, 44]);
        assert_eq!(telnet.take_answers(), [Answer::Refused]);
    }

    #[test]
    fn doubled_octets_are_single_ones_and_a_value_may_hold_them() {
        let mut telnet = Telnet::new(None);
        assert_eq!(line(&mut telnet, &[0x55, IAC, IAC, 0, IAC, IAC]), [0x55, 0xff, 0, 0xff]);
        let mut telnet = Telnet::new(Some(PORT));
        line(&mut telnet, &[IAC, SB, 44, 101, 0, 0, IAC, IAC, 1, IAC, SE]);
        assert_eq!(telnet.take_answers(), [Answer::Baud(0xff01)]);
        assert_eq!(Telnet::escaped(&[1, 255, 2]), [1, 255, 255, 2]);
    }

    #[test]
    fn outside_binary_mode_a_cr_may_have_a_nul_behind_it() {
        let mut telnet = Telnet::new(None);
        line(&mut telnet, &[IAC, WONT, 0]);
        assert_eq!(line(&mut telnet, b"a\r\0b\r\nc\0"), b"a\rb\r\nc\0");
        let mut binary = Telnet::new(None);
        assert_eq!(line(&mut binary, b"a\r\0b"), b"a\r\0b");
    }

    #[test]
    fn a_negotiation_is_told_from_a_line() {
        let begin = [IAC, WILL, 3, IAC, WILL, 1, IAC, DO, 0];
        for greeting in [&b""[..], b"\r\nser2net port 3\r\n"] {
            let octets = [greeting, &begin].concat();
            for len in 0..octets.len() {
                let known = (len >= greeting.len() + 6).then_some(true);
                assert_eq!(is_negotiation(&octets[..len]), known, "the first {len}");
            }
        }
        assert_eq!(is_negotiation(&[IAC, DO, COM_PORT]), Some(true));
        let frame = [0x55, 0xff, 0, 0x10, 5, 0, 0, 0x8c, 0xff, 0x55, 0xff];
        assert_eq!(is_negotiation(&frame), Some(false));
        assert_eq!(is_negotiation(&[0xff, 0xfb, 3, 0x55, 0xff]), Some(false));
        assert_eq!(is_negotiation(&[b'$'; 300]), Some(false), "a line of text");
    }

    #[test]
    fn octets_that_are_no_telnet_are_not_swallowed() {
        let mut telnet = Telnet::new(Some(PORT));
        let before = [&[0x55, IAC, SB], &[1; 3000][..]].concat();
        // What looks like the begin of a subnegotiation is two octets.
        assert_eq!(line(&mut telnet, &before).len(), before.len() - 2);
        assert!(!telnet.is_answered());
        line(&mut telnet, &[IAC, WONT, BINARY]);
        assert!(telnet.is_answered());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_line(octets in vec(any::<u8>(), 0..200), at in 0..200usize) {
            let at = at.min(octets.len());
            let (mut one, mut two) = (Telnet::new(Some(PORT)), Telnet::new(Some(PORT)));
            let whole = line(&mut one, &octets);
            let mut parts = line(&mut two, &octets[..at]);
            parts.extend(line(&mut two, &octets[at..]));
            prop_assert_eq!(whole, parts);
            prop_assert_eq!(one.take_replies(), two.take_replies());
        }

        #[test]
        fn what_is_escaped_comes_back(octets in vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(line(&mut Telnet::new(None), &Telnet::escaped(&octets)), octets);
        }

        #[test]
        fn nobody_keeps_us_answering(verbs in vec((WILL..=DONT, any::<u8>()), 0..5000)) {
            let mut telnet = Telnet::new(Some(PORT));
            for (verb, option) in verbs {
                line(&mut telnet, &[IAC, verb, option]);
            }
            prop_assert!(telnet.take_replies().len() < 3 * MOST_ANSWERS as usize + 200);
        }
    }
}
