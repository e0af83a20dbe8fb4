//! Wireshark's extcap dialogue: our ports in its interface list, in and out of the same
//! [`Config`](crate::config::Config) as the command line.
//!
//! Wireshark calls the program several times, and each call is one question:
//!
//! | call | answer |
//! |---|---|
//! | `--extcap-interfaces` | a line per port |
//! | `--extcap-interface IF --extcap-dlts` | a line per link type |
//! | `--extcap-interface IF --extcap-config` | the options of the port's dialogue |
//! | `--extcap-interface IF --capture --fifo PATH` and options | packets into the FIFO |
//!
//! The first is asked at each start, even for a capture from somewhere else, and `--extcap-config`
//! for each interface. So they open no port, and say nothing on stderr (but see below): Wireshark shows
//! whatever comes there as an error. For the same reason a capture logs errors only.
//!
//! Arguments that we do not know are ignored, since the next Wireshark may have more of them.
//! Those that we know become an ordinary command line, so that what is allowed is decided in
//! one place. Two things are forgiven that the command line does not forgive, because the
//! dialogue remembers its fields: empty values, and a channel for a protocol that has none.
//!
//! The dialogue begins with what the port's profile says. A selection that nobody touched may not
//! reach us, so a capture begins with the same. But a sniffer is sent nothing because of what its
//! USB ids are: the user has to choose its protocol or its channel. And Wireshark keeps what was
//! chosen by the port's name, under which another adapter may come; so the dialogue tells which
//! one it was chosen for, and another one is sent nothing.
//!
//! A capture filter is refused, and called wrong when Wireshark asks: there is no filter language for
//! these packets before they are dissected.
//!
//! A port that another serialshark has is no failure if that one shares its packets: then they
//! are passed on, and what was before Start with them, as far as the dialogue's history goes.
//!
//! Trunks that a NATS server keeps are interfaces too, if the user has named one when installing; the server
//! is asked for them last, and for a short time. One that does not answer is told on stderr, where the
//! list is asked for in a terminal.
//!
//! A capture that fails must open the FIFO nevertheless, or Wireshark waits for it for ever.

#[cfg(all(target_os = "linux", feature = "nats"))]
mod broker;
mod install;
#[cfg(target_os = "linux")]
mod relay;
mod sentences;

pub use install::manage;

use crate::capture::hearing;
use crate::cli::{self, AUTO};
use crate::config::Output;
use crate::encode::Format;
use crate::error::Error;
use crate::framing::{self, Channel, protocol};
use crate::hardware::{self, Profile};
use crate::nats::address::Trunk;
use crate::output::pipe;
use crate::source::serial;
use crate::sys::{os_string, tty};
use sentences::{config, dlts, identity, interfaces};
use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is said to any capture filter.
const NO_FILTER: &str =
    "serialshark has no capture filters: leave it empty, and use a display filter";

/// What all our interfaces begin with; what follows is the port.
const PREFIX: &str = "serialshark-";
/// A simulated port in the name of an interface, which is a preference's name as well.
const SIMULATED: &str = "sim-";
/// A trunk that a NATS server keeps, likewise.
const STORED: &str = "nats-";

/// Answers if Wireshark has called: the exit code. `None` if the arguments are an ordinary command
/// line.
pub fn run(args: &[OsString]) -> Option<u8> {
    let is_call =
        |arg: &OsString| arg == "--capture" || arg.as_encoded_bytes().starts_with(b"--extcap-");
    args.iter().any(is_call).then(|| Call::parse(args).answer())
}

/// What Wireshark asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    interfaces: bool,
    dlts: bool,
    config: bool,
    capture: bool,
    interface: String,
    reload: Option<String>,
    fifo: Option<PathBuf>,
    protocol: Option<String>,
    baud: Option<String>,
    line: Option<String>,
    channel: Option<String>,
    radio: Option<String>,
    history: Option<String>,
    filter: Option<String>,
    adapter: Option<String>,
    /// Names and values of what a protocol has in its row.
    settings: Vec<(&'static str, String)>,
}

impl Call {
    /// Understands a call; of what it does not know it takes no notice.
    pub fn parse(args: &[OsString]) -> Self {
        let mut call = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let octets = arg.as_encoded_bytes();
            let (name, mut attached) = match octets.iter().position(|octet| *octet == b'=') {
                Some(at) => (os_string(&octets[..at]), Some(os_string(&octets[at + 1..]))),
                None => (arg.clone(), None),
            };
            let mut value = || {
                let value = attached.take().or_else(|| args.next().cloned());
                value.filter(|value| !value.is_empty())
            };
            let text = |value: OsString| {
                value.to_string_lossy().replace(char::is_control, " ").trim().to_owned()
            };
            let filled = |value: &String| !value.is_empty();
            match name.to_str() {
                Some("--extcap-interfaces") => call.interfaces = true,
                Some("--extcap-dlts") => call.dlts = true,
                Some("--extcap-config") => call.config = true,
                Some("--capture") => call.capture = true,
                Some("--extcap-interface") => {
                    call.interface = value().map(text).unwrap_or_default();
                }
                Some("--extcap-reload-option") => call.reload = value().map(text),
                Some("--extcap-capture-filter") => call.filter = value().map(text).filter(filled),
                Some("--fifo") => call.fifo = value().map(PathBuf::from),
                Some("--protocol") => call.protocol = value().map(text).filter(filled),
                Some("--baud") => call.baud = value().map(text).filter(filled),
                Some("--line") => call.line = value().map(text).filter(filled),
                Some("--channel") => {
                    call.channel = value().map(text).filter(filled).filter(|value| value != "none");
                }
                Some("--interface") => call.radio = value().map(text).filter(filled),
                Some("--history") => call.history = value().map(text).filter(filled),
                Some("--adapter") => call.adapter = value().map(text).filter(filled),
                Some(option) => {
                    let known = framing::settings().into_iter();
                    let mut known = known.map(|(setting, _)| setting.name);
                    let name = option
                        .strip_prefix("--")
                        .and_then(|name| known.find(|known| *known == name));
                    let given =
                        name.and_then(|name| Some((name, value().map(text).filter(filled)?)));
                    call.settings.extend(given);
                }
                // --extcap-version, --extcap-cleanup-postkill, and what is to come
                _ => {}
            }
        }
        call
    }

    fn answer(&self) -> u8 {
        if self.capture {
            return self.start();
        }
        let ports = if self.interfaces || self.config { serial::ports() } else { Vec::new() };
        // Fails when Wireshark does not want to know any more.
        let _ = io::stdout().write_all(self.text(&ports).as_bytes());
        #[cfg(all(target_os = "linux", feature = "nats"))]
        if self.interfaces {
            list_stored();
        }
        0
    }

    /// What is said to a question: sentences, one a line. `ports` are those of this machine.
    pub fn text(&self, ports: &[SerialPortInfo]) -> String {
        if self.interfaces {
            interfaces(ports)
        } else if self.filter.is_some() {
            // Whatever is said to this question is why a filter is wrong.
            format!("{NO_FILTER}\n")
        } else if self.dlts {
            dlts(&self.interface)
        } else if self.config {
            let usb = usb(&self.interface, ports);
            config(&self.interface, usb, self.reload.as_deref())
        } else {
            String::new()
        }
    }

    /// Captures until Wireshark has enough.
    fn start(&self) -> u8 {
        let Some(fifo) = &self.fifo else {
            return fail(&Error::new("--capture", "needs --fifo").hint("Wireshark passes it"));
        };
        let ports = serial::ports();
        let request = self.unfiltered().and_then(|()| self.history()).and_then(|history| {
            let request = match stored(&self.interface) {
                Some(trunk) => stored_request(&trunk, history),
                None => self.request(usb(&self.interface, &ports)),
            };
            Ok((history, request?))
        });
        let (history, mut request) = match request {
            Ok(request) => request,
            Err(error) => {
                let exit_code = fail(&error);
                // What is wrong with the FIFO is not what Wireshark should show now.
                let _ = pipe::open(fifo);
                return exit_code;
            }
        };
        let end = if let Some(end) = self.relayed(fifo, history) {
            end
        } else {
            // Else a capture that stays empty does not say why.
            request.warnings_of = Some(hearing::TARGET);
            request.config.outputs = vec![(Output::Pipe(fifo.clone()), Format::Pcapng)];
            request.start_logging().and_then(|logging| {
                let end = crate::capture::run(&request.config);
                logging.end();
                end
            })
        };
        end.map_or_else(|error| fail(&error), |()| 0)
    }

    /// Passes on the packets of another serialshark, if one has the port and shares them.
    #[cfg(target_os = "linux")]
    fn relayed(&self, fifo: &Path, history: Option<Duration>) -> Option<Result<(), Error>> {
        if simulated(&self.interface).is_some() || stored(&self.interface).is_some() {
            return None;
        }
        let relay = relay::Relay::find(&port(&self.interface)?)?;
        Some(pipe::open(fifo).and_then(|stream| relay.run(stream, history)))
    }

    /// The same where there are no sockets for it.
    #[cfg(not(target_os = "linux"))]
    fn relayed(&self, _fifo: &Path, _history: Option<Duration>) -> Option<Result<(), Error>> {
        None
    }

    /// There is no filter language for these packets before they are dissected.
    fn unfiltered(&self) -> Result<(), Error> {
        match &self.filter {
            Some(filter) => Err(Error::new(filter, NO_FILTER)),
            None => Ok(()),
        }
    }

    /// How much is wanted of what was before Start; all if `None`.
    fn history(&self) -> Result<Option<Duration>, Error> {
        let Some(seconds) = &self.history else { return Ok(None) };
        seconds
            .parse()
            .map(Duration::from_secs)
            .map(Some)
            .map_err(|_| Error::new("history", format!("is not a number of seconds: {seconds}")))
    }

    /// The request that the options of a capture make, for a port with this adapter.
    ///
    /// # Errors
    /// When the command line would not take them, or the interface is none of ours.
    pub fn request(&self, usb: Option<&UsbPortInfo>) -> Result<cli::Request, Error> {
        let port = port(&self.interface)
            .ok_or_else(|| Error::new(&self.interface, "is not an interface of serialshark"))?;
        let profile = usb.and_then(hardware::profile);
        let suggested = profile.as_ref().and_then(Profile::protocol);
        let named = match simulated(&self.interface) {
            Some(_) => None,
            None => {
                self.protocol.as_deref().or(suggested.map(|protocol| protocol.name)).or(Some(AUTO))
            }
        };
        if let (Some(suggested), None, None) = (suggested, &self.protocol, &self.channel)
            && suggested.dialogue().is_some()
        {
            let what = format!(
                "{0} sends commands to the sniffer: choose {0} or a channel first",
                suggested.name
            );
            return Err(Error::new(port, what).hint("in its options, behind the gear icon"));
        }
        let sends = named.and_then(protocol).is_some_and(|protocol| protocol.dialogue().is_some());
        if let Some(adapter) = &self.adapter
            && sends
            && usb.map(identity).as_ref() != Some(adapter)
        {
            let what = format!("is no longer {adapter}, for which commands were allowed");
            return Err(Error::new(port, what)
                .hint("choose the protocol again in its options, behind the gear icon"));
        }
        let profile = profile.as_ref().filter(|_| named == suggested.map(|protocol| protocol.name));
        let baud = profile.and_then(|profile| profile.baud).map(|baud| baud.to_string());
        let has_channel =
            named.and_then(protocol).is_some_and(|protocol| protocol.channel() != Channel::None);
        let channel = self.channel.as_deref().filter(|_| has_channel);
        let has_interfaces =
            named.and_then(protocol).is_some_and(|protocol| protocol.takes_interface());
        let radio = self.radio.as_deref().filter(|_| has_interfaces);
        let mut args = vec!["serialshark".to_owned(), "-qq".to_owned()];
        let options = [
            ("--protocol", named),
            ("--baud", self.baud.as_deref().or(baud.as_deref())),
            ("--line", self.line.as_deref()),
            ("--channel", channel),
            ("--interface", radio),
            ("--init", profile.and_then(|profile| profile.init.as_deref())),
            ("--dtr", profile.and_then(|profile| profile.dtr.as_deref())),
            ("--rts", profile.and_then(|profile| profile.rts.as_deref())),
        ];
        for (name, value) in options {
            args.extend(value.map(|value| format!("{name}={value}")));
        }
        let own = named.and_then(protocol).map_or(&[][..], |protocol| protocol.settings);
        let is_own = |name: &str| own.iter().any(|setting| setting.name == name);
        let settings = self.settings.iter().filter(|(name, _)| is_own(name));
        args.extend(settings.map(|(name, value)| format!("--{name}={value}")));
        args.extend(["--".to_owned(), port.clone()]);
        cli::parse_from(args).map_err(|what| Error::new(port, what))
    }
}

/// Says what is wrong in one line.
fn fail(error: &Error) -> u8 {
    let _ = writeln!(io::stderr(), "serialshark: {error:#}");
    1
}

/// The name of the simulated port that an interface is.
fn simulated(interface: &str) -> Option<&str> {
    interface.strip_prefix(PREFIX)?.strip_prefix(SIMULATED)
}

/// The trunk of a NATS server that an interface is.
fn stored(interface: &str) -> Option<Trunk> {
    let trunk = Trunk::parse(interface.strip_prefix(PREFIX)?.strip_prefix(STORED)?);
    trunk.ok().filter(|trunk| !trunk.is_pattern())
}

/// Adds the trunks of the user's server to the list of interfaces, if there is one.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn list_stored() {
    match broker::wanted().and_then(|wanted| wanted.as_ref().map(broker::trunks).transpose()) {
        Ok(Some((account, trunks))) => {
            let lines = sentences::of_store(&account, &trunks);
            let _ = io::stdout().write_all(lines.as_bytes());
        }
        Ok(None) => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "serialshark: {error:#}");
        }
    }
}

/// The request for a trunk of the user's server: what comes, and what was before that if it is wanted.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn stored_request(trunk: &Trunk, history: Option<Duration>) -> Result<cli::Request, Error> {
    let wanted = broker::wanted()?.ok_or_else(|| {
        Error::new(trunk, "is on a NATS server whose address is not known")
            .hint("serialshark extcap --install --nats nats://HOST")
    })?;
    // What it says of a wrong address is without the password in it.
    wanted.resolve().map_err(|why| Error::new(trunk, why))?;
    let mut args: Vec<OsString> = ["serialshark", "-qq"].map(OsString::from).to_vec();
    if let Some(history) = history.filter(|history| !history.is_zero()) {
        args.push(format!("--since={}s", history.as_secs()).into());
    }
    args.extend(wanted.typed(trunk));
    cli::parse_from(args).map_err(|what| Error::new(trunk, what))
}

#[cfg(not(all(target_os = "linux", feature = "nats")))]
fn stored_request(trunk: &Trunk, _history: Option<Duration>) -> Result<cli::Request, Error> {
    Err(Error::new(trunk, "NATS is not part of this serialshark"))
}

/// The port behind an interface, as on the command line.
fn port(interface: &str) -> Option<String> {
    match simulated(interface) {
        Some(name) => Some(format!("sim:{name}")),
        None => Some(tty::path_of(interface.strip_prefix(PREFIX)?)),
    }
}

/// The adapter or sniffer behind an interface.
fn usb<'a>(interface: &str, ports: &'a [SerialPortInfo]) -> Option<&'a UsbPortInfo> {
    let name = port(interface)?;
    match &ports.iter().find(|port| port.port_name == name)?.port_type {
        SerialPortType::UsbPort(usb) => Some(usb),
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::hardware::UsbId;

    pub fn adapter(id: (u16, u16), product: Option<&str>, number: Option<&str>) -> UsbPortInfo {
        UsbPortInfo {
            vid: id.0,
            pid: id.1,
            serial_number: number.map(str::to_owned),
            manufacturer: None,
            product: product.map(str::to_owned),
        }
    }

    fn call(line: &str) -> Call {
        Call::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_ordinary_command_line_is_none_of_ours() {
        for line in ["sim:mstp", "/dev/ttyUSB0 --fifo /tmp/sharkfin", "./extcap -w -"] {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(run(&args), None);
        }
    }

    #[test]
    fn options_become_a_command_line() {
        let line = "--capture --extcap-interface serialshark-ttyUSB0 --fifo /tmp/x --later 9 \
                    --extcap-capture-filter --capture --protocol riot --channel 26 --baud=9600";
        let call = call(line);
        assert_eq!(call.fifo.as_deref(), Some(Path::new("/tmp/x")));
        let config = call.request(None).expect("is valid").config;
        let port = &config.ports[0];
        assert_eq!((port.name.as_str(), port.protocol.name), ("/dev/ttyUSB0", "riot"));
        assert_eq!((port.setup.line.baud, port.setup.channel), (9600, Some(26)));
        assert!(port.transmit);
    }

    #[test]
    fn a_sniffers_interface_is_for_the_protocol_that_has_some() {
        let plain = "--capture --extcap-interface serialshark-ttyUSB0 --fifo /tmp/x --interface 7";
        for (more, interface) in [
            ("--protocol riot --channel 5", Some(7)),
            ("--protocol pinoccio --channel 15", None),
            ("--protocol mstp", None),
        ] {
            let config = call(&format!("{plain} {more}")).request(None).expect(more).config;
            assert_eq!(config.ports[0].setup.interface, interface);
        }
    }

    #[test]
    fn what_the_dialogue_remembers_is_forgiven() {
        let plain = "--capture --extcap-interface serialshark-ttyUSB0 --fifo /tmp/x";
        for more in ["--baud ", "--channel 26", "--channel none", "--protocol  --baud "] {
            let config = call(&format!("{plain} {more}")).request(None).expect(more).config;
            assert_eq!(config.ports[0].setup.channel, None);
            assert_eq!(config.ports[0].setup.line.baud, 38_400);
            assert!(!config.ports[0].transmit);
        }
    }

    #[test]
    fn a_profile_suggests_and_the_user_decides() {
        let usb = |id: &str| {
            let profile = hardware::profiles().find(|profile| profile.id == id).expect(id);
            let UsbId { vendor, product, names, .. } = &profile.usb[0];
            adapter((*vendor, *product), names.first().map(String::as_str), None)
        };
        let plain = "--capture --extcap-interface serialshark-ttyUSB1 --fifo /tmp/x";
        let port = |id: &str, more: &str| {
            let request = call(&format!("{plain} {more}")).request(Some(&usb(id)));
            request.map(|request| request.config.ports.into_iter().next().expect("a port"))
        };
        let m3 = port("iotlab-m3", "--channel 15").expect("has been chosen");
        assert_eq!((m3.protocol.name, m3.setup.line.baud, m3.transmit), ("riot", 500_000, true));
        let m3 = port("iotlab-m3", "--channel 15 --baud 115200").expect("has been chosen");
        assert_eq!(m3.setup.line.baud, 115_200);
        let scout = port("pinoccio-scout", "--protocol pinoccio").expect("has been chosen");
        let init = scout.setup.init.expect("its own");
        assert!(init.starts_with("module.enable") && scout.transmit, "{init}");
        let other = port("pinoccio-scout", "--protocol mstp").expect("has been chosen");
        assert_eq!((other.protocol.name, other.setup.init), ("mstp", None));
        let adapter = port("ft232r", "--channel none").expect("listens");
        assert_eq!((adapter.protocol.name, adapter.transmit), ("mstp", false));
        for id in ["iotlab-m3", "pinoccio-scout"] {
            let error = port(id, "--channel none --baud 9600").expect_err("nobody chose");
            assert!(error.to_string().contains("sends commands to the sniffer"), "{error}");
        }
    }

    #[test]
    fn what_was_chosen_for_one_adapter_is_not_sent_to_another() {
        let ours = adapter((0x0403, 0x6001), None, Some("A}1"));
        let dialogue = config("serialshark-ttyUSB0", Some(&ours), None);
        let chosen = "{value=0403:6001 A)1}{display=0403:6001 A)1}{default=true}\n";
        assert!(dialogue.ends_with(chosen), "{dialogue}");

        let request = |protocol, usb| {
            let options = ["--protocol", protocol, "--channel", "26", "--adapter", "0403:6001 A)1"];
            let line = ["--capture", "--extcap-interface", "serialshark-ttyUSB0"];
            let args: Vec<_> = line.iter().chain(&options).map(OsString::from).collect();
            Call::parse(&args).request(usb)
        };
        assert!(request("riot", Some(&ours)).expect("is meant").config.ports[0].transmit);
        let others = [None, Some("A}2")].map(|number| adapter((0x0403, 0x6001), None, number));
        for other in others.iter().map(Some).chain([None]) {
            let error = request("riot", other).expect_err("is another one");
            assert!(error.to_string().contains("is no longer 0403:6001 A)1"), "{error}");
            assert!(request("mstp", other).is_ok(), "it listens to whatever there is");
        }
    }

    #[test]
    fn wrong_options_are_one_line() {
        let refused = |line: &str| {
            let error = call(&format!("--capture --fifo /tmp/x {line}")).request(None);
            let line = format!("{:#}", error.expect_err("is wrong"));
            assert_eq!(line.lines().count(), 1);
            line
        };
        let riot = refused("--extcap-interface serialshark-ttyUSB0 --protocol riot");
        assert!(riot.starts_with("/dev/ttyUSB0: riot needs --channel"), "{riot}");
        let baud = refused("--extcap-interface serialshark-ttyUSB0 --baud fast");
        assert!(baud.contains("invalid value 'fast'"), "{baud}");
        assert!(refused("--extcap-interface serialshark-sim-x").contains("no simulated port"));
        assert!(refused("--extcap-interface eth0").contains("is not an interface"));
        assert!(refused("--extcap-interface eth\n0").contains("is not an interface"));
        refused("--extcap-interface serialshark-tty\nS0 --baud fast");
    }
}
