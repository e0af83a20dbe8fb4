//! Opens all ports and outputs, before the threads of a capture start; but for files, which come last.

#[cfg(feature = "http")]
use super::figures::slugs;
use super::reception::Reception;
use super::recognising::{Means, recognise};
use super::recording::Recording;
use crate::config::{Config, Described, Output, Port};
use crate::encode::{Format, Interface};
use crate::error::Error;
use crate::line::Settings;
use crate::output::board::Board;
use crate::output::file::{self, Existing};
#[cfg(feature = "http")]
use crate::output::http::Http;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::output::nats::Publisher;
use crate::output::permissions::Permissions;
use crate::output::trail::Trail;
use crate::output::viewer::{Directory, Viewer};
use crate::output::{self, Listener, Stream, pipe, report_file, tcp::Tcp};
use crate::source::record::Header;
use crate::source::{self, Source};
use crate::sys::{self, Waker};
use crate::time::wall_clock::WallClock;
use crate::time::{MonoClock, Timestamp};
use log::{Level, info};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is open.
pub struct Opened {
    /// The ports, as they were set or recognised.
    pub ports: Vec<Port>,
    /// Of each port, in their order.
    pub sources: Vec<Box<dyn Source>>,
    /// Of each port, if it is recorded: the recording, and its file.
    pub recordings: Vec<Option<(Recording, Stream)>>,
    /// Where readers come in.
    pub places: Places,
    /// Those that are there from the start.
    pub streams: Vec<(Stream, Format)>,
    /// By what the packets of the past can be read, if there is somebody to read them.
    pub trail: Option<Arc<Trail>>,
    /// Where the newest figures are shown, if somebody is to see them.
    pub board: Option<Arc<Board>>,
    /// Those that put streams into a store.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    pub publishers: Vec<Publisher>,
    /// Why some outputs are not among them.
    pub failed: Vec<Error>,
}

/// Where readers come in. Dropped in this order: a FIFO goes before the directory that it is in.
#[derive(Default)]
pub struct Places {
    /// Where they come by themselves.
    pub listeners: Vec<Listening>,
    /// Programs that read there, to be started once all is ready.
    pub viewings: Vec<Viewing>,
}

/// Where readers come in, and what they get.
pub struct Listening {
    /// Where they come in.
    pub listener: Box<dyn Listener>,
    /// What they get.
    pub format: Format,
    /// Whether it is for a program alone that we start.
    pub is_viewers: bool,
}

/// A program that is to show packets, and what it reads.
pub struct Viewing {
    program: OsString,
    fifo: PathBuf,
    /// Removed when the program has ended and the FIFO is gone.
    _directory: Directory,
}

impl Viewing {
    /// Starts it.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn start(&self) -> Result<Viewer, Error> {
        info!("starting {}; serialshark ends when it ends", self.program.display());
        Viewer::start(&self.program, &self.fifo)
    }
}

/// Opens the FIFOs whose reader made them. Waits for it, and until it is there a signal may end
/// the program at once: nothing else has been opened yet that wants to be closed.
///
/// # Errors
/// When one cannot be opened.
pub fn pipes(config: &Config) -> Result<Vec<(Stream, Format)>, Error> {
    let mut streams = Vec::new();
    for (output, format) in &config.outputs {
        if let Output::Pipe(path) = output {
            streams.push((pipe::open(path)?, *format));
        }
    }
    Ok(streams)
}

/// Opens all the rest, but for files. `None` if the end has come before that.
///
/// # Errors
/// When a port or a listener cannot be opened.
pub fn open(
    config: &Config,
    streams: Vec<(Stream, Format)>,
    wall: &Arc<WallClock>,
    stop: &Arc<Waker>,
) -> Result<Option<Opened>, Error> {
    let clock = wall.clock();
    for (output, _) in &config.outputs {
        if let (Output::File(path), None) = (output, &config.rotation) {
            file::check(path, existing(config))?;
        }
    }
    if let Some(reporting) = &config.reporting {
        report_file::check(&reporting.file)?;
    }
    let mut opened = Opened {
        ports: Vec::new(),
        sources: Vec::new(),
        recordings: Vec::new(),
        places: Places::default(),
        streams,
        trail: None,
        board: None,
        #[cfg(all(target_os = "linux", feature = "nats"))]
        publishers: Vec::new(),
        failed: Vec::new(),
    };
    for port in &config.ports {
        #[cfg(all(target_os = "linux", feature = "nats"))]
        if let Some(query) = &port.query {
            match source::nats::open(query, config.wait, config.follows, clock, stop)? {
                Some(trunks) => opened.add_trunks(port, trunks)?,
                None => return Ok(None),
            }
            continue;
        }
        opened.open_port(port, config, clock, stop)?;
    }
    for (output, format) in &config.outputs {
        opened.open_output(output, *format, config, clock.now())?;
    }
    #[cfg(feature = "http")]
    if let Some(board) = &opened.board {
        let names: Vec<_> = opened.ports.iter().map(|port| interface(port).name).collect();
        board.set_lines(slugs(names.iter().map(String::as_str)));
    }
    Ok(Some(opened))
}

/// Whether classic pcap is to hold packets of several link types.
fn has_mixed_pcap(ports: &[Port], outputs: &[(Output, Format)]) -> bool {
    let link_type = |port: &Port| port.protocol.link_type;
    let is_mixed = ports.windows(2).any(|pair| link_type(&pair[0]) != link_type(&pair[1]));
    is_mixed && outputs.iter().any(|(_, format)| *format == Format::Pcap)
}

impl Opened {
    /// Finds out what is spoken on ports that do not say, and opens what has to wait for that: the
    /// files. `false` if the end has come before. Blocks meanwhile.
    ///
    /// # Errors
    /// When a port ended unrecognised, a file cannot be opened, or no output is left.
    pub fn complete(
        &mut self,
        config: &Config,
        reception: &mut Reception<'_>,
        has_listeners: bool,
        means: Means<'_>,
    ) -> Result<bool, Error> {
        let sources = std::mem::take(&mut self.sources);
        let has_file = config.outputs.iter().any(|(output, _)| matches!(output, Output::File(_)));
        let has_more = has_file || has_listeners;
        let (ports, streams) = (&mut self.ports, &mut self.streams);
        match recognise(ports, sources, streams, has_more, reception, means)? {
            Some(sources) => self.sources = sources,
            None => return Ok(false),
        }
        for (port, source) in self.ports.iter().zip(&self.sources) {
            self.recordings.push(match &port.record {
                Some(path) => Some(record(port, source.as_ref(), path, config)?),
                None => None,
            });
        }
        if has_mixed_pcap(&self.ports, &config.outputs) {
            return Err(Error::new("pcap", "holds one link type, and the ports have several")
                .hint("use --format pcapng"));
        }
        for (output, format) in &config.outputs {
            if let Output::File(path) = output {
                self.open_file(path, *format, config, means.clock.now())?;
            }
        }
        let nothing_left = self.streams.is_empty() && !has_listeners;
        let last = if nothing_left { self.failed.pop() } else { None };
        self.failed.iter().for_each(|error| error.log(Level::Error));
        last.map_or(Ok(true), Err)
    }

    fn open_port(
        &mut self,
        port: &Port,
        config: &Config,
        clock: MonoClock,
        stop: &Arc<Waker>,
    ) -> Result<(), Error> {
        let opening = source::Opening {
            settings: Settings {
                line: port.setup.line,
                dtr: port.dtr,
                rts: port.rts,
                same_adapter: config.same_adapter,
            },
            paced: port.paced,
            wait: config.wait,
        };
        let source = source::open(&port.address, opening, clock, Arc::clone(stop))?;
        self.ports.push(port.clone());
        self.sources.push(source);
        Ok(())
    }

    /// Adds what was found of a port that is in a store: a port for each trunk.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    fn add_trunks(&mut self, typed: &Port, trunks: Vec<source::nats::Found>) -> Result<(), Error> {
        let is_alone = trunks.len() == 1;
        for trunk in trunks {
            let described = &trunk.interface;
            let protocol = source::nats::protocol_of(described, Some(typed.protocol));
            let protocol = protocol.ok_or_else(|| {
                let link_type = described.link_type;
                Error::new(&trunk.name, format!("has packets of link type {link_type}"))
                    .hint("a newer serialshark stored them: use that one")
            })?;
            let mut port = Port { protocol, ..typed.clone() };
            if let Some(baud) = described.speed.and_then(|baud| u32::try_from(baud).ok()) {
                port.setup.line.baud = baud;
            }
            let name = described.name.clone().filter(|_| is_alone);
            port.described = Some(Described {
                name: name.unwrap_or_else(|| trunk.name.clone()),
                description: described.description.clone().unwrap_or_default(),
            });
            if !is_alone {
                port.name = trunk.name;
            }
            self.ports.push(port);
            self.sources.push(Box::new(trunk.source));
        }
        Ok(())
    }

    /// Opens an output that is not a file: a file comes last, since that may empty one.
    fn open_output(
        &mut self,
        output: &Output,
        format: Format,
        config: &Config,
        #[allow(unused_variables, reason = "for --nats")] now: Timestamp,
    ) -> Result<(), Error> {
        let listeners = &mut self.places.listeners;
        let mut listen = |listener: Box<dyn Listener>, is_viewers| {
            listeners.push(Listening { listener, format, is_viewers });
        };
        match output {
            Output::Pipe(_) | Output::File(_) => {}
            Output::Fifo(path) => {
                listen(output::fifo(path, config.permissions)?, false);
            }
            #[cfg(feature = "http")]
            Output::Http { address, token } => {
                let board = self.board.get_or_insert_default();
                let http = Http::listen(address, token.as_deref(), board)?;
                listen(Box::new(http), false);
            }
            #[cfg(not(feature = "http"))]
            Output::Http { .. } => {}
            Output::Tcp(address) => listen(Box::new(Tcp::listen(address)?), false),
            Output::Unix(path) => {
                listen(output::unix_socket(path, config.permissions)?, false);
            }
            Output::Stdout => {
                let is_binary = !matches!(format, Format::Text(_));
                self.streams.push((file::stdout(is_binary)?, format));
            }
            #[cfg(all(target_os = "linux", feature = "nats"))]
            Output::Nats(target) => {
                let (publisher, stream) = Publisher::new(target, config.permissions, now)?;
                self.publishers.push(publisher);
                self.streams.push((stream, format));
            }
            Output::Viewer(program) => {
                let directory = Directory::make()?;
                // What a window shows as the name of its interface.
                let name = config.ports.first().map_or_else(String::new, |port| word(&port.name));
                let fifo = directory.join(&name);
                let ours = Permissions { mode: Some(0o600), group: None };
                listen(output::fifo(&fifo, ours)?, true);
                let program = program.clone();
                self.places.viewings.push(Viewing { program, fifo, _directory: directory });
            }
        }
        Ok(())
    }

    /// Opens a capture file, or the first of a set. Without a single file the others go on; a
    /// capture into a file set is to go on for long, so that is better told at once.
    fn open_file(
        &mut self,
        path: &Path,
        format: Format,
        config: &Config,
        now: Timestamp,
    ) -> Result<(), Error> {
        let stream = match &config.rotation {
            Some(rotation) => file::rotating(path, rotation.clone(), now),
            None => file::create(path, existing(config), config.permissions),
        };
        match stream {
            Ok(mut stream) => {
                // Packets of a recording have other times than now.
                let is_wanted = self.board.is_some()
                    && self.trail.is_none()
                    && format == Format::Pcapng
                    && !self.ports.iter().any(|port| port.recorded);
                if is_wanted {
                    self.trail = stream.leave_trail(now);
                }
                self.streams.push((stream, format));
            }
            Err(error) if config.rotation.is_some() => return Err(error),
            Err(error) => self.failed.push(error),
        }
        Ok(())
    }
}

/// What becomes of a capture file that is there already. A service that is started again cannot ask
/// for another name.
fn existing(config: &Config) -> Existing {
    match config.force {
        true => Existing::Replace,
        false if sys::service::is_manager() => Existing::Number,
        false => Existing::Refuse,
    }
}

/// The last part of a name, as far as it makes a file's name that needs no quotes.
fn word(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let word: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .take(64)
        .collect();
    if word.trim_matches(['.', '-']).is_empty() { "serialshark".to_owned() } else { word }
}

/// A recording of what this port will deliver.
fn record(
    port: &Port,
    source: &dyn Source,
    path: &Path,
    config: &Config,
) -> Result<(Recording, Stream), Error> {
    let header = Header {
        protocol: port.protocol.name.to_owned(),
        line: port.setup.line,
        channel: port.setup.channel,
        settings: port
            .setup
            .values
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        silence_ns: port.setup.silence_ns,
        port: port.name.clone(),
    };
    let existing = if config.force { Existing::Replace } else { Existing::Number };
    let file = file::create(path, existing, config.permissions)?;
    Ok((Recording::new(file.name(), header.encode(), !source.is_live()), file))
}

/// What headers say about a port.
pub fn interface(port: &Port) -> Interface {
    let described = port.described.clone().unwrap_or_else(|| Described {
        name: port.name.clone(),
        description: format!("{}, {}", port.protocol.help, port.setup.line),
    });
    Interface {
        name: described.name,
        description: described.description,
        line: port.setup.line,
        protocol: port.protocol,
        link_type: port.protocol.link_type(&port.setup),
        direction: port.direction,
        recorded: port.recorded,
    }
}
