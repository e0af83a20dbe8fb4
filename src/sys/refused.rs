//! Why a serial port is not to be had now.

use super::holder::Holder;
use super::{shell, tty};
use crate::error::Error;
use std::io;
use std::path::Path;

/// Why a port is not to be had now.
#[derive(Debug)]
pub enum Refused {
    /// It is not there.
    Missing(io::Error),
    /// Another program has it.
    Busy(Option<Holder>),
    /// Something that waiting may mend or not.
    Wrong(Error),
}

impl Refused {
    /// As an error of this port.
    pub fn into_error(self, path: &Path) -> Error {
        let name = path.display();
        match self {
            Self::Missing(error) => {
                Error::new(name, "cannot open").because(error).hint(known_ports())
            }
            Self::Busy(holder) => {
                let error = Error::new(name, "cannot open: another program uses it");
                error.hint(match holder {
                    Some(holder) => format!("{holder} has it open"),
                    None if cfg!(windows) => "close the other program".to_owned(),
                    None => {
                        let path = path.to_string_lossy();
                        format!("find the program with: sudo fuser -v {}", shell::word(&path))
                    }
                })
            }
            Self::Wrong(error) => error,
        }
    }
}

/// The ports of this machine, as a hint.
pub fn known_ports() -> String {
    let ports = tty::list();
    if ports.is_empty() {
        return "no serial port found; try the simulated port: sim:mstp".to_owned();
    }
    let names: Vec<_> = ports.iter().map(|port| port.path.display().to_string()).collect();
    format!("ports found: {}; for more: serialshark ports", names.join(", "))
}
