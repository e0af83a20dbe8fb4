//! `serialshark check-config`: what a configuration file says, before the service reads it.
//!
//! Opens no port and writes nothing, so it can be asked while the service runs.

use super::{Request, command, with_file};
use crate::capture::{Output, Port};
use crate::encode::Format;
use crate::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

const HELP: &str = "\
Says what configuration files ask for, or what is wrong with them

Usage: serialshark check-config FILE...

Nothing is opened but the files, and nothing is written. Exit status: 0 all are right, 1 one is
not, 2 wrong usage. A port that is called check-config is ./check-config.
";

/// Answers if the user asked for it: the exit code. `None` if the arguments are an ordinary
/// command line.
pub fn check(args: &[OsString]) -> Option<u8> {
    let (first, files) = args.split_first()?;
    (first == "check-config").then(|| look_at(files))
}

fn look_at(files: &[OsString]) -> u8 {
    if let [option] = files
        && (option == "-h" || option == "--help")
    {
        // Fails when nobody wants to know.
        let _ = io::stdout().write_all(HELP.as_bytes());
        return 0;
    }
    let refuse = |error| {
        let _ = writeln!(io::stderr(), "serialshark: {error}");
    };
    if files.is_empty() || files.iter().any(|file| file.to_string_lossy().starts_with('-')) {
        refuse(
            Error::new("check-config", "takes the names of files")
                .hint("serialshark check-config /etc/serialshark/*.toml"),
        );
        return 2;
    }
    let mut exit_code = 0;
    for path in files.iter().map(Path::new) {
        match ask(path) {
            Ok(request) => {
                let _ = writeln!(io::stdout(), "{}: ok: {}", path.display(), said(&request));
            }
            Err(error) => {
                refuse(error);
                exit_code = 1;
            }
        }
    }
    exit_code
}

/// What `--config FILE` alone asks for.
fn ask(path: &Path) -> Result<Request, Error> {
    let typed = [OsString::from("serialshark"), "--config".into(), path.into()];
    let given = command().try_get_matches_from(&typed);
    let given = given.map_err(|error| Error::new(path.display(), error.kind()))?;
    with_file(path, &typed, &given)
}

fn said(request: &Request) -> String {
    let port = |port: &Port| {
        format!("{} from {} at {} baud", port.protocol.name, port.name, port.setup.baud)
    };
    let output = |(output, format): &(Output, Format)| match output {
        Output::Fifo(path) | Output::Pipe(path) => format!("FIFO {}", path.display()),
        Output::Tcp(address) => format!("TCP {address}"),
        Output::Unix(path) => format!("socket {}", path.display()),
        Output::File(path) => format!("file {}", path.display()),
        Output::Stdout if matches!(format, Format::Text(_)) => {
            "a line per packet, unless the command line names an output".to_owned()
        }
        Output::Stdout => "standard output".to_owned(),
    };
    let config = &request.config;
    let ports: Vec<_> = config.ports.iter().map(port).collect();
    let outputs: Vec<_> = config.outputs.iter().map(output).collect();
    format!("reads {}; writes {}", ports.join(", "), outputs.join(", "))
}
