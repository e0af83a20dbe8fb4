//! A port's address: the form it must have, and what a word that is none may have meant.

use super::typed_port::is_there;
use super::usage;
use crate::framing::protocol;
use crate::source::sim::Simulator;
use crate::source::{self, file};
use std::ffi::OsStr;
use std::path::PathBuf;

/// Sees that a name which is no path has the form that it should have.
pub(super) fn check_form(address: &OsStr, name: &str) -> Result<(), clap::Error> {
    match source::scheme(address) {
        Some(("sim", _)) => {
            let known = Simulator::NAMES.map(|name| format!("sim:{name}"));
            // A fault was looked at already.
            let plain = name.split(',').next().unwrap_or(name);
            if !known.iter().any(|known| known == plain) {
                let known = known.join(", ");
                return Err(usage(format!("no simulated port {name}; there are {known}")));
            }
        }
        Some(("unix", path)) if path.is_empty() => {
            return Err(usage("unix: the form is unix:PATH"));
        }
        Some(("unix", _)) => {}
        // Looked at more closely where its options are known.
        #[cfg(all(target_os = "linux", feature = "nats"))]
        Some(("nats" | "tls", _)) => {}
        #[cfg(not(all(target_os = "linux", feature = "nats")))]
        Some(("nats" | "tls", _)) => {
            let name = crate::nats::address::shown(name);
            return Err(usage(format!("{name}: NATS is not part of this serialshark")));
        }
        Some((scheme, host)) => {
            let parts = host.to_str().and_then(|host| host.rsplit_once(':'));
            let is_whole = parts.is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !is_whole {
                return Err(usage(format!("{name}: the form is {scheme}:HOST:PORT")));
            }
        }
        None => {}
    }
    Ok(())
}

/// What was meant by a word that is no port, as far as it can be guessed.
pub(super) fn meant(address: &OsStr, name: &str) -> Option<String> {
    if source::scheme(address).is_some() || name == "-" || is_there(address.as_encoded_bytes()) {
        return None;
    }
    let word = name.to_ascii_lowercase();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let com = word.trim_start_matches("\\\\.\\").strip_prefix("com");
    if com.is_some_and(is_number) {
        return Some("that is a Windows name; to list ports here: serialshark ports".to_owned());
    }
    if name.contains('/') {
        return None;
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && !host.is_empty()
        && is_number(port)
    {
        return Some(format!("for a port on another machine: tcp:{name}, rfc2217:{name}"));
    }
    if let Some(row) = protocol(&word) {
        return Some(format!("for the protocol: -p {}", row.name));
    }
    if is_number(name) {
        return Some(format!("for the rate: -b {name}"));
    }
    match word.as_str() {
        "help" | "?" => Some("for help: serialshark --help".to_owned()),
        "version" => Some("for the version: serialshark --version".to_owned()),
        "list" | "ls" | "devices" | "interfaces" | "port" => {
            Some("to list ports: serialshark ports".to_owned())
        }
        "sim" | "simulator" | "demo" | "test" => {
            Some("for a simulated port: sim:mstp, sim:modbus, sim:riot".to_owned())
        }
        _ if is_there(&[b"/dev/", name.as_bytes()].concat()) => {
            Some(format!("for the device: /dev/{name}"))
        }
        _ => None,
    }
}

/// The path of a port that has one: that of a socket may have its scheme before it.
pub(super) fn file_of(address: &OsStr) -> PathBuf {
    match source::scheme(address) {
        Some(("unix", path)) => path.into(),
        _ => address.into(),
    }
}

/// Whether octets come from a network or a pipe, which may stall for longer than a line.
pub(super) fn is_remote(address: &OsStr) -> bool {
    source::scheme(address).is_some_and(|(scheme, _)| scheme != "sim")
        || matches!(file::kind(address), file::FileKind::Piped | file::FileKind::Socket)
}
