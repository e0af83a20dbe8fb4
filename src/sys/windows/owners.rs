//! Groups, and who may open what: on Windows what is made inherits that from its directory.

use std::io;

/// What is said of a group.
pub const NO_GROUP: &str = "there are no groups for files on Windows";

/// Gives group and mode to a file: there is neither.
///
/// # Errors
/// When one of them is wanted.
pub fn set<T>(_node: &T, group: Option<u32>, mode: Option<u32>) -> io::Result<()> {
    if group.is_some() || mode.is_some() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "not on Windows"));
    }
    Ok(())
}

/// The number of a group: there is none.
pub fn group(_text: &str) -> Option<u32> {
    None
}

/// The name of a group.
pub fn group_name(gid: u32) -> String {
    gid.to_string()
}

/// The group of the user who has made us root by sudo(8): nobody has.
pub fn group_behind_sudo() -> Option<u32> {
    None
}
