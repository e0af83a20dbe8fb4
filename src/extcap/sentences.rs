//! What Wireshark is told: sentences of `{key=value}`, one a line.

#[cfg(all(target_os = "linux", feature = "nats"))]
use super::STORED;
use super::{PREFIX, SIMULATED, simulated, stored};
use crate::cli::AUTO;
use crate::framing::{self, Channel, PROTOCOLS, Protocol, protocol};
use crate::hardware::{self, Profile};
use crate::line::LineFormat;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::address::{Account, Trunk};
use crate::source::sim::Simulator;
use crate::sys::tty;
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
        let Some(name) = tty::name_of(&port.port_name) else { continue };
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

/// A line for each trunk of a NATS server.
#[cfg(all(target_os = "linux", feature = "nats"))]
pub fn of_store(account: &Account, trunks: &[Trunk]) -> String {
    let mut answer = String::new();
    for trunk in trunks {
        let display = value(&format!("Trunk {trunk} on {account}"));
        let _ =
            writeln!(answer, "interface {{value={PREFIX}{STORED}{trunk}}}{{display={display}}}");
    }
    answer
}

/// What may be spoken on an interface.
fn protocols(interface: &str) -> Vec<&'static Protocol> {
    let only = simulated(interface).and_then(protocol);
    only.map_or_else(|| PROTOCOLS.to_vec(), |only| vec![only])
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
    let options: Vec<Arg> = if simulated(interface).is_some() {
        vec![baud(&protocols, profile)]
    } else if stored(interface).is_some() {
        vec![past()]
    } else {
        [protocol_choice(&protocols, profile), baud(&protocols, profile), format(&protocols)]
            .into_iter()
            .chain([channel(&protocols), radio(&protocols), history()])
            .chain(own_settings(&protocols))
            .chain(usb.map(adapter_choice))
            .collect()
    };
    let mut answer = String::new();
    for (number, option) in options.iter().enumerate() {
        if reload.is_none_or(|reload| reload.trim_start_matches('-') == option.name) {
            option.write(number, reload.is_none(), &mut answer);
        }
    }
    answer
}

/// An option of the dialogue.
struct Arg {
    /// Without its dashes.
    name: &'static str,
    sentence: String,
    /// What a selector offers: word, what is shown, and whether it is the default.
    values: Vec<(String, String, bool)>,
}

impl Arg {
    /// Its sentence, if that is `asked` for, and those of its values.
    fn write(&self, number: usize, asked: bool, answer: &mut String) {
        let Self { name, sentence, values } = self;
        if asked {
            let _ = writeln!(answer, "arg {{number={number}}}{{call=--{name}}}{sentence}");
        }
        for (word, display, default) in values {
            let (display, default) = (value(display), if *default { "{default=true}" } else { "" });
            let _ = writeln!(
                answer,
                "value {{arg={number}}}{{value={word}}}{{display={display}}}{default}"
            );
        }
    }
}

fn protocol_choice(protocols: &[&'static Protocol], profile: Option<&Profile>) -> Arg {
    let suggested = profile.and_then(Profile::protocol);
    let auto = (
        AUTO.to_owned(),
        "recognised by listening, at any usual rate".to_owned(),
        suggested.is_none(),
    );
    let rows = protocols
        .iter()
        .map(|row| (row.name.to_owned(), row.help.to_owned(), suggested == Some(*row)));
    Arg {
        name: "protocol",
        sentence: "{display=Protocol}{type=selector}{tooltip=Protocol on the line. A sniffer is \
                   sent start commands only if its protocol is chosen}"
            .to_owned(),
        values: std::iter::once(auto).chain(rows).collect(),
    }
}

fn baud(protocols: &[&Protocol], profile: Option<&Profile>) -> Arg {
    let usual = match protocols {
        [row] => Some(row.line.baud.to_string()),
        _ => profile.and_then(|profile| {
            Some(format!("that of the protocol, {}: {}", profile.name, profile.baud?))
        }),
    };
    let hint = value(&usual.unwrap_or_else(|| "that of the protocol, or found".to_owned()));
    Arg {
        name: "baud",
        sentence: format!(
            "{{display=Baud}}{{type=string}}{{validation=^[0-9]*$}}{{placeholder={hint}}}\
             {{tooltip=Bits per second, any rate. Empty: {hint}}}"
        ),
        values: Vec::new(),
    }
}

fn format(protocols: &[&Protocol]) -> Arg {
    let others = protocols.iter().filter(|row| row.line.format != LineFormat::EIGHT_N_1);
    let others = others.map(|row| format!(", {} {}", row.name, row.line.format));
    let formats = format!("8N1{}", others.collect::<String>());
    Arg {
        name: "line",
        sentence: format!(
            "{{display=Line format}}{{type=string}}{{validation=^([5-8][NEOneo][12])?$}}\
             {{placeholder=that of the protocol}}{{tooltip=Data bits, parity, stop bits, such as 8E1. \
             Empty: {formats}}}"
        ),
        values: Vec::new(),
    }
}

fn channel(protocols: &[&Protocol]) -> Arg {
    let own = ("none".to_owned(), "none, or the sniffer's own".to_owned(), true);
    let with_channel = || protocols.iter().filter(|row| row.channel() != Channel::None);
    let channels = (0..=u8::MAX)
        .filter(|n| with_channel().any(|row| row.channels().contains(n)))
        .map(|n| (n.to_string(), n.to_string(), false));
    let needing = protocols.iter().filter(|row| row.channel() == Channel::Required);
    let needing: Vec<_> = needing.map(|row| row.name).collect();
    Arg {
        name: "channel",
        sentence: format!(
            "{{display=Radio channel}}{{type=selector}}\
             {{tooltip=IEEE 802.15.4 channel. Needed by: {}}}",
            needing.join(", ")
        ),
        values: std::iter::once(own).chain(channels).collect(),
    }
}

fn radio(protocols: &[&Protocol]) -> Arg {
    let taking = protocols.iter().filter(|row| row.takes_interface());
    let taking: Vec<_> = taking.map(|row| row.name).collect();
    Arg {
        name: "interface",
        sentence: format!(
            "{{display=Sniffer's interface}}{{type=string}}{{validation=^[0-9]*$}}\
             {{placeholder=its radio}}{{tooltip=Number of the network interface to use. \
             Empty: the first radio. For: {}}}",
            taking.join(", ")
        ),
        values: Vec::new(),
    }
}

fn history() -> Arg {
    Arg {
        name: "history",
        sentence: "{display=History}{type=string}{validation=^[0-9]*$}\
                   {placeholder=all that is kept}{tooltip=Seconds before Start to show too, if a \
                   serialshark service has this port and keeps a history (--unix, --history). \
                   Empty: all that it keeps}"
            .to_owned(),
        values: Vec::new(),
    }
}

/// The same of a trunk in a store.
fn past() -> Arg {
    Arg {
        name: "history",
        sentence: "{display=History}{type=string}{validation=^[0-9]*$}\
                   {placeholder=what comes from now on}{tooltip=Seconds before Start to show too, as \
                   far as the server keeps them. Empty: none}"
            .to_owned(),
        values: Vec::new(),
    }
}

/// What a protocol alone has to be set.
fn own_settings(protocols: &[&Protocol]) -> Vec<Arg> {
    let settings = framing::settings().into_iter();
    let of_these = |having: &[&str]| protocols.iter().any(|row| having.contains(&row.name));
    settings
        .filter(|(_, having)| of_these(having))
        .map(|(setting, having)| {
            let (what, of) = (value(setting.help), having.join(", "));
            let sentence = format!(
                "{{display={}}}{{type=string}}{{placeholder={}}}{{tooltip={what}. For: {of}}}",
                value(setting.name),
                value(setting.value)
            );
            Arg { name: setting.name, sentence, values: Vec::new() }
        })
        .collect()
}

fn adapter_choice(usb: &UsbPortInfo) -> Arg {
    let identity = identity(usb);
    Arg {
        name: "adapter",
        sentence: "{display=Adapter}{type=selector}{tooltip=The adapter that these settings are \
                   for. A different one with this port name is sent no commands}"
            .to_owned(),
        values: vec![(identity.clone(), identity, true)],
    }
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
        for Protocol { name, .. } in PROTOCOLS {
            assert!(port.contains(&format!("value {{arg=0}}{{value={name}}}")), "{port}");
        }
        assert_eq!(port.matches("{default=true}").count(), 2);
        for channel in [0, 10, 11, 26] {
            let value = format!("value {{arg=3}}{{value={channel}}}{{display={channel}}}\n");
            assert!(port.contains(&value), "{port}");
        }
        assert!(!port.contains("{value=27}") && port.contains("arg {number=4}{call=--interface}"));
        let reloaded = config("serialshark-ttyUSB0", None, Some("protocol"));
        assert!(reloaded.lines().all(|line| line.starts_with("value {arg=0}")), "{reloaded}");
        let simulated = config("serialshark-sim-mstp", None, None);
        assert!(simulated.contains("{call=--baud}") && simulated.lines().count() == 1);
        assert!(dlts("serialshark-sim-mstp").starts_with("dlt {number=165}{name=mstp}"));
        assert_eq!(dlts("serialshark-ttyUSB0").lines().count(), PROTOCOLS.len());
    }
}
