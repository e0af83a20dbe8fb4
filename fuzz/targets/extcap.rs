//! Any arguments from Wireshark, with NUL between them as in `/proc/PID/cmdline`. Each is the
//! name of a USB adapter as well; which profile the port has comes of their length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use serialshark::extcap::Call;
use serialshark::hardware;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fuzz_target!(|octets: &[u8]| {
    let args: Vec<OsString> =
        octets.split(|octet| *octet == 0).map(|arg| OsString::from_vec(arg.to_vec())).collect();
    let call = Call::parse(&args);
    let ports: Vec<_> = args.iter().map(|arg| adapter(&arg.to_string_lossy())).collect();
    for line in call.text(&ports).lines() {
        assert!(is_sentence(line), "{line:?}");
    }
    let profile = hardware::profiles().nth(octets.len() % 32);
    match call.request(profile.as_ref()) {
        Ok(request) => {
            let [port] = &request.config.ports[..] else { panic!("{:?}", request.config.ports) };
            assert!(port.name.starts_with("/dev/") || port.name.starts_with("sim:"));
            // To choose a channel is to choose the sniffer that the profile names.
            let asked = args
                .iter()
                .map(|arg| arg.to_string_lossy())
                .any(|arg| arg.contains(port.protocol.name) || arg.starts_with("--channel"));
            assert!(asked || !port.transmit, "would transmit unasked");
        }
        Err(error) => assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}"),
    }
});

fn adapter(name: &str) -> SerialPortInfo {
    let usb = UsbPortInfo {
        vid: 0x0403,
        pid: 0x6001,
        serial_number: Some(name.to_owned()),
        manufacturer: None,
        product: Some(name.to_owned()),
    };
    let port_type = SerialPortType::UsbPort(usb);
    SerialPortInfo { port_name: format!("/dev/{name}"), port_type }
}

/// Whether Wireshark can read this: a word, a space, and `{name=value}` once or more, where no
/// brace and no control character is in a value.
fn is_sentence(line: &str) -> bool {
    let Some((word, groups)) = line.split_once(' ') else { return false };
    let Some(groups) = groups.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return false;
    };
    word.chars().all(|c| c.is_ascii_lowercase())
        && groups.split("}{").all(|group| {
            let Some((name, value)) = group.split_once('=') else { return false };
            let is_plain = |c: char| !c.is_control() && c != '{' && c != '}';
            name.chars().all(|c| c.is_ascii_lowercase()) && value.chars().all(is_plain)
        })
}
