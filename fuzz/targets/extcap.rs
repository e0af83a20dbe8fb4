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
    let ids: Vec<_> = hardware::profiles().flat_map(|profile| profile.usb).collect();
    let id = ids.get(octets.len() % 32).map(|id| (id.vendor, id.product));
    let port = |name: &str| SerialPortInfo {
        port_name: format!("/dev/{name}"),
        port_type: SerialPortType::UsbPort(adapter(id.unwrap_or_default(), name)),
    };
    let ports: Vec<_> = args.iter().map(|arg| port(&arg.to_string_lossy())).collect();
    // What is wrong with a filter is told in words.
    let text = call.text(&ports);
    let is_refusal = text.lines().count() == 1 && text.contains("has no capture filters");
    for line in text.lines().filter(|_| !is_refusal) {
        assert!(is_sentence(line), "{line:?}");
    }
    let usb = args.first().map(|arg| adapter(id.unwrap_or_default(), &arg.to_string_lossy()));
    match call.request(usb.as_ref()) {
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

fn adapter((vid, pid): (u16, u16), name: &str) -> UsbPortInfo {
    let name = Some(name.to_owned());
    UsbPortInfo { vid, pid, serial_number: name.clone(), manufacturer: None, product: name }
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
