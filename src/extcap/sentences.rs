//! What Wireshark is told: sentences of `{key=value}`, one a line.

use super::{PREFIX, SIMULATED, simulated};
use crate::framing::{Channel, PROTOCOLS, Protocol, protocol};
use crate::hardware::{self, Profile};
use crate::source::sim::Simulator;
use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::fmt::Write as _;

/// What tells an adapter from others, as far as something does.
pub fn identity(usb: &UsbPortInfo) -> String {
    let number = usb.serial_number.as_deref().unwrap_or("no serial number");
    value(&format!("{:04x}:{:04x} {number}", usb.vid, usb.pid)).trim().to_owned()
}

/// A value in one of the sentences that Wireshark reads: braces end it.
fn value(text: &str) -> String {
    let clean = |c| match c {
        '{' => '(',
        '}' => ')',
        c if char::is_control(c) => ' ',
        c => c,
    };
    text.chars().map(clean).collect()
}

/// A line for each port and each simulated one.
pub fn interfaces(ports: &[SerialPortInfo]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut answer = format!("extcap {{version={version}}}{{display=serialshark}}\n");
    let mut add = |name: &str, display: &str| {
        let (name, display) = (value(name), value(display));
        let _ = writeln!(answer, "interface {{value={PREFIX}{name}}}{{display={display}}}");
    };
    for port in ports {
        let Some(name) = port.port_name.strip_prefix("/dev/") else { continue };
        let mut display = format!("Serial port {name}");
        if let SerialPortType::UsbPort(usb) = &port.port_type {
            let product = usb.product.as_deref().unwrap_or("USB");
            let serial = usb.serial_number.as_ref().map(|number| format!(", {number}"));
            let _ = write!(display, ": {product}{}", serial.unwrap_or_default());
            if let Some(profile) = hardware::profile(usb) {
                let _ = write!(display, " ({})", profile.name);
            }
        }
        add(name, &display);
    }
    for name in Simulator::NAMES {
        let help = protocol(name).map_or(name, |protocol| protocol.help);
        add(&format!("{SIMULATED}{name}"), &format!("Simulated {help}"));
    }
    answer
}

/// What may be spoken on an interface.
fn protocols(interface: &str) -> &'static [Protocol] {
    let only = simulated(interface).and_then(protocol);
    only.map_or(&PROTOCOLS, std::slice::from_ref)
}

/// A line for each link type of an interface.
pub fn dlts(interface: &str) -> String {
    let mut answer = String::new();
    for Protocol { name, help, link_type, .. } in protocols(interface) {
        let (number, help) = (link_type.0, value(help));
        let _ = writeln!(answer, "dlt {{number={number}}}{{name={name}}}{{display={help}}}");
    }
    answer
}

/// The options of an interface's dialogue, which begins with what the adapter's profile says; of one
/// option the values alone if it is to be reloaded.
pub fn config(interface: &str, usb: Option<&UsbPortInfo>, reload: Option<&str>) -> String {
    let profile = usb.and_then(hardware::profile);
    let profile = profile.as_ref();
    let protocols = protocols(interface);
    let mut rates = String::new();
    for Protocol { name, baud, .. } in protocols {
        let _ = write!(rates, "{}{name} {baud}", if rates.is_empty() { "" } else { ", " });
    }
    let baud = profile
        .and_then(|profile| Some((profile, profile.baud?)))
        .map(|(profile, baud)| format!(", {}: {baud}", profile.name));
    let hint = value(&format!("{rates}{}", baud.unwrap_or_default()));
    let mut options = Vec::new();
    if let [first, _, ..] = protocols {
        let default = profile.and_then(Profile::protocol).unwrap_or(first);
        let values = protocols
            .iter()
            .map(|row| (row.name.to_owned(), row.help.to_owned(), std::ptr::eq(row, default)));
        options.push((
            "protocol",
            "{display=Protocol}{type=selector}{tooltip=What is spoken on the line. A sniffer \
             that needs commands is sent them only if its protocol is chosen}"
                .to_owned(),
            values.collect(),
        ));
    }
    options.push((
        "baud",
        format!(
            "{{display=Baud}}{{type=string}}{{validation=^[0-9]*$}}{{placeholder={hint}}}\
             {{tooltip=Bits per second, any rate. Empty: {hint}}}"
        ),
        Vec::new(),
    ));
    if protocols.len() > 1 {
        let own = ("none".to_owned(), "none, or the sniffer's own".to_owned(), true);
        let with_channel = || protocols.iter().filter(|row| row.channel != Channel::None);
        let channels = (0..=u8::MAX)
            .filter(|n| with_channel().any(|row| row.channels.contains(n)))
            .map(|n| (n.to_string(), n.to_string(), false));
        let needing: Vec<_> = protocols
            .iter()
            .filter(|protocol| protocol.channel == Channel::Required)
            .map(|protocol| protocol.name)
            .collect();
        options.push((
            "channel",
            format!(
                "{{display=Radio channel}}{{type=selector}}\
                 {{tooltip=IEEE 802.15.4 channel. Needed by: {}}}",
                needing.join(", ")
            ),
            std::iter::once(own).chain(channels).collect(),
        ));
        let taking: Vec<_> =
            protocols.iter().filter(|row| row.takes_interface).map(|row| row.name).collect();
        options.push((
            "interface",
            format!(
                "{{display=Sniffer's interface}}{{type=string}}{{validation=^[0-9]*$}}\
                 {{placeholder=its radio}}{{tooltip=Number of the network interface that is its radio. \
                 Empty: the first one that is. For: {}}}",
                taking.join(", ")
            ),
            Vec::new(),
        ));
    }
    if simulated(interface).is_none() {
        options.push((
            "history",
            "{display=History}{type=string}{validation=^[0-9]*$}{placeholder=all that is kept}\
             {tooltip=Seconds before Start, where a serialshark service has this port and keeps \
             them (--unix, --history). Empty: all that it keeps}"
                .to_owned(),
            Vec::new(),
        ));
    }
    if let Some(identity) = usb.map(identity) {
        let sentence = "{display=Adapter}{type=selector}{tooltip=What the choices above are for. \
                        Another one that comes under this name is sent no commands}";
        options.push(("adapter", sentence.to_owned(), vec![(identity.clone(), identity, true)]));
    }
    let mut answer = String::new();
    for (number, (name, sentence, values)) in options.into_iter().enumerate() {
        if reload.is_some_and(|reload| reload.trim_start_matches('-') != name) {
            continue;
        }
        if reload.is_none() {
            let _ = writeln!(answer, "arg {{number={number}}}{{call=--{name}}}{sentence}");
        }
        for (word, display, default) in values {
            let (display, default) = (value(&display), if default { "{default=true}" } else { "" });
            let _ = writeln!(
                answer,
                "value {{arg={number}}}{{value={word}}}{{display={display}}}{default}"
            );
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::super::tests::adapter;
    use super::*;

    #[test]
    fn usb_adapters_are_shown_with_product_and_serial_number() {
        let usb = adapter((0x0403, 0x6001), Some("FT232R"), Some("A5}0285"));
        let port_type = SerialPortType::UsbPort(usb);
        let port = SerialPortInfo { port_name: "/dev/ttyUSB0".into(), port_type };
        let answer = interfaces(&[port]);
        let line = "interface {value=serialshark-ttyUSB0}\
                    {display=Serial port ttyUSB0: FT232R, A5)0285 (FTDI FT232R)}\n";
        assert!(answer.contains(line), "{answer}");
        assert!(answer.contains("{value=serialshark-sim-mstp}{display=Simulated BACnet MS/TP"));
    }

    #[test]
    fn the_dialogue_comes_from_the_table() {
        let port = config("serialshark-ttyUSB0", None, None);
        for Protocol { name, .. } in &PROTOCOLS {
            assert!(port.contains(&format!("value {{arg=0}}{{value={name}}}")), "{port}");
        }
        assert_eq!(port.matches("{default=true}").count(), 2);
        for channel in [0, 10, 11, 26] {
            let value = format!("value {{arg=2}}{{value={channel}}}{{display={channel}}}\n");
            assert!(port.contains(&value), "{port}");
        }
        assert!(!port.contains("{value=27}") && port.contains("arg {number=3}{call=--interface}"));
        let reloaded = config("serialshark-ttyUSB0", None, Some("protocol"));
        assert!(reloaded.lines().all(|line| line.starts_with("value {arg=0}")), "{reloaded}");
        let simulated = config("serialshark-sim-mstp", None, None);
        assert!(simulated.contains("{call=--baud}") && simulated.lines().count() == 1);
        assert!(dlts("serialshark-sim-mstp").starts_with("dlt {number=165}{name=mstp}"));
        assert_eq!(dlts("serialshark-ttyUSB0").lines().count(), PROTOCOLS.len());
    }
}
