//! `serialshark service`: a capture for as long as the machine runs, on Windows. Linux has units of
//! systemd for that.

use crate::cli::ServiceCommand;
use crate::error::Error;
#[cfg(not(windows))]
use std::io::Write as _;

/// Does what was asked for, and returns the exit code.
#[cfg(not(windows))]
pub(super) fn run(_command: ServiceCommand) -> u8 {
    let error = Error::new("service", "is for Windows").hint(
        "here it is a unit of systemd: sudo systemctl enable --now serialshark@NAME, which captures \
         what /etc/serialshark/NAME.toml says",
    );
    let _ = writeln!(std::io::stderr(), "serialshark: {error}");
    2
}

#[cfg(windows)]
pub(super) use on_windows::run;

#[cfg(windows)]
mod on_windows {
    use super::{Error, ServiceCommand};
    use crate::cli;
    use crate::logger::Logging;
    use crate::sys::service;
    use log::LevelFilter;
    use std::ffi::{OsStr, OsString};
    use std::io::{self, ErrorKind, Write as _};
    use std::path::{Path, PathBuf};

    /// What the names of all our services begin with.
    const PREFIX: &str = "serialshark-";

    /// Does what was asked for, and returns the exit code.
    pub fn run(command: ServiceCommand) -> u8 {
        let done =
            match command {
                ServiceCommand::Install { config, name } => install(&config, name),
                ServiceCommand::Start { name } => service::start(&full(&name))
                    .map_err(|error| failed(&name, "cannot start", error)),
                ServiceCommand::Stop { name } => {
                    service::stop(&full(&name)).map_err(|error| failed(&name, "cannot stop", error))
                }
                ServiceCommand::Remove { name } => service::remove(&full(&name))
                    .map_err(|error| failed(&name, "cannot remove", error)),
                ServiceCommand::Run { name, config, folder } => serve(name, config, folder),
            };
        match done {
            Ok(()) => 0,
            Err(error) => {
                let _ = writeln!(io::stderr(), "serialshark: {error}");
                1
            }
        }
    }

    fn full(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    fn failed(name: &str, what: &str, error: io::Error) -> Error {
        if error.kind() == ErrorKind::NotFound {
            return Error::new(full(name), "is not installed")
                .hint("install it: serialshark service install --config FILE");
        }
        if error.kind() == ErrorKind::AlreadyExists {
            return Error::new(full(name), "is installed already").hint(format!(
                "remove that one: serialshark service remove {name}; or choose another --name"
            ));
        }
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => {
                "type it in a window with administrator's rights".to_owned()
            }
            // It has ended by itself.
            ErrorKind::Other => match place() {
                Ok(place) => format!("its log: {}", log_of(&place, name).display()),
                Err(error) => return error,
            },
            _ => return Error::new(full(name), what).because(error),
        };
        Error::new(full(name), what).because(error).hint(hint)
    }

    /// The folder of all services.
    fn place() -> Result<PathBuf, Error> {
        let data = std::env::var_os("ProgramData").map(PathBuf::from);
        let data = data.filter(|data| data.is_absolute());
        Ok(data.ok_or_else(|| Error::new("ProgramData", "is not set"))?.join("serialshark"))
    }

    fn log_of(place: &Path, name: &str) -> PathBuf {
        place.join(name).with_added_extension("log")
    }

    fn install(config: &Path, name: Option<String>) -> Result<(), Error> {
        let name = name.map_or_else(|| ServiceCommand::name_of(config), Ok)?;
        // What is wrong in it shows now, and not when nobody looks.
        cli::of_service(config, &name, Path::new("log"))?;
        let place = place()?;
        let cannot = |error| Error::new(place.display(), "cannot make the folder").because(error);
        std::fs::create_dir_all(&place).map_err(cannot)?;
        let config = std::path::absolute(config)
            .map_err(|error| Error::new(config.display(), "has no path").because(error))?;
        let program = std::env::current_exe().map_err(|error| {
            Error::new("serialshark", "cannot find its own file").because(error)
        })?;
        let args: [&OsStr; 8] = [
            "service".as_ref(),
            "run".as_ref(),
            "--name".as_ref(),
            name.as_ref(),
            "--config".as_ref(),
            config.as_ref(),
            "--folder".as_ref(),
            place.as_ref(),
        ];
        let title = format!("serialshark: {name}");
        service::install(&full(&name), &title, program.as_os_str(), &args.map(OsString::from))
            .map_err(|error| failed(&name, "cannot install", error))?;
        let log = log_of(&place, &name);
        let _ = writeln!(
            io::stderr(),
            "serialshark: {}: installed; starts with the machine, its log is {}\n  \
             hint: start it now: serialshark service start {name}",
            full(&name),
            log.display()
        );
        Ok(())
    }

    /// Is the service, until its manager stops it.
    fn serve(name: String, config: PathBuf, folder: PathBuf) -> Result<(), Error> {
        let full = full(&name);
        service::run(move || capture(&name, &config, &folder)).map_err(|error| match error.kind() {
            ErrorKind::NotConnected => Error::new("service run", "is for Windows to call")
                .hint("type: serialshark service start NAME"),
            _ => Error::new(full, "cannot be a service").because(error),
        })
    }

    fn capture(name: &str, config: &Path, folder: &Path) -> u8 {
        // So that in a configuration the name of a file is enough. Fails if it is not there: then
        // the log tells what it cannot open.
        let _ = std::env::set_current_dir(folder);
        let log = log_of(folder, name);
        match cli::of_service(config, name, &log) {
            Ok(request) => crate::command::capture::run(&request),
            Err(error) => {
                if let Ok(logging) = Logging::start(LevelFilter::Info, None, Some(&log)) {
                    logging.fail(&error);
                }
                2
            }
        }
    }
}
