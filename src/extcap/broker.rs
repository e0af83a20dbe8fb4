//! A NATS server whose trunks are interfaces too.
//!
//! Its address is in a file of the user's that nobody else can read, since a password may be in it:
//! Wireshark's calls cannot name it, and a command line is seen by all. Wireshark asks for the list at
//! each start, so the server is asked for a short time only, and one that does not answer costs no more
//! than its own trunks.

use super::install;
use crate::cli::Wanted;
use crate::error::Error;
use crate::nats::address::{Account, Address, Trunk};
use crate::nats::connection::Connection;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the server may take for its list.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The file, whether it is there or not.
fn file() -> Result<PathBuf, Error> {
    Ok(install::settings()?.join("serialshark/extcap.toml"))
}

/// What the user wants; `None` if nothing was ever said.
///
/// # Errors
/// When that cannot be read.
pub fn wanted() -> Result<Option<Wanted>, Error> {
    // Without a home there is no file.
    let Ok(path) = file() else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| Error::new(path.display(), "cannot read").because(error))?,
    };
    // What the parser says may quote the password.
    let wanted = toml::from_str(&text).map_err(|_| {
        Error::new(path.display(), "is not what --install --nats writes").hint("install again")
    })?;
    Ok(Some(wanted))
}

/// Keeps it, and returns where.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(wanted: &Wanted) -> Result<PathBuf, Error> {
    let path = file()?;
    let cannot = |error: io::Error| Error::new(path.display(), "cannot write").because(error);
    let text = toml::to_string(wanted).map_err(|error| cannot(io::Error::other(error)))?;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    // Replaced as a whole: an earlier one may be readable for others.
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    write(&new, &text)
        .and_then(|()| std::fs::rename(&new, &path))
        .inspect_err(|_| drop(std::fs::remove_file(&new)))
        .map_err(cannot)?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Forgets it, and returns where it was; `None` if it was nowhere.
///
/// # Errors
/// When the file cannot be removed.
pub fn forget() -> Result<Option<PathBuf>, Error> {
    let path = file()?;
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::new(path.display(), "cannot remove").because(error)),
    }
    // Only if nothing else is in it.
    let _ = path.parent().map(std::fs::remove_dir);
    Ok(Some(path))
}

/// The server, and which of the wanted trunks it has. Takes a second or two at most.
///
/// # Errors
/// Why that cannot be told.
pub fn trunks(wanted: &Wanted) -> Result<(Account, Vec<Trunk>), Error> {
    let Address { account, trunk } =
        wanted.resolve().map_err(|why| Error::new("extcap --nats", why))?;
    let cannot = |why: String| Error::new(&account, format!("its trunks are not listed: {why}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cannot(error.to_string()))?;
    let asked = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, async {
            Connection::open(&account).await?.trunks(&trunk).await
        })
        .await
    });
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    let found = asked.unwrap_or_else(|_| Err("it does not answer".to_owned())).map_err(cannot)?;
    Ok((account, found))
}
