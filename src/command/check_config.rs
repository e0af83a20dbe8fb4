//! `serialshark check-config`: what a configuration file says, before the service reads it.
//!
//! Opens no port and writes nothing, so it can be asked while the service runs.

use crate::cli::{self, Request};
use crate::config::{Output, Port};
use crate::encode::Format;
use crate::source;
use crate::sys::tty;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Looks at these files, and returns the exit code.
pub(super) fn run(files: &[PathBuf]) -> u8 {
    let mut exit_code = 0;
    for path in files {
        match cli::of_file(path) {
            Ok(request) => {
                let _ = writeln!(io::stdout(), "{}: ok: {}", path.display(), said(&request));
                for port in request.config.ports.iter().filter(|port| is_missing(port)) {
                    let _ = writeln!(
                        io::stderr(),
                        "serialshark: warn: {}: {} is not there now",
                        path.display(),
                        port.name
                    );
                }
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "serialshark: {error}");
                exit_code = 1;
            }
        }
    }
    exit_code
}

/// Whether a port that has a path is not there.
fn is_missing(port: &Port) -> bool {
    let is_path = port.address != "-" && source::scheme(&port.address).is_none();
    is_path && !tty::exists(Path::new(&port.address))
}

fn said(request: &Request) -> String {
    let port =
        |port: &Port| format!("{} from {} at {}", port.protocol.name, port.name, port.setup.line);
    let output = |(output, format): &(Output, Format)| match output {
        Output::Fifo(path) | Output::Pipe(path) => format!("FIFO {}", path.display()),
        Output::Http { address, .. } => format!("HTTP {address}"),
        Output::Tcp(address) => format!("TCP {address}"),
        Output::Unix(path) => format!("socket {}", path.display()),
        Output::File(path) => format!("file {}", path.display()),
        Output::Stdout if matches!(format, Format::Text(_)) => {
            "a line per packet, unless the command line names an output".to_owned()
        }
        Output::Stdout => "standard output".to_owned(),
        #[cfg(all(target_os = "linux", feature = "nats"))]
        Output::Nats(target) => target.address.to_string(),
        Output::Viewer(program) => program.display().to_string(),
    };
    let config = &request.config;
    let ports: Vec<_> = config.ports.iter().map(port).collect();
    let outputs: Vec<_> = config.outputs.iter().map(output).collect();
    let said = format!("reads {}; writes {}", ports.join(", "), outputs.join(", "));
    #[cfg(feature = "mqtt")]
    if !config.mqtt.is_empty() {
        let brokers: Vec<_> = config.mqtt.iter().map(ToString::to_string).collect();
        return format!("{said}; tells {}", brokers.join(", "));
    }
    said
}
