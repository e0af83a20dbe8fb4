//! serialshark: the serial port as a first-class Wireshark interface.
//!
//! ```text
//! source ──octets + time──▶ framer ──frames──▶ channel ──▶ encoder ──records──▶ stream
//! └───────────── port thread, one per port ───┘            └─ writer thread, one per stream ─┘
//! ```
//!
//! Three rules:
//!
//! 1. I/O happens only at the two ends: framers and encoders are pure functions of octets and time.
//! 2. There is one direction: no module imports one below it in the list.
//! 3. A stream is a header and whole records, always: each reader of each output first gets a fresh
//!    header, and after it only whole records.
//!
//! ```
//! use serialshark::framing::{self, Setup};
//! use serialshark::packet::Batch;
//! use serialshark::time::Timestamp;
//!
//! let mstp = framing::protocol("mstp").expect("is in the table");
//! let mut framer = (mstp.framer)(&Setup::new(38_400));
//! let mut frames = Batch::new(0);
//! framer.push(b"noise\x55\xff\x00\x10\x05\x00\x00\x8c", Timestamp::from_ns(0), &mut frames);
//! let token = frames.packets().next().expect("a frame");
//! let words = (mstp.dissector)(token.data, true);
//! assert_eq!((words.addresses(), words.info), ("5 > 16".into(), "Token".into()));
//! assert_eq!(token.skipped_before, 5);
//! ```
//!
//! The modules in the order of the flow:
//!
//! - [`printable`], [`error`], [`line_errors`]: types that all others use
//! - [`mod@line`]: rate and format of a serial line
//! - [`url`]: the address of a server, and who asks there
//! - [`sys`]: what each operating system has, under the same names
//! - [`time`]: timestamps, the clock they are taken from, and the wall clock's steps when it is set
//! - [`packet`]: packets of a port, and what there is to know about each
//! - [`logger`]: log lines, which never block a capture
//! - [`cobs`]: the encoding that a framing and a dissector share
//! - `exported_pdu`: the header that a framing and a dissector share
//! - `ft12`, `hex`: octets of frames that framings and dissectors share
//! - `outage`, `tls`: a server that cannot be reached
//! - [`setting`]: settings that only some protocols have
//! - [`dissect`]: a packet in words, for text output
//! - [`framing`]: octets to frames; one file and one table row for each framing
//! - [`detect`]: which protocol is on a line, by running the framings over it
//! - [`hardware`]: profiles of adapters and sniffers; one file for each
//! - [`analysis`]: packets to figures and findings, what is wrong with a line
//! - [`report`]: what the analysis found as text and as a page
//! - [`encode`]: packets to records of pcap, pcapng or text
//! - [`decode`]: records of pcap and pcapng to packets
//! - [`nats`]: the store of many lines, as far as both ends need it
//! - [`source`]: where octets come from
//! - [`recognition`]: listens to a port until it is clear what is spoken on it
//! - [`output`]: listeners and streams, where records go
//! - [`config`]: what a capture needs to know, as nouns
//! - `top`: the screen of `serialshark top`, and the terminal that it is on
//! - [`capture`]: threads, queues, counters, shutdown; the only module that spawns
//! - [`cli`]: arguments in, a validated configuration out
//! - [`extcap`]: Wireshark's calls in, the same configuration out
//! - [`command`]: runs each command of the command line

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod cobs;
pub mod command;
pub mod config;
pub mod decode;
pub mod detect;
pub mod dissect;
pub mod encode;
pub mod error;
mod exported_pdu;
pub mod extcap;
pub mod framing;
mod ft12;
pub mod hardware;
mod hex;
pub mod line;
pub mod line_errors;
pub mod logger;
pub mod nats;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod outage;
pub mod output;
pub mod packet;
pub mod printable;
pub mod recognition;
pub mod report;
pub mod setting;
pub mod source;
pub mod sys;
pub mod time;
#[cfg(all(target_os = "linux", any(feature = "mqtt", feature = "nats")))]
mod tls;
#[cfg(feature = "top")]
pub mod top;
pub mod url;
