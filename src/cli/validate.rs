//! What the options of a capture mean together: a configuration, or what is wrong with them.

use super::args::Args;
#[cfg(feature = "mqtt")]
use super::outputs::of_each_port;
use super::outputs::{is_same_file, outputs, refuse_doubles};
#[cfg(feature = "mqtt")]
use super::values;
use super::{Request, address, port, usage};
use crate::config::{Config, Output, Port, Reporting};
use crate::encode::Format;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::address::Account;
use crate::output::file_set::{self, Limits};
#[cfg(feature = "mqtt")]
use crate::output::mqtt::address::Broker;
use crate::output::permissions::{Permissions, group_behind_sudo, group_name};
use crate::output::post_rotate::PostRotate;
use crate::output::viewer;
#[cfg(all(target_os = "linux", feature = "mqtt"))]
use crate::tls;
use log::LevelFilter;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What these options ask for.
pub(super) fn validate(args: Args) -> Result<Request, clap::Error> {
    let ports = ports(&args)?;
    let (outputs, mut remarks) = outputs(&args, &ports)?;
    let reporting = reporting(&args, &outputs)?;
    refuse_doubles(&args, &outputs, &ports, reporting.as_ref().map(|it| &*it.file))?;
    #[cfg(all(target_os = "linux", feature = "nats"))]
    {
        let has_trunk = ports.iter().any(|port| port.query.is_some());
        args.store.check(args.nats.is_some() || has_trunk, has_trunk)?;
        remarks.extend(typed_passwords(&args, &ports));
    }
    let (permissions, remark) = permissions_of(&args, &outputs);
    remarks.extend(remark);
    #[cfg(feature = "mqtt")]
    let mqtt = brokers(&args, &ports, &mut remarks)?;
    let config = Config {
        ports,
        outputs,
        force: args.force,
        permissions,
        history_s: args.history,
        history_memory: mebibytes(args.history_size),
        queue_memory: mebibytes(args.buffer_size),
        rotation: rotation(&args, permissions)?,
        count: args.count,
        wait: args.wait,
        once: args.once,
        same_adapter: args.same_adapter,
        follows: false,
        reporting,
        #[cfg(feature = "mqtt")]
        mqtt,
        screen: None,
    };
    let level = level(&args);
    Ok(Request { config, level, log_file: args.log_file, warnings_of: None, remarks })
}

/// Which log records are wanted.
fn level(args: &Args) -> LevelFilter {
    match (args.verbose, args.quiet) {
        (0, 0) => LevelFilter::Info,
        (0, 1) => LevelFilter::Warn,
        (0, _) => LevelFilter::Error,
        (1, _) => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}

/// All ports, each once. A simulated one may be there twice.
fn ports(args: &Args) -> Result<Vec<Port>, clap::Error> {
    if args.ports.is_empty() {
        return Err(usage("no port given: add port = \"/dev/ttyUSB0\""));
    }
    let common = port::Common {
        settings: &args.settings,
        alone: args.ports.len() == 1,
        waits: args.wait,
        replay_paced: args.replay_paced,
        record: args.record.as_ref(),
        #[cfg(all(target_os = "linux", feature = "nats"))]
        store: &args.store,
    };
    let ports: Vec<_> =
        args.ports.iter().map(|typed| port::port(typed, &common)).collect::<Result<_, _>>()?;
    for (i, port) in ports.iter().enumerate() {
        let path = |port: &Port| address::file_of(&port.address);
        let is_same = |other: &&Port| is_same_file(&path(other), &path(port));
        if let Some(other) = ports[..i].iter().find(is_same)
            && !port.name.starts_with("sim:")
        {
            return Err(usage(if other.name == port.name {
                format!("the port {} is named twice", port.name)
            } else {
                format!("{} and {} are the same port", other.name, port.name)
            }));
        }
    }
    Ok(ports)
}

/// The reports that are wanted, and where they go.
fn reporting(args: &Args, outputs: &[(Output, Format)]) -> Result<Option<Reporting>, clap::Error> {
    let Some(every) = args.report_every else { return Ok(None) };
    if args.ports.len() > 1 {
        return Err(usage("--report-every takes one port"));
    }
    let mut files = outputs.iter().filter_map(|(output, _)| match output {
        Output::File(path) => Some(path),
        _ => None,
    });
    let usual = || {
        let name = "serialshark-report.json";
        files.next().map_or_else(|| PathBuf::from(name), |path| path.with_file_name(name))
    };
    let file = args.report.clone().unwrap_or_else(usual);
    if !file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Err(usage(format!("--report {}: takes a name in .json", file.display())));
    }
    Ok(Some(Reporting { every, file }))
}

/// The broker that is told of the lines, if there is one, for each port.
#[cfg(feature = "mqtt")]
fn brokers(
    args: &Args,
    ports: &[Port],
    remarks: &mut Vec<String>,
) -> Result<Vec<Broker>, clap::Error> {
    let Some(url) = &args.mqtt else { return Ok(Vec::new()) };
    let mut brokers = Vec::new();
    for (port, url) in of_each_port(("--mqtt", "mqtt://HOST/SITE/{port}"), url, ports)? {
        let broker = Broker::parse(&url).map_err(|why| usage(format!("--mqtt: {why}")))?;
        brokers.push(Broker { port, discovery: args.mqtt_discovery, ..broker });
    }
    let is_typed = std::env::args_os().any(|arg| arg.to_string_lossy().contains(url));
    if let Some(broker) = brokers.first()
        && broker.server.password.is_some()
        && is_typed
    {
        remarks.push(format!(
            "{broker}: everybody on this machine sees a password that is typed: see \
             --mqtt-password-file"
        ));
    }
    if let Some(path) = &args.mqtt_password_file {
        if brokers.iter().any(|broker| broker.server.user.is_none()) {
            return Err(usage("--mqtt-password-file needs a user: mqtt://USER@HOST/PREFIX"));
        }
        let password = values::password("--mqtt-password-file", path)?;
        brokers.iter_mut().for_each(|it| it.server.password = Some(password.clone()));
    }
    #[cfg(target_os = "linux")]
    if let Some(path) = &args.mqtt_ca {
        if brokers.iter().any(|broker| !broker.tls) {
            return Err(usage("--mqtt-ca is for TLS: mqtts://HOST/PREFIX"));
        }
        tls::of_file(path).map_err(|why| usage(format!("--mqtt-ca {why}")))?;
        brokers.iter_mut().for_each(|it| it.authorities = Some(path.clone()));
    }
    Ok(brokers)
}

/// What is said of a password for a NATS server that everybody on this machine sees.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn typed_passwords(args: &Args, ports: &[Port]) -> Option<String> {
    let urls = ports.iter().map(|port| port.address.to_string_lossy());
    let urls = urls.chain(args.nats.iter().map(|url| url.as_str().into()));
    let has_password =
        |url: &str| Account::parse(url).is_ok_and(|(account, _)| account.server.password.is_some());
    let is_typed = |url: &str| std::env::args_os().any(|arg| arg.to_string_lossy().contains(url));
    urls.into_iter().any(|url| has_password(&url) && is_typed(&url)).then(|| {
        "everybody on this machine sees a password that is typed: see --nats-password-file"
            .to_owned()
    })
}

/// Who may open what is made, and what to say of that.
fn permissions_of(args: &Args, outputs: &[(Output, Format)]) -> (Permissions, Option<String>) {
    let makes_something = args.record.is_some()
        || outputs.iter().any(|(output, _)| {
            matches!(output, Output::Fifo(_) | Output::Unix(_) | Output::File(_))
        });
    let behind_sudo = group_behind_sudo().filter(|_| args.group.is_none() && makes_something);
    let remark = behind_sudo.map(|gid| {
        let group = group_name(gid);
        format!("started by sudo: FIFOs, sockets and files get the group {group}; see --group")
    });
    (Permissions { group: args.group.or(behind_sudo), mode: args.mode }, remark)
}

/// What `-C`, `-G` and their like say, if there are files for them.
fn rotation(
    args: &Args,
    permissions: Permissions,
) -> Result<Option<file_set::Options>, clap::Error> {
    let limits =
        Limits { size: args.rotate_size, seconds: args.rotate_seconds, files: args.rotate_files };
    let post_rotate = match (&args.postrotate_command, args.compress) {
        (Some(command), _) => Some(PostRotate::command(command.clone())),
        (None, true) if !viewer::is_installed(OsStr::new("gzip")) => {
            return Err(usage("--compress needs gzip, which is not installed"));
        }
        (None, true) => Some(PostRotate::gzip(args.force)),
        (None, false) => None,
    };
    if limits == Limits::default() && post_rotate.is_none() {
        return Ok(None);
    }
    if args.write.iter().all(|path| path == Path::new("-")) {
        return Err(usage("-C, -G, -W, -z and --compress need a file: -w FILE"));
    }
    if limits.size.is_none() && limits.seconds.is_none() {
        return Err(usage(
            "-W, -z and --compress are for files that follow each other: -C SIZE or -G SECONDS says \
             when to start the next one",
        ));
    }
    Ok(Some(file_set::Options { limits, force: args.force, permissions, post_rotate }))
}

fn mebibytes(number: u16) -> usize {
    usize::from(number) << 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Direction;
    use crate::encode::text::Style;
    use crate::line::Line;
    use clap::{CommandFactory as _, Parser as _};

    fn parsed(line: &str) -> Result<Request, clap::Error> {
        Args::try_parse_from(line.split(' ')).and_then(validate)
    }

    fn refused(line: &str) -> String {
        let error = parsed(line).expect_err("is wrong usage");
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_main_command_line() {
        let config = parsed("serialshark /dev/ttyUSB0 --fifo /tmp/sharkfin").unwrap().config;
        let port = &config.ports[0];
        assert_eq!((port.protocol.name, port.setup.line), ("mstp", Line::at(38_400)));
        assert_eq!(config.outputs, [(Output::Fifo("/tmp/sharkfin".into()), Format::Pcap)]);
    }

    #[test]
    fn formats_follow_the_option_then_the_extension() {
        let formats = |line| -> Vec<Format> {
            parsed(line).unwrap().config.outputs.iter().map(|(_, format)| *format).collect()
        };
        assert_eq!(formats("s sim:mstp"), [Format::Text(Style::default())]);
        assert_eq!(
            formats("s sim:mstp -w a.pcap -w b.pcapng -w -"),
            [Format::Pcap, Format::Pcapng, Format::Pcap]
        );
        assert_eq!(formats("s sim:mstp -w a.pcap --format pcapng"), [Format::Pcapng]);
    }

    #[test]
    fn nothing_is_transmitted_unless_the_protocol_was_named() {
        let transmits = |line| parsed(line).unwrap().config.ports[0].transmit;
        assert!(!transmits("s /dev/ttyUSB0"));
        assert!(transmits("s /dev/ttyUSB0 -p riot --channel 26"));
        assert!(!transmits("s sim:riot"));
    }

    #[test]
    fn several_ports_each_with_its_own() {
        let config =
            parsed("s mstp:/dev/a=in /dev/b=out riot:/dev/c sim:mstp --channel 15 --fifo f");
        let config = config.unwrap().config;
        let ports: Vec<_> = config
            .ports
            .iter()
            .map(|p| (p.name.as_str(), p.protocol.name, p.direction, p.setup.channel, p.transmit))
            .collect();
        assert_eq!(
            ports,
            [
                ("/dev/a", "mstp", Direction::Inbound, None, true),
                ("/dev/b", "mstp", Direction::Outbound, None, false),
                ("/dev/c", "riot", Direction::Unknown, Some(15), true),
                ("sim:mstp", "mstp", Direction::Unknown, None, false),
            ]
        );
        assert_eq!(config.outputs, [(Output::Fifo("f".into()), Format::Pcapng)]);
        assert!(refused("s sim:mstp sim:riot -w a.pcap").contains("--format pcapng"));
        assert!(refused("s /dev/a /dev/a").contains("named twice"));
    }

    #[test]
    fn wrong_usage_says_what_is_allowed() {
        assert!(refused("s x -p can").contains("mstp, modbus, modbus-ascii"));
        assert!(refused("s x -b 0").contains("such as 38400, or auto"));
        assert!(refused("s x -b fast").contains("such as 38400, or auto"));
        assert!(refused("s x -p riot --channel 27").contains("0..=26"));
        assert!(refused("s x -p pinoccio --channel 10").contains("pinoccio has 11 to 26"));
        assert!(
            refused("s x -p riot").contains("needs --channel, 11 to 26, or 0 to 10 below 1 GHz:")
        );
        assert!(refused("s x -p pinoccio --interface 6").contains("no interfaces to choose from"));
        assert!(refused("s x --interface 6").contains("no interfaces to choose from"));
        assert!(refused("s x -p riot --channel 26 --interface wlan0").contains("invalid"));
        assert!(refused("s x --channel 11").contains("mstp has no channels"));
        assert!(refused("s x --init X").contains("does not use it"));
        assert!(refused("s sim:can").contains("sim:mstp, sim:modbus, sim:riot"));
        assert!(refused("s sim:riot -p mstp").contains("speaks riot"));
        assert!(refused("s x --fifo -").contains("-w -"));
        assert!(refused("s x -w a -w a").contains("twice"));
        assert!(refused("s x --format pcap").contains("needs an output"));
        for rotate in ["-C 1", "-G 1", "-W 1", "-C 1 -w -", "-C 1 --fifo f"] {
            assert!(refused(&format!("s x {rotate}")).contains("-w FILE"), "{rotate}");
        }
        assert!(refused("s x -w a -W 3").contains("-C SIZE or -G SECONDS"));
        for zero in ["-C 0", "-C 0k", "-C 1.5", "-C k", "-C 99999999999G", "-G 0", "-C 1 -W 0"] {
            refused(&format!("s x -w a {zero}"));
        }
    }

    #[test]
    fn sizes_are_in_millions_unless_they_say_otherwise() {
        let limits = |line| parsed(line).unwrap().config.rotation.map(|rotation| rotation.limits);
        assert_eq!(limits("s x -w a"), None);
        let size = |line| limits(line).unwrap().size;
        assert_eq!(size("s x -w a -C 3"), Some(3_000_000));
        assert_eq!(size("s x -w a --rotate-size 500k"), Some(500_000));
        assert_eq!(size("s x -w - -w a -C 2M"), Some(2_000_000));
        assert_eq!(size("s x -w a -C 1G"), Some(1_000_000_000));
        assert_eq!(
            limits("s x -w a -G 60 --rotate-files 7"),
            Some(Limits { size: None, seconds: Some(60), files: Some(7) })
        );
    }
}
