//! The file that a page is written to.

use crate::error::Error;
use crate::output::permissions::Permissions;
use crate::output::report_file;
use crate::report::html::BEGIN;
use crate::sys::files;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

const HINT: &str = "name another file for --html OUT.html";

/// Whether a page may be written to this path: what is no page stays as it is, a capture above all.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    files::check_name(path)?;
    let mut begin = Vec::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Said before a capture of hours is read.
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            return match parent.filter(|parent| !parent.is_dir()) {
                None => Ok(()),
                Some(missing) => {
                    let what = "cannot write: there is no such directory";
                    Err(Error::new(path.display(), what).hint(files::how_to_make(missing)))
                }
            };
        }
        Err(error) => {
            return Err(Error::new(path.display(), "cannot open").because(error).hint(HINT));
        }
        Ok(file) => {
            let metadata = file.metadata();
            if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
                return Err(Error::new(path.display(), "is a directory").hint(HINT));
            }
            if !metadata.is_ok_and(|metadata| metadata.is_file()) {
                return Ok(()); // a pipe, /dev/stdout
            }
            file.take(BEGIN.len() as u64).read_to_end(&mut begin).map_err(|error| {
                Error::new(path.display(), "cannot read").because(error).hint(HINT)
            })?;
        }
    }
    if begin.is_empty() || begin.eq_ignore_ascii_case(BEGIN.as_bytes()) {
        return Ok(());
    }
    Err(Error::new(path.display(), "is not an HTML page, and is not replaced").hint(HINT))
}

/// Writes a page. A file is replaced as a whole: who looks at it sees the old page or the new one.
pub(super) fn write(path: &Path, page: &str) -> Result<(), Error> {
    if !fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return report_file::replace(path, page.as_bytes(), Permissions::default())
            .map_err(|error| error.hint(HINT));
    }
    fs::write(path, page)
        .map_err(|error| Error::new(path.display(), "cannot write").because(error).hint(HINT))
}
