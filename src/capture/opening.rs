//! Opens all ports and outputs, before the first thread starts.

use super::recording::Recording;
use super::{Config, Output, Port};
use crate::bell::Bell;
use crate::encode::{Format, Interface};
use crate::error::Error;
use crate::output::{Listener, Stream, fifo::Fifo, file, pipe, socket::Socket};
use crate::source::record::Header;
use crate::source::{self, Source, serial};
use crate::wall::WallClock;
use log::Level;
use std::path::Path;
use std::sync::Arc;

/// What is open.
pub struct Opened {
    /// Of each port, in their order.
    pub sources: Vec<Box<dyn Source>>,
    /// Of each port, if it is recorded: the recording, and its file.
    pub recordings: Vec<Option<(Recording, Stream)>>,
    /// Where readers come in.
    pub listeners: Vec<(Box<dyn Listener>, Format)>,
    /// Those that are there from the start.
    pub streams: Vec<(Stream, Format)>,
    /// Why some outputs are not among them.
    pub failed: Vec<Error>,
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

/// Opens all the rest.
///
/// # Errors
/// When a port or a listener cannot be opened, or no output is left.
pub fn open(
    config: &Config,
    mut streams: Vec<(Stream, Format)>,
    wall: &Arc<WallClock>,
    stop: &Arc<Bell>,
) -> Result<Opened, Error> {
    let clock = wall.clock();
    for (output, _) in &config.outputs {
        if let (Output::File(path), None) = (output, config.rotation) {
            file::check(path, config.force)?;
        }
    }
    let (mut sources, mut recordings) = (Vec::new(), Vec::new());
    for port in &config.ports {
        let opening = source::Opening {
            settings: serial::Settings {
                baud: port.setup.baud,
                dtr: port.dtr,
                rts: port.rts,
                same_adapter: config.same_adapter,
            },
            paced: port.paced,
            wait: config.wait,
        };
        let source = source::open(&port.name, opening, clock, Arc::clone(stop))?;
        let recording = match &port.record {
            Some(path) => Some(record(port, source.as_ref(), path, config.force)?),
            None => None,
        };
        sources.push(source);
        recordings.push(recording);
    }
    let mut listeners: Vec<(Box<dyn Listener>, Format)> = Vec::new();
    for (output, format) in &config.outputs {
        match output {
            Output::Pipe(_) => {} // is open
            Output::Fifo(path) => listeners.push((Box::new(Fifo::listen(path)?), *format)),
            Output::Tcp(address) => listeners.push((Box::new(Socket::tcp(address)?), *format)),
            Output::Unix(path) => listeners.push((Box::new(Socket::unix(path)?), *format)),
            Output::Stdout => {
                streams.push((file::stdout(!matches!(format, Format::Text(_)))?, *format))
            }
            Output::File(_) => {} // comes last: it may empty a file
        }
    }
    let mut failed = Vec::new();
    for (output, format) in &config.outputs {
        let Output::File(path) = output else { continue };
        let stream = match config.rotation {
            Some(limits) => file::rotating(path, limits, clock.now()),
            None => file::create(path, config.force),
        };
        match stream {
            Ok(stream) => streams.push((stream, *format)),
            // Where files take turns, a capture is to go on for long: better told at once.
            Err(error) if config.rotation.is_some() => return Err(error),
            Err(error) => failed.push(error),
        }
    }
    if streams.is_empty()
        && listeners.is_empty()
        && let Some(last) = failed.pop()
    {
        failed.iter().for_each(|error| error.log(Level::Error));
        return Err(last);
    }
    // The other outputs go on.
    failed.iter().for_each(|error| error.log(Level::Error));
    Ok(Opened { sources, recordings, listeners, streams, failed })
}

/// A recording of what this port will deliver.
fn record(
    port: &Port,
    source: &dyn Source,
    path: &Path,
    force: bool,
) -> Result<(Recording, Stream), Error> {
    let header = Header {
        protocol: port.protocol.name.to_owned(),
        baud: port.setup.baud,
        channel: port.setup.channel,
        silence_ns: port.setup.silence_ns,
        port: port.name.clone(),
    };
    let file = file::create(path, force)?;
    Ok((Recording::new(file.name(), header.encode(), !source.is_live()), file))
}

/// What headers say about a port.
pub fn interface(port: &Port) -> Interface {
    Interface {
        name: port.name.clone(),
        description: format!("{}, {} baud", port.protocol.help, port.setup.baud),
        baud: port.setup.baud,
        protocol: port.protocol,
        direction: port.direction,
        recorded: port.recorded,
    }
}
