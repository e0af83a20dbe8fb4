//! Where packets go: the outputs that options name, each with its format.

use super::address::file_of;
use super::args::{Args, FileFormat};
use super::usage;
use crate::config::{Output, Port};
use crate::encode::Format;
use crate::encode::text::{Style, TimeStyle};
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::address::{self, Address};
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::query::Query;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::output::nats::Target;
use crate::output::{tcp, viewer};
use crate::sys::{files, stdio};
use std::path::{Path, PathBuf};

/// An output and its format.
type Formatted = (Output, Format);

/// All outputs, and remarks on them for the user.
pub(super) fn outputs(
    args: &Args,
    ports: &[Port],
) -> Result<(Vec<Formatted>, Vec<String>), clap::Error> {
    let mut outputs = Vec::new();
    let mut remarks = Vec::new();
    add_pipes(args, &mut outputs)?;
    add_sockets(args, &mut outputs)?;
    add_files(args, &mut outputs);
    #[cfg(all(target_os = "linux", feature = "nats"))]
    add_store(args, ports, &mut outputs)?;
    remarks.extend(add_viewer(args, &mut outputs));
    refuse_mixtures(&outputs, ports)?;
    refuse_recordings(args)?;
    add_printed(args, &mut outputs)?;
    Ok((outputs, remarks))
}

/// `--fifo` and `--pipe`.
fn add_pipes(args: &Args, outputs: &mut Vec<Formatted>) -> Result<(), clap::Error> {
    for path in &args.fifo {
        if path == Path::new("-") {
            return Err(usage("--fifo takes a path; for standard output use -w -"));
        }
        outputs.push((Output::Fifo(path.clone()), format(args, path)));
    }
    for name in &args.pipe {
        if !cfg!(windows) {
            return Err(usage("--pipe is for Windows; here it is --fifo PATH"));
        }
        let path = PathBuf::from(format!(r"\\.\pipe\{name}"));
        outputs.push((Output::Fifo(path.clone()), format(args, &path)));
    }
    Ok(())
}

/// `--tcp`, `--http` and `--unix`.
fn add_sockets(args: &Args, outputs: &mut Vec<Formatted>) -> Result<(), clap::Error> {
    let has_port = |option: &str, address: &str| {
        let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
        let wrong =
            || usage(format!("{option} {address}: takes a port such as 19000, or ADDR:PORT"));
        port.parse::<u16>().map(drop).map_err(|_| wrong())
    };
    for address in &args.tcp {
        has_port("--tcp", address)?;
        outputs.push((Output::Tcp(address.clone()), format(args, Path::new(""))));
    }
    if let Some(address) = &args.http {
        if !cfg!(feature = "http") {
            return Err(usage("--http is not part of this serialshark"));
        }
        has_port("--http", address)?;
        let output = Output::Http { address: address.clone(), token: args.http_token.clone() };
        outputs.push((output, Format::Pcapng));
    }
    for path in &args.unix {
        outputs.push((Output::Unix(path.clone()), format(args, path)));
    }
    Ok(())
}

/// `-w`.
fn add_files(args: &Args, outputs: &mut Vec<Formatted>) {
    for path in &args.write {
        outputs.push((file_at(path), format(args, path)));
    }
}

/// What is written at this path.
fn file_at(path: &Path) -> Output {
    match path {
        path if is_stdout(path) => Output::Stdout,
        path if is_given_pipe(path) => Output::Pipe(path.to_owned()),
        path => Output::File(path.to_owned()),
    }
}

/// `--nats`.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn add_store(args: &Args, ports: &[Port], outputs: &mut Vec<Formatted>) -> Result<(), clap::Error> {
    let Some(url) = &args.nats else { return Ok(()) };
    if url.contains(PORT_FIELD) && ports.iter().any(|port| port.query.is_some()) {
        return Err(usage(format!("--nats: {PORT_FIELD} is for ports, not for nats://")));
    }
    for (number, url) in of_each_port(("--nats", "nats://HOST/SITE.{port}"), url, ports)? {
        let target = target(args, &url, (ports.len() > 1).then_some(number))?;
        // What is stored there would be read, and stored again.
        let is_read = |query: &Query| query.address.has(&target.address);
        if let Some(port) = ports.iter().find(|port| port.query.as_ref().is_some_and(is_read)) {
            return Err(usage(format!("--nats: {} is the port itself", port.name)));
        }
        outputs.push((Output::Nats(target), Format::Pcapng));
    }
    Ok(())
}

/// What stands for a port's short name in `--nats` and `--mqtt`.
#[cfg(any(feature = "mqtt", feature = "nats"))]
const PORT_FIELD: &str = "{port}";

/// A URL for each port, with the port's number: the one that was typed, where `{port}` is the port's
/// short name. `form` is how an option and its URL look for several ports.
#[cfg(any(feature = "mqtt", feature = "nats"))]
pub(super) fn of_each_port(
    (option, form): (&str, &str),
    url: &str,
    ports: &[Port],
) -> Result<Vec<(usize, String)>, clap::Error> {
    if !url.contains(PORT_FIELD) && ports.len() > 1 {
        return Err(usage(format!(
            "{option}: with several ports each needs a name of its own: {form}"
        )));
    }
    let mut named: Vec<(String, &str)> = Vec::new();
    let mut urls = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let word = short_name(&port.name);
        if let Some((_, other)) = named.iter().find(|(same, _)| *same == word) {
            return Err(usage(format!(
                "{option}: {other} and {} would both be {word}; start serialshark for each",
                port.name
            )));
        }
        urls.push((number, url.replace(PORT_FIELD, &word)));
        named.push((word, &port.name));
    }
    Ok(urls)
}

/// The last part of a port's name, of characters that a name may have everywhere.
#[cfg(any(feature = "mqtt", feature = "nats"))]
fn short_name(port: &str) -> String {
    /// Of a trunk's name.
    const LONGEST: usize = 64;
    // Those of the system: a name that udev has made may have a backslash in it.
    let port = port.trim_end_matches(std::path::is_separator);
    let last = port.rsplit(std::path::is_separator).next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = last.chars().map(plain).take(LONGEST).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// Where packets go that are stored at this address: all, or those of one port.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn target(args: &Args, url: &str, port: Option<usize>) -> Result<Target, clap::Error> {
    let mut address = Address::parse(url).map_err(|why| usage(format!("--nats: {why}")))?;
    if address.trunk.is_pattern() {
        return Err(usage("--nats takes one trunk: nats://HOST/SITE.TRUNK"));
    }
    args.store.keys.let_in(&mut address.account)?;
    let keep = args.nats_keep.unwrap_or_default();
    Ok(Target { address, port, keep, spool: args.nats_spool.clone() })
}

/// `--wireshark`, or a remark why it is left out.
fn add_viewer(args: &Args, outputs: &mut Vec<Formatted>) -> Option<String> {
    let program = args.wireshark.as_ref()?;
    let Err(missing) = viewer::check(program) else {
        outputs.push((Output::Viewer(program.clone()), viewer_format(args)));
        return None;
    };
    let instead = if outputs.is_empty() { ": printing packets instead" } else { "" };
    Some(format!("{}: {missing}{instead}", program.display()))
}

/// Printed packets, where there is no other output.
fn add_printed(args: &Args, outputs: &mut Vec<Formatted>) -> Result<(), clap::Error> {
    if outputs.is_empty() {
        if args.format.is_some() && args.wireshark.is_none() {
            return Err(usage("--format needs an output: --fifo PATH or -w FILE"));
        }
        outputs.push((Output::Stdout, Format::Text(style(args))));
    } else if args.time > 0 || args.hex || args.no_tokens {
        return Err(usage(
            "-t, -x and --no-tokens are for printed packets: leave out --fifo, -w and the like",
        ));
    }
    Ok(())
}

/// Sees that no two options write to the same place, and none to what is read as a port. A report has
/// a page beside it.
pub(super) fn refuse_doubles(
    args: &Args,
    outputs: &[Formatted],
    ports: &[Port],
    report: Option<&Path>,
) -> Result<(), clap::Error> {
    let is_printed = |(output, format): &&Formatted| {
        *output == Output::Stdout && matches!(format, Format::Text(_))
    };
    let mut written: Vec<(String, Output)> = outputs
        .iter()
        .filter(|output| !is_printed(output))
        .map(|(output, _)| (in_words(output), output.clone()))
        .collect();
    let page = report.map(|report| report.with_extension("html"));
    let files = [
        ("--record", args.record.as_deref()),
        ("--report", report),
        ("--report", page.as_deref()),
        ("--log-file", args.log_file.as_deref()),
    ];
    for (option, path) in files {
        let Some(path) = path.filter(|path| *path != Path::new("/dev/null")) else { continue };
        let words = format!("{option} {}", path.display());
        written.push((words, file_at(path)));
    }
    for (i, (two, output)) in written.iter().enumerate() {
        let is_same = |(_, other): &&(String, Output)| is_same_output(output, other);
        if let Some((one, _)) = written[..i].iter().find(is_same) {
            return Err(usage(format!("the same output is named twice: {one} and {two}")));
        }
        let Some(path) = path_of(output) else { continue };
        let is_it = |port: &&Port| is_same_file(&file_of(&port.address), path);
        if let Some(port) = ports.iter().find(is_it) {
            return Err(usage(format!("{}: is the port itself", port.name)));
        }
    }
    Ok(())
}

/// Sees that there is one link type where a format can hold but one.
fn refuse_mixtures(outputs: &[Formatted], ports: &[Port]) -> Result<(), clap::Error> {
    let link_type = |port: &Port| port.protocol.link_type(&port.setup);
    if outputs.iter().any(|(_, format)| *format == Format::Pcap)
        && ports.iter().any(|port| link_type(port) != link_type(&ports[0]))
    {
        return Err(usage(
            "pcap holds one link type; for ports with different link types use --format pcapng",
        ));
    }
    Ok(())
}

/// Sees that `--record` has one port, and a file.
fn refuse_recordings(args: &Args) -> Result<(), clap::Error> {
    let Some(path) = &args.record else { return Ok(()) };
    if path == Path::new("-") {
        return Err(usage("--record takes a file"));
    }
    if args.ports.len() > 1 {
        return Err(usage("--record takes one port"));
    }
    Ok(())
}

/// pcapng unless told otherwise: Wireshark then shows damage and drops.
fn viewer_format(args: &Args) -> Format {
    match args.format {
        Some(FileFormat::Pcap) => Format::Pcap,
        _ => Format::Pcapng,
    }
}

/// What printed packets look like.
fn style(args: &Args) -> Style {
    let time = match args.time {
        0 => TimeStyle::TimeOfDay,
        1 => TimeStyle::None,
        2 => TimeStyle::Epoch,
        3 => TimeStyle::SincePrevious,
        4 => TimeStyle::Date,
        _ => TimeStyle::SinceFirst,
    };
    // https://no-color.org: any value but an empty one.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = !refused && stdio::heeds_sequences(&std::io::stdout());
    Style { time, hex: args.hex, colour, hide_routine: args.no_tokens }
}

/// An output as it was typed.
fn in_words(output: &Output) -> String {
    match output {
        Output::Fifo(path) => format!("--fifo {}", path.display()),
        Output::Unix(path) => format!("--unix {}", path.display()),
        Output::Tcp(address) => format!("--tcp {address}"),
        Output::Http { address, .. } => format!("--http {address}"),
        Output::Pipe(path) | Output::File(path) => format!("-w {}", path.display()),
        Output::Stdout => "-w -".to_owned(),
        #[cfg(all(target_os = "linux", feature = "nats"))]
        Output::Nats(target) => format!("--nats {}", target.address),
        Output::Viewer(program) => format!("--wireshark={}", program.display()),
    }
}

/// Standard output by any of its names.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Whether a path is a pipe that this process was given: `>(program)` of a shell.
fn is_given_pipe(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd"].iter().any(|dir| path.starts_with(dir))
        && path.metadata().is_ok_and(|file| files::is_fifo(&file))
}

/// Where it is, if it has a path.
fn path_of(output: &Output) -> Option<&Path> {
    match output {
        Output::Fifo(path) | Output::Unix(path) | Output::Pipe(path) | Output::File(path) => {
            Some(path)
        }
        #[cfg(all(target_os = "linux", feature = "nats"))]
        Output::Nats(_) => None,
        Output::Tcp(_) | Output::Http { .. } | Output::Stdout | Output::Viewer(_) => None,
    }
}

/// The TCP address that it listens at. Port 0 is another one each time.
fn address_of(output: &Output) -> Option<String> {
    match output {
        Output::Tcp(address) | Output::Http { address, .. } => Some(tcp::with_host(address)),
        _ => None,
    }
    .filter(|address| !address.ends_with(":0"))
}

/// Whether both would write to the same place.
fn is_same_output(one: &Output, other: &Output) -> bool {
    if let (Some(one), Some(other)) = (path_of(one), path_of(other)) {
        return is_same_file(one, other);
    }
    match (address_of(one), address_of(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other && !matches!(one, Output::Tcp(_)),
    }
}

/// Whether both paths lead to the same file, one that exists or one to be made.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().or_else(|_| {
            let directory = path.parent().filter(|parent| *parent != Path::new(""));
            let directory = directory.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, std::io::Error>(directory.join(path.file_name().unwrap_or_default()))
        })
    };
    files::is_same_name(one, other).unwrap_or_else(|| {
        one == other || matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
    })
}

/// The format that was asked for, else what the file's name says, else pcap.
fn format(args: &Args, path: &Path) -> Format {
    let has_extension =
        |name: &str| path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(name));
    match args.format {
        Some(FileFormat::Pcap) => Format::Pcap,
        Some(FileFormat::Pcapng) => Format::Pcapng,
        None if has_extension("pcapng") => Format::Pcapng,
        // One name may be that of many trunks.
        #[cfg(all(target_os = "linux", feature = "nats"))]
        None if args.ports.iter().any(|port| address::is_one(&port.to_string_lossy()))
            && !has_extension("pcap") =>
        {
            Format::Pcapng
        }
        // Only pcapng can tell which packet came from where.
        None if args.ports.len() > 1 && !has_extension("pcap") => Format::Pcapng,
        None => Format::Pcap,
    }
}
