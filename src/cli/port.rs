//! What a typed port asks for: a port to capture, or what is wrong with it.

use super::address::{self, is_remote};
use super::channels::Channels;
use super::settings::{AUTO, Rate, Settings};
#[cfg(all(target_os = "linux", feature = "nats"))]
use super::store::{StoreArgs, Usual};
use super::typed_port::TypedPort;
use super::usage;
use crate::config::{Auto, Port};
use crate::encode::Direction;
use crate::framing::hopping::Hops;
use crate::framing::{
    self, Channel, PROTOCOLS, Protocol, REMOTE_SILENCE_NS, SILENCE_NS, Setup, protocol,
};
use crate::line::{Line, ModemLine};
use crate::nats::query::Query;
use crate::setting::Values;
use crate::source::file::FileKind;
use crate::source::{self, file, record};
use crate::time::ns_of;
use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How long a sniffer stays on a channel unless told otherwise.
const DWELL: Duration = Duration::from_secs(5);
/// The same in a survey, which somebody waits for.
const DWELL_OF_SURVEY: Duration = Duration::from_secs(2);

/// What is the same for all ports.
pub(super) struct Common<'a> {
    /// For ports that do not say otherwise.
    pub(super) settings: &'a Settings,
    /// Whether there is one port alone. With several an option is for those that take it.
    pub(super) alone: bool,
    /// Whether ports that are not there are waited for.
    pub(super) waits: bool,
    pub(super) replay_paced: bool,
    pub(super) record: Option<&'a PathBuf>,
    #[cfg(all(target_os = "linux", feature = "nats"))]
    pub(super) store: &'a StoreArgs,
}

/// Ports whose protocol is to be found out.
pub(super) fn unknown(typed: &[OsString]) -> Result<Vec<Port>, clap::Error> {
    let settings = Settings { protocol: Some(AUTO.to_owned()), ..Settings::default() };
    let alone = typed.len() == 1;
    let common = Common {
        settings: &settings,
        alone,
        waits: false,
        replay_paced: false,
        record: None,
        #[cfg(all(target_os = "linux", feature = "nats"))]
        store: &StoreArgs::default(),
    };
    typed.iter().map(|typed| port(typed, &common)).collect()
}

/// The port of a sniffer that is sent over its channels.
pub(super) fn surveyed(typed: &OsStr, mut settings: Settings) -> Result<Port, clap::Error> {
    let TypedPort { protocol: own, settings: of_port, .. } = TypedPort::parse(typed)?;
    let named = of_port.protocol.as_deref().or(settings.protocol.as_deref()).and_then(protocol);
    let Some(protocol) = own.or(named) else {
        return Err(usage(
            "survey: name the sniffer's protocol with -p, since it is sent commands",
        ));
    };
    if !protocol.hops() {
        return Err(usage(format!(
            "survey: {} does not go from channel to channel",
            protocol.name
        )));
    }
    // Of all there are those that sniffers of today have.
    let channels = of_port.channel.or(settings.channel);
    let channels = channels.unwrap_or_else(|| Channels::of(11..=26));
    settings.dwell = settings.dwell.or(Some(DWELL_OF_SURVEY));
    settings.channel = Some(channels.clone());
    let common = Common {
        settings: &settings,
        alone: true,
        waits: false,
        replay_paced: false,
        record: None,
        #[cfg(all(target_os = "linux", feature = "nats"))]
        store: &StoreArgs::default(),
    };
    let mut port = port(typed, &common)?;
    if !port.transmit {
        return Err(usage(format!("survey: {} is no port of a sniffer", port.name)));
    }
    // One channel is surveyed too.
    let dwell = of_port.dwell.or(settings.dwell).unwrap_or(DWELL);
    port.setup.hops = Some(hops(&channels, dwell));
    Ok(port)
}

fn hops(channels: &Channels, dwell: Duration) -> Hops {
    Hops { channels: channels.all().to_vec(), dwell_ns: ns_of(dwell) }
}

/// What a typed port asks for.
pub(super) fn port(typed: &OsStr, common: &Common<'_>) -> Result<Port, clap::Error> {
    let TypedPort { name: address, protocol: own, direction, settings } = TypedPort::parse(typed)?;
    let place = Place::find(address, common)?;
    let choice = Choice::make(&place, own, &settings, common)?;
    let protocol = choice.protocol;
    check_settings(protocol, &settings, true)?;
    check_settings(protocol, common.settings, common.alone)?;
    let settings = settings.or(common.settings);
    // A sniffer that is simulated or stored is not told anything.
    if protocol.channel() == Channel::Required && settings.channel.is_none() && !place.is_one_way()
    {
        return Err(usage(format!(
            "{} needs --channel, {}: the sniffer must be tuned to it",
            protocol.name,
            channels_in_words(&protocol.channels())
        )));
    }
    let is_hopping =
        protocol.hops() && settings.channel.as_ref().is_some_and(Channels::are_several);
    if is_hopping && common.record.is_some() {
        return Err(usage(format!(
            "{}: --record takes one channel: a recording does not say which of several it was",
            place.name
        )));
    }
    let auto = auto(&place, &choice, &settings, common.record.is_some())?;
    let modem_line = if protocol.drop_lines { ModemLine::Off } else { ModemLine::Keep };
    let direction = direction.unwrap_or(Direction::Unknown);
    Ok(Port {
        protocol,
        setup: setup(&place, protocol, &settings, direction)?,
        transmit: choice.is_named && !place.is_one_way(),
        dtr: settings.dtr.map_or(modem_line, ModemLine::from),
        rts: settings.rts.map_or(modem_line, ModemLine::from),
        direction,
        auto,
        recorded: place.recorded.is_some() || place.is_stored(),
        described: None,
        query: place.query,
        paced: common.replay_paced,
        record: common.record.cloned(),
        name: place.name,
        address: place.address,
    })
}

/// Where the octets of a port come from.
struct Place {
    address: OsString,
    name: String,
    kind: FileKind,
    /// The header, if it is a recording.
    recorded: Option<record::Header>,
    /// What is asked of a server, if it is one.
    query: Option<Query>,
}

impl Place {
    /// Sees that there can be a port at this address.
    fn find(address: OsString, common: &Common<'_>) -> Result<Self, clap::Error> {
        let name = address.display().to_string();
        address::check_form(&address, &name)?;
        if let Some(meant) = address::meant(&address, &name).filter(|_| !common.waits) {
            return Err(usage(format!("{name} is not a port; {meant}")));
        }
        let kind = file::kind(&address);
        if common.replay_paced && kind != FileKind::Stored {
            return Err(usage("--replay-paced needs a file as the port"));
        }
        // What is wrong with a file is said when it is opened.
        let recorded = record::header(&address).ok().flatten();
        #[cfg(all(target_os = "linux", feature = "nats"))]
        let query = match source::scheme(&address) {
            Some(("nats" | "tls", _)) => Some(common.store.query(&name, Usual::Now)?),
            _ => None,
        };
        #[cfg(not(all(target_os = "linux", feature = "nats")))]
        let query: Option<Query> = None;
        // Without user and password.
        let name = query.as_ref().map_or(name, |query| query.address.to_string());
        Ok(Self { address, name, kind, recorded, query })
    }

    /// Whether its packets are in a store, framed and dated.
    fn is_stored(&self) -> bool {
        self.query.is_some()
    }

    /// The simulated device's protocol.
    fn simulated(&self) -> Option<&str> {
        self.name.strip_prefix("sim:").and_then(|name| name.split(',').next())
    }

    /// The protocol that a recording names.
    fn recorded_protocol(&self) -> Option<&str> {
        self.recorded.as_ref().map(|header| header.protocol.as_str())
    }

    /// Whether nobody listens at the other end.
    fn is_one_way(&self) -> bool {
        self.simulated().is_some()
            || self.is_stored()
            || !matches!(self.kind, FileKind::Other | FileKind::Socket)
    }

    /// Whether it is a serial port, whose rate can be set.
    fn can_be_set(&self) -> bool {
        self.kind == FileKind::Other && source::scheme(&self.address).is_none()
    }

    /// Whether it is known when its octets came.
    fn is_timed(&self) -> bool {
        self.kind != FileKind::Stored || self.recorded.is_some()
    }
}

/// Which protocol, and by whom.
struct Choice {
    protocol: &'static Protocol,
    /// Whether the user named it.
    is_named: bool,
    /// Whether the user wants it found out.
    is_auto: bool,
}

impl Choice {
    /// The protocol that the user named, else that of the place, else the first one.
    fn make(
        place: &Place,
        own: Option<&'static Protocol>,
        settings: &Settings,
        common: &Common<'_>,
    ) -> Result<Self, clap::Error> {
        let named = own.or(common.settings.protocol.as_deref().and_then(protocol));
        let word = settings.protocol.as_deref().or(common.settings.protocol.as_deref());
        let is_auto = word == Some(AUTO) && own.is_none();
        if let (None, Some(recorded)) = (named, place.recorded_protocol())
            && protocol(recorded).is_none()
            && !is_auto
        {
            let name = &place.name;
            return Err(usage(format!("{name}: recorded as {recorded}; choose one with -p")));
        }
        let of_place = place.simulated().or(place.recorded_protocol()).and_then(protocol);
        let protocol = named.or(of_place).unwrap_or(PROTOCOLS[0]);
        if let Some(sim) = place.simulated()
            && protocol.name != sim
        {
            return Err(usage(format!("sim:{sim} speaks {sim}, not {}", protocol.name)));
        }
        Ok(Self { protocol, is_named: named.is_some(), is_auto })
    }
}

/// What of the port is found out by listening.
fn auto(
    place: &Place,
    choice: &Choice,
    settings: &Settings,
    is_recorded: bool,
) -> Result<Auto, clap::Error> {
    let protocol = choice.protocol;
    let is_auto_rate = settings.baud == Some(Rate::Auto);
    if is_auto_rate && !place.can_be_set() {
        return Err(usage(format!("{}: -b auto needs a serial port", place.name)));
    }
    if is_auto_rate && !choice.is_auto && !protocol.provable {
        let name = protocol.name;
        return Err(usage(format!("-b auto: {name} fits at any rate, so name one: -b 115200")));
    }
    let may_be_set = place.can_be_set() && settings.line.is_none();
    Ok(match settings.baud {
        rate if choice.is_auto => {
            Auto::Protocol { line: may_be_set && rate.and_then(Rate::baud).is_none() }
        }
        Some(Rate::Auto) if is_recorded => Auto::Line,
        Some(Rate::Auto) => Auto::LineLater,
        // A recording says at which rate its octets came.
        None if may_be_set && !is_recorded && protocol.provable && protocol.sniffer.is_none() => {
            Auto::LineLater
        }
        _ => Auto::Nothing,
    })
}

/// What the framer is told: the user's word, else the recording's, else the protocol's.
fn setup(
    place: &Place,
    protocol: &'static Protocol,
    settings: &Settings,
    direction: Direction,
) -> Result<Setup, clap::Error> {
    let recorded = place.recorded.as_ref();
    let recorded_values = recorded.map(|header| recorded_values(protocol, header));
    let values =
        Values::of(protocol.settings, &[&settings.own.0, &recorded_values.unwrap_or_default()]);
    (protocol.check)(&values).map_err(|what| usage(format!("{}: {what}", place.name)))?;
    let usual = recorded.map_or(protocol.line, |header| header.line);
    let channels = settings.channel.as_ref().filter(|_| protocol.channel() != Channel::None);
    let hopping = channels.filter(|channels| channels.are_several());
    let channel = match channels {
        Some(channels) => channels.one(),
        None => recorded.and_then(|header| header.channel),
    };
    Ok(Setup {
        line: Line {
            baud: settings.baud.and_then(Rate::baud).unwrap_or(usual.baud),
            format: settings.line.unwrap_or(usual.format),
        },
        channel: channel.filter(|_| protocol.channel() != Channel::None),
        hops: hopping.map(|channels| hops(channels, settings.dwell.unwrap_or(DWELL))),
        init: settings.init.clone().filter(|_| protocol.takes_init()),
        interface: settings.interface.filter(|_| protocol.takes_interface()),
        direction,
        values,
        silence_ns: match recorded {
            Some(header) => header.silence_ns,
            None if is_remote(&place.address) => REMOTE_SILENCE_NS,
            None => SILENCE_NS,
        },
        timed: place.is_timed(),
    })
}

/// What a recording says about the settings that a protocol has, as far as they are right.
fn recorded_values(protocol: &Protocol, header: &record::Header) -> Values {
    let mut values = Values::none();
    for (name, value) in &header.settings {
        let setting = protocol.settings.iter().find(|setting| setting.name == name);
        if let Some(setting) = setting.filter(|setting| (setting.check)(value).is_ok()) {
            values.set(setting.name, value.clone());
        }
    }
    values
}

fn channels_in_words(channels: &RangeInclusive<u8>) -> &'static str {
    if channels.contains(&0) { "11 to 26, or 0 to 10 below 1 GHz" } else { "11 to 26" }
}

/// Sees that the protocol takes these settings; what it has no use for is wrong if it `must_suit`.
fn check_settings(
    protocol: &Protocol,
    settings: &Settings,
    must_suit: bool,
) -> Result<(), clap::Error> {
    let wrong = |what: String| Err(usage(what));
    let channels = settings.channel.as_ref().map_or(&[][..], Channels::all);
    if protocol.channel() == Channel::None {
        if !channels.is_empty() && must_suit {
            return wrong(format!("--channel: {} has no channels", protocol.name));
        }
    } else if let Some(channel) = channels.iter().find(|it| !protocol.channels().contains(it)) {
        return wrong(format!(
            "--channel {channel}: {} has {}",
            protocol.name,
            channels_in_words(&protocol.channels())
        ));
    } else if channels.len() > 1 && !protocol.hops() {
        return wrong(format!(
            "--channel: {} has no place for the channel in its packets, so name one alone",
            protocol.name
        ));
    }
    if settings.dwell.is_some() && !protocol.hops() && must_suit {
        return wrong(format!("--dwell: {} does not go from channel to channel", protocol.name));
    }
    if settings.init.is_some() && !protocol.takes_init() && must_suit {
        return wrong(format!("--init: {} does not use it", protocol.name));
    }
    if settings.interface.is_some() && !protocol.takes_interface() && must_suit {
        return wrong(format!("--interface: {} has no interfaces to choose from", protocol.name));
    }
    for (name, _) in settings.own.0.iter().filter(|_| must_suit) {
        if protocol.settings.iter().all(|setting| setting.name != name) {
            let all = framing::settings();
            let having = all.iter().find(|(setting, _)| setting.name == name);
            let having = having.map_or_else(String::new, |(_, having)| having.join(", "));
            return wrong(format!(
                "--{name}: {} does not use it; it is for {having}",
                protocol.name
            ));
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::typed_port::with_settings;
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn asked(typed: impl AsRef<OsStr>) -> Result<Port, String> {
        let settings = Settings { baud: Some(Rate::Baud(19_200)), ..Settings::default() };
        asked_with(typed, &settings)
    }

    fn asked_with(typed: impl AsRef<OsStr>, settings: &Settings) -> Result<Port, String> {
        let common = Common {
            settings,
            alone: false,
            waits: false,
            replay_paced: false,
            record: None,
            #[cfg(all(target_os = "linux", feature = "nats"))]
            store: &StoreArgs::default(),
        };
        port(typed.as_ref(), &common).map_err(|error| error.to_string())
    }

    #[test]
    fn a_port_has_its_own_settings_or_those_for_all() {
        let port = asked("/dev/a,protocol=riot,channel=26,baud=9600,line=8e1,dtr=on").unwrap();
        assert_eq!((port.name.as_str(), port.protocol.name), ("/dev/a", "riot"));
        assert_eq!(port.setup.line.to_string(), "9600 baud 8E1");
        assert_eq!(
            (port.setup.channel, port.dtr, port.rts),
            (Some(26), ModemLine::On, ModemLine::Keep)
        );
        assert!(port.transmit);
        let port = asked("mstp:/dev/b=in").unwrap();
        assert_eq!((port.name.as_str(), port.direction), ("/dev/b", Direction::Inbound));
        assert_eq!(port.setup.line, Line::at(19_200));
        let port = asked("/dev/b=out,line=7O2").unwrap();
        assert_eq!(port.direction, Direction::Outbound);
        assert_eq!(asked("tcp:h:1,direction=in").unwrap().direction, Direction::Inbound);
        assert_eq!(asked("pinoccio:/dev/c,init=a\\,b").unwrap().setup.init.as_deref(), Some("a,b"));
    }

    #[test]
    fn settings_of_a_protocol_follow_from_its_row() {
        let port = asked("raw:/dev/a,length-field=2,2,be,4,baud=300,start=aa55").unwrap();
        let values: Vec<_> = port.setup.values.iter().collect();
        assert_eq!(values, [("length-field", "2,2,be,4"), ("start", "aa55")]);
        assert_eq!(port.setup.line.baud, 300);
        let said = asked("/dev/a,gap=10ms").unwrap_err();
        assert!(said.contains("--gap: mstp does not use it; it is for raw"), "{said}");
        let said = asked("raw:/dev/a,gap=10").unwrap_err();
        assert!(said.contains("expected a pause, such as 35bit"), "{said}");
        let said = asked("raw:/dev/a,gap=1ms,length-field=0,1,be,1").unwrap_err();
        assert!(said.contains("leave one out"), "{said}");
    }

    #[test]
    fn the_whole_name_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x,baud=9600", "x=in", "a,b", "mstp:y", "z,colour=red"] {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            let port = asked(&path).unwrap();
            assert_eq!((&port.address, port.setup.line.baud), (&path.clone().into(), 19_200));
            let mut with = path.clone().into_os_string();
            with.push(",baud=50=in");
            asked(&with).unwrap_err();
            let mut with = path.clone().into_os_string();
            with.push(",baud=50");
            let port = asked(&with).unwrap();
            assert_eq!((&port.address, port.setup.line.baud), (&path.into(), 50));
        }
        let odd = OsStr::from_bytes(b"/dev/\xff\xfe,baud=300");
        let port = asked(odd).unwrap();
        assert_eq!((port.address.as_bytes(), port.setup.line.baud), (&b"/dev/\xff\xfe"[..], 300));
    }

    #[test]
    fn what_is_wrong_with_a_setting_is_said_with_its_port() {
        for (typed, says) in [
            (
                "/dev/a,bauds=9600",
                "/dev/a,bauds=9600: unknown setting bauds; the settings are protocol, baud, line",
            ),
            ("/dev/a,bauds=1,baud=9600", "unknown setting bauds"),
            ("/dev/a,baud=fast", "/dev/a,baud=fast: invalid value 'fast' for '--baud <RATE>'"),
            ("/dev/a,baud=1,baud=2", "cannot be used multiple times"),
            ("/dev/a,line=9N1", "such as 8N1"),
            ("/dev/a,protocol=x", "possible values: mstp, modbus, modbus-ascii"),
            ("/dev/a,protocol=", "a value is required for '--protocol"),
            ("/dev/a,channel=20", "--channel: mstp has no channels"),
            ("/dev/a,init=x", "does not use it"),
            ("mstp:/dev/a,protocol=riot", "two protocols"),
            ("/dev/a=in,direction=out", "two directions"),
            ("sim:x", "there are sim:mstp, sim:modbus, sim:riot"),
            ("tcp:h:0", "the form is tcp:HOST:PORT"),
            ("telnet:h", "the form is telnet:HOST:PORT"),
            ("unix:", "the form is unix:PATH"),
        ] {
            let said = asked(typed).unwrap_err();
            assert!(said.contains(says), "{typed}: {said}");
        }
    }

    #[test]
    fn a_rate_is_looked_for_where_that_can_be_found_out() {
        let auto = |typed| asked_with(typed, &Settings::default()).map(|port| port.auto);
        assert_eq!(auto("/dev/a"), Ok(Auto::LineLater));
        assert_eq!(auto("/dev/a,baud=9600"), Ok(Auto::Nothing));
        assert_eq!(auto("/dev/a,line=8E1"), Ok(Auto::Nothing));
        assert_eq!(auto("/dev/a,protocol=raw"), Ok(Auto::Nothing));
        assert_eq!(auto("/dev/a,protocol=auto"), Ok(Auto::Protocol { line: true }));
        assert_eq!(auto("/dev/a,protocol=auto,baud=9600"), Ok(Auto::Protocol { line: false }));
        assert_eq!(auto("tcp:h:1"), Ok(Auto::Nothing));
        assert!(auto("tcp:h:1,baud=auto").unwrap_err().contains("needs a serial port"));
        assert!(auto("sim:mstp,baud=auto").unwrap_err().contains("needs a serial port"));
        assert!(auto("/dev/a,protocol=raw,baud=auto").unwrap_err().contains("name one"));
    }

    #[test]
    fn a_word_that_is_no_port_says_what_was_meant() {
        for (word, says) in [
            ("help", "serialshark --help"),
            ("list", "serialshark ports"),
            ("COM3", "a Windows name"),
            ("com12", "a Windows name"),
            (r"\\.\COM10", "a Windows name"),
            ("192.168.1.5:3333", "tcp:192.168.1.5:3333, rfc2217:192.168.1.5:3333"),
            ("moxa:4001", "tcp:moxa:4001"),
            ("mstp", "-p mstp"),
            ("38400", "-b 38400"),
            ("null", "/dev/null"),
            ("sim", "sim:mstp"),
        ] {
            let said = asked(word).unwrap_err();
            assert!(
                said.contains(&format!("{word} is not a port; ")) && said.contains(says),
                "{said}"
            );
        }
        for port in ["/dev/ttyUSB9", "./COM3", "ttyUSB9", "/dev/serial/by-path/pci-0:1", "tcp:a:1"]
        {
            asked(port).unwrap();
        }
    }

    #[test]
    fn what_is_made_of_settings_is_understood() {
        let settings = [("baud".into(), "300".into()), ("init".into(), "a,b=c".into())];
        let port = asked(with_settings("pinoccio:/dev/a", &settings)).unwrap();
        assert_eq!(port.setup.init.as_deref(), Some("a,b=c"));
        assert_eq!(port.setup.line.baud, 300);
    }
}
