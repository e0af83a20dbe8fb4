//! A simulated radio channel: RIOT's sniffer application hears three nodes.

use super::{Burst, Stage, fill};
use std::fmt::Write;

const BANNER: &str = "main(): This is RIOT! (Version: 2026.01)\n\
                      RIOT sniffer application, simulated: no radio is listening\n> ";
const NODES: u32 = 3;
/// From a request to its answer, and from a frame to its acknowledgement.
const ANSWER_US: u64 = 4_000;
const ACK_US: u64 = 192;
/// In the first octet of a frame.
const ACK_REQUEST: u8 = 0x20;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What is in front of a packet, MAC header and compressed IPv6 header (RFC 6282), and the
/// packet's protocol. `%`: sequence number; `>` and `<`: addresses to and from.
type Carrier = (&'static str, u8);

const UNICAST: Carrier = ("61cc % 2300 > < | 7a33 3a", ICMPV6);
const DATAGRAM: Carrier = ("61cc % 2300 > < | 7e33 f0", UDP);
/// To all RPL nodes.
const MULTICAST: Carrier = ("41c8 % 2300 ffff < | 7b3b 3a 1a", ICMPV6);
/// Nothing of IPv6.
const BARE: Carrier = ("", 0);

/// A carrier, what one node sends with it and what another answers. `#`: a number for both;
/// `$`: the temperature; `^`: the sender's rank. Lengths and checksums are still 0.
type Exchange = (Carrier, &'static str, &'static str);

const ECHO: Exchange =
    (UNICAST, "8000 0000 | 5a01 # 'serialshark'", "8100 0000 | 5a01 # 'serialshark'");
/// CoAP: GET /temperature; 2.05 Content.
const COAP: Exchange = (
    DATAGRAM,
    "1633 1633 0000 0000 | 4201 # # bb 'temperature'",
    "1633 1633 0000 0000 | 6245 # # c0 ff $",
);
/// RPL: DODAG Information Object with rank, root and configuration.
const ADVERTISE: Exchange = (MULTICAST, DIO, "");
const DIO: &str = "9b01 0000 | 00 01 ^00 90 00 00 00, 20010db8 00000000 00534852 4b000001, \
                   04 0e 00 14 03 0a 0700 0100 0000 00 3c 003c";
/// RPL: DODAG Information Solicitation.
const SOLICIT: Exchange = (MULTICAST, "9b00 0000 | 0000", DIO);
/// Beacon Request; the beacon of a router that permits association.
const BEACON: Exchange = (BARE, "0308 % ffff ffff 07", "00c0 % 2300 < ff8f 00 00");

const EXCHANGES: [Exchange; 11] =
    [BEACON, SOLICIT, ECHO, COAP, ECHO, COAP, ADVERTISE, ECHO, COAP, ECHO, COAP];
/// There is a line of log after one of so many.
const LOG_EVERY: usize = 16;

/// Low octet first: a locally administered EUI-64.
fn mac_address(node: u8) -> [u8; 8] {
    [node, 0x00, 0x00, 0x4b, 0x52, 0x48, 0x53, 0x02]
}

/// The link-local address of the same node (RFC 4291, appendix A).
fn ip_address(node: u8) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0x53, 0x48, 0x52, 0x4b, 0x00, 0x00, node]
}

const ALL_RPL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a];

/// The air, as the sniffer hears it, and the line that it writes to.
#[derive(Debug, Default)]
pub(super) struct Radio {
    /// When the last frame on the air ended, in microseconds since boot.
    air_us: u64,
    /// When the line has said all.
    line_ns: u64,
    exchanges: usize,
    frames: u32,
    sequence: u8,
    celsius: f32,
}

impl Radio {
    pub(super) fn new() -> Self {
        Self { celsius: 21.0, ..Self::default() }
    }

    pub(super) fn exchange(&mut self, stage: &mut Stage) {
        if self.frames == 0 {
            self.print(stage, BANNER.into());
        }
        self.air_us = self.air_us.max(self.line_ns / 1000);
        stage.dice.drift(&mut self.celsius);
        self.air_us += u64::from(stage.dice.within(30_000..=250_000));
        let node = 1 + stage.dice.below(NODES) as u8;
        let other = 1 + ((u32::from(node) + stage.dice.below(NODES - 1)) % NODES) as u8;
        let (carrier, question, answer) = stage.dice.choose(&EXCHANGES, self.exchanges);
        self.send(stage, carrier, node, other, question);
        if !answer.is_empty() {
            self.air_us += ANSWER_US;
            self.send(stage, carrier, other, node, answer);
        }
        self.exchanges = self.exchanges.wrapping_add(1);
        if self.exchanges % LOG_EVERY == LOG_EVERY / 4 {
            self.print(stage, format!("sniffer: {} frames, none dropped\n", self.frames));
        }
    }

    /// A packet on the air, and its acknowledgement if it asks for one.
    fn send(&mut self, stage: &mut Stage, carrier: Carrier, from: u8, to: u8, packet: &str) {
        self.sequence = self.sequence.wrapping_add(1);
        let number = (self.exchanges as u16).to_be_bytes();
        let celsius = format!("{:.2}", self.celsius);
        let fields: [(char, &[u8]); 6] = [
            ('%', &[self.sequence]),
            ('>', &mac_address(to)),
            ('<', &mac_address(from)),
            ('#', &number),
            ('$', celsius.as_bytes()),
            ('^', &[if from == 1 { 1 } else { 2 }]),
        ];
        let mut packet = fill(packet, &fields);
        let destination = if carrier == MULTICAST { ALL_RPL_NODES } else { ip_address(to) };
        let (header, next_header) = carrier;
        if next_header == UDP {
            packet[5] = packet.len() as u8;
        }
        let sum = checksum(&ip_address(from), &destination, next_header, &packet);
        match next_header {
            UDP => {
                packet[6..8].copy_from_slice(&sum);
                packet.drain(4..6); // the length is compressed away
            }
            ICMPV6 => packet[2..4].copy_from_slice(&sum),
            _ => {}
        }
        let psdu = [fill(header, &fields), packet].concat();
        self.hear(stage, &psdu);
        if psdu[0] & ACK_REQUEST != 0 {
            self.air_us += ACK_US;
            self.hear(stage, &[0x02, 0x00, self.sequence]);
        }
    }

    /// A frame on the air. Its record waits until it has ended and the line is free.
    fn hear(&mut self, stage: &mut Stage, psdu: &[u8]) {
        let (len, time) = (psdu.len(), self.air_us);
        let lqi = stage.dice.within(0x98..=0xe8);
        let mut text = format!("rftest-rx --- len {len:08X} lqi {lqi:02X} rx_time {time:016X}\n");
        for octet in psdu {
            let _ = write!(text, "{octet:02X} "); // cannot fail
        }
        text.push_str("\n\n");
        // Preamble, delimiter and length are before the frame, the FCS behind it.
        self.air_us += (len as u64 + 6 + 2) * 32;
        self.frames = self.frames.wrapping_add(1);
        self.print(stage, text);
    }

    fn print(&mut self, stage: &mut Stage, text: String) {
        let pause_ns = (self.air_us * 1000).saturating_sub(self.line_ns);
        self.line_ns += pause_ns + stage.octets_ns(text.len());
        stage.queue.push_back(Burst { pause_ns, octets: text.into() });
    }
}

/// RFC 8200, section 8.1, of a packet whose checksum is still 0; never 0.
fn checksum(source: &[u8], destination: &[u8], next_header: u8, packet: &[u8]) -> [u8; 2] {
    let pseudo = [0, packet.len() as u8, 0, next_header];
    let pairs = [source, destination, &pseudo, packet].concat();
    let sum = pairs.chunks(2).fold(0, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        (sum + (u32::from(pair[0]) << 8) + u32::from(low)) % 0xffff
    });
    (!(sum as u16)).to_be_bytes()
}
