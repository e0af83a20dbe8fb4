//! serialshark: the serial port as a first-class Wireshark interface.
//!
//! ```text
//! source ──octets + time──▶ framer ──frames──▶ channel ──▶ encoder ──records──▶ stream
//! └──────────── reader thread, one per port ──┘            └─ writer thread, one per stream ─┘
//! ```
//!
//! Three rules carry it. I/O happens only at the two ends: framers and encoders are pure
//! functions of octets and time. There is one direction: no module imports one below it in
//! the list. And a stream is a header and whole records, always: each reader of each output
//! gets a fresh header first and only whole records after it.
//!
//! ```
//! use serialshark::framing::{self, Setup};
//! use serialshark::packet::{Batch, Timestamp};
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
//! - [`error`], [`printable`], [`bell`], [`packet`]: the vocabulary
//! - [`copier`], [`logger`]: log lines, which nobody waits for
//! - [`wall`]: the wall clock, and when somebody sets it
//! - [`systemd`]: what it is told of a service that it has started
//! - [`cobs`]: an encoding that a framing and a dissector share
//! - [`dissect`]: words for a packet, for people who read text
//! - [`framing`]: octets to frames; one file and one table row for each framing
//! - [`hardware`]: what is known of adapters and sniffers; one file for each
//! - [`encode`]: packets to records of pcap, pcapng or text
//! - [`source`]: where octets come from
//! - [`output`]: listeners and streams, where records go
//! - [`capture`]: threads, queues, counters, shutdown; the only module that spawns
//! - [`cli`]: arguments in, a validated configuration out
//! - [`extcap`]: Wireshark's calls in, the same configuration out
//! - [`ports`]: the ports of this machine, for people

#[cfg(not(target_os = "linux"))]
compile_error!("serialshark needs Linux: epoll, eventfd, inotify and termios2");

pub mod bell;
pub mod capture;
pub mod cli;
pub mod cobs;
pub mod copier;
pub mod dissect;
pub mod encode;
pub mod error;
pub mod extcap;
pub mod framing;
pub mod hardware;
pub mod logger;
pub mod output;
pub mod packet;
pub mod ports;
pub mod printable;
pub mod source;
pub mod systemd;
pub mod wall;
