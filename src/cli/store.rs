//! What is asked of a NATS server, and how to be let in: options of a capture, of a report and of a
//! fleet.

use super::{line_of, usage, values};
use crate::nats::address::{Account, Address, Trunk, shown};
use crate::nats::query::{Query, Range};
use crate::output::nats::Keep;
use crate::time::{Timestamp, ns_of};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Of every command that talks to such a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StoreArgs {
    /// Of nats://HOST/SITE.TRUNK: begin so long ago (30m, 2h, 7d), and go on with what comes
    #[arg(long, value_name = "TIME", value_parser = values::duration, conflicts_with = "from")]
    since: Option<Duration>,

    /// Of nats://HOST/SITE.TRUNK: begin at this time: 10:15, "2026-11-28 10:15:00" (local time),
    /// 2026-11-28T10:15:00Z
    #[arg(long, value_name = "TIME", value_parser = values::beginning)]
    from: Option<Timestamp>,

    /// Of nats://HOST/SITE.TRUNK: end at this time
    #[arg(long, value_name = "TIME", value_parser = values::end)]
    to: Option<Timestamp>,

    #[command(flatten)]
    pub(super) keys: KeyArgs,
}

/// What lets in to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyArgs {
    /// Credentials file for the NATS server, as nsc makes it
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<PathBuf>,

    /// The file with the password of USER in nats://USER@HOST
    #[arg(long, value_name = "FILE")]
    nats_password_file: Option<PathBuf>,

    /// Certificates (PEM) of the authorities that the NATS server's certificate is checked against,
    /// instead of those of the system
    #[arg(long, value_name = "FILE")]
    nats_ca: Option<PathBuf>,
}

/// A server as it was typed, in a form that a file keeps, and which of its trunks are wanted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    nats: String,
    #[serde(flatten)]
    keys: KeyArgs,
}

/// When a part of the past that is not named begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usual {
    /// Now: a capture is of what comes.
    Now,
    /// An hour ago: a report is on what was.
    HourAgo,
}

impl StoreArgs {
    /// Whether it is said from when on.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "for a fleet"))]
    pub(super) fn has_beginning(&self) -> bool {
        self.since.is_some() || self.from.is_some()
    }

    /// What is asked of a server for a trunk.
    pub(super) fn query(&self, url: &str, usual: Usual) -> Result<Query, clap::Error> {
        let mut address =
            Address::parse(url).map_err(|why| usage(format!("{}: {why}", shown(url))))?;
        self.keys.let_in(&mut address.account)?;
        Ok(Query { address, range: self.range(usual)? })
    }

    fn range(&self, usual: Usual) -> Result<Range, clap::Error> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_ns(ns_of(now));
        let ago = |time: Duration| now.minus_ns(ns_of(time));
        let hour = (usual == Usual::HourAgo).then(|| ago(Duration::from_secs(3600)));
        let from = self.from.or(self.since.map(ago)).or(hour.filter(|_| self.to.is_none()));
        if let (None, Some(_)) = (from, self.to) {
            return Err(usage("--to needs a beginning: --from TIME or --since TIME"));
        }
        if from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(usage("--from must be before --to"));
        }
        if from.is_some_and(|from| from > now) {
            return Err(usage("--from: this time is still to come"));
        }
        Ok(Range { from, to: self.to, goes_on: usual == Usual::Now })
    }

    /// Sees that there is a server which these are for.
    pub(super) fn check(&self, has_server: bool, has_trunk: bool) -> Result<(), clap::Error> {
        self.keys.check(has_server)?;
        if !has_trunk && (self.since.is_some() || self.from.is_some() || self.to.is_some()) {
            return Err(usage(
                "--since, --from and --to are for nats://HOST/SITE.TRUNK as the port",
            ));
        }
        Ok(())
    }
}

impl KeyArgs {
    /// Adds what lets in to a server's address.
    pub(super) fn let_in(&self, account: &mut Account) -> Result<(), clap::Error> {
        if let Some(path) = &self.nats_password_file {
            if account.server.user.is_none() {
                return Err(usage("--nats-password-file needs a user: nats://USER@HOST"));
            }
            account.server.password = Some(values::password("--nats-password-file", path)?);
        }
        if let Some(path) = &self.nats_creds {
            readable("--nats-creds", path)?;
        }
        if let Some(path) = &self.nats_ca {
            crate::tls::of_file(path).map_err(|why| usage(format!("--nats-ca {why}")))?;
        }
        account.credentials.clone_from(&self.nats_creds);
        account.authorities.clone_from(&self.nats_ca);
        Ok(())
    }

    /// Sees that there is a server which these are for.
    pub(super) fn check(&self, has_server: bool) -> Result<(), clap::Error> {
        if !has_server && *self != Self::default() {
            return Err(usage("--nats-creds, --nats-ca and --nats-password-file need nats://"));
        }
        Ok(())
    }

    /// The files with their full paths: whoever reads them may be elsewhere.
    fn absolute(&self) -> Self {
        let full = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        };
        Self {
            nats_creds: full(&self.nats_creds),
            nats_password_file: full(&self.nats_password_file),
            nats_ca: full(&self.nats_ca),
        }
    }

    fn typed(&self) -> Vec<OsString> {
        let options = [
            ("--nats-creds", &self.nats_creds),
            ("--nats-password-file", &self.nats_password_file),
            ("--nats-ca", &self.nats_ca),
        ];
        let given = options.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
        given.flat_map(|(name, path)| [name.into(), path.into()]).collect()
    }
}

/// Without the password that may be in it.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").finish_non_exhaustive()
    }
}

impl Wanted {
    /// Of `nats://HOST`, all that it has, or `nats://HOST/SITE.TRUNK`.
    pub(super) fn new(url: &str, keys: &KeyArgs) -> Self {
        Self { nats: url.to_owned(), keys: keys.absolute() }
    }

    /// The server, and the trunks there.
    ///
    /// # Errors
    /// What is wrong with its address, or with a file that lets in.
    pub fn resolve(&self) -> Result<Address, String> {
        let (mut account, path) = Account::parse(&self.nats)?;
        let trunk = Trunk::parse(if path.is_empty() { "*.*" } else { path })?;
        self.keys.let_in(&mut account).map_err(line_of)?;
        Ok(Address { account, trunk })
    }

    /// What is typed to capture one trunk of it.
    pub fn typed(&self, trunk: &Trunk) -> Vec<OsString> {
        let path = Account::parse(&self.nats).map_or("", |(_, path)| path);
        let server = self.nats.strip_suffix(path).unwrap_or_default().trim_end_matches('/');
        let mut typed = self.keys.typed();
        typed.extend(["--".into(), format!("{server}/{trunk}").into()]);
        typed
    }
}

/// Sees that a file can be read.
fn readable(option: &str, path: &Path) -> Result<(), clap::Error> {
    std::fs::File::open(path).map(drop).map_err(|error| {
        let why = crate::error::words(error);
        usage(format!("{option} {}: cannot read: {why}", path.display()))
    })
}

/// A time, a size, or both with a comma between them.
pub(super) fn keep(text: &str) -> Result<Keep, &'static str> {
    let mut keep = Keep::default();
    for word in text.split(',') {
        match word.as_bytes().last() {
            Some(b's' | b'm' | b'h' | b'd') => keep.age = values::duration(word)?,
            Some(b'k' | b'K' | b'M' | b'G') => keep.octets = values::file_size(word)?,
            _ => return Err("expected a time, a size or both: 7d,10G"),
        }
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_time_a_size_or_both() {
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(keep("7d,10G"), Ok(Keep { age: week, octets: 10_000_000_000 }));
        assert_eq!(keep("500M"), Ok(Keep { octets: 500_000_000, ..Keep::default() }));
        assert_eq!(keep("2h").map(|keep| keep.age), Ok(Duration::from_secs(7200)));
        for wrong in ["", "7", "7d,", "d", "G", "7d 10G"] {
            keep(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_range_has_a_beginning_before_its_end() {
        let at = |s: u64| Some(Timestamp::from_ns(s * 1_000_000_000));
        let range = |args: StoreArgs, usual| args.range(usual).map_err(|error| error.to_string());
        let none = StoreArgs::default();
        assert_eq!(
            range(none.clone(), Usual::Now),
            Ok(Range { from: None, to: None, goes_on: true })
        );
        let hour = range(none.clone(), Usual::HourAgo).unwrap();
        assert!(hour.from.is_some() && !hour.goes_on);
        let both = StoreArgs { from: at(1), to: at(2), ..none.clone() };
        assert_eq!(range(both, Usual::Now).unwrap().to, at(2));
        let turned = StoreArgs { from: at(2), to: at(1), ..none.clone() };
        assert!(range(turned, Usual::Now).unwrap_err().contains("before"));
        let no_beginning = StoreArgs { to: at(1), ..none.clone() };
        assert!(range(no_beginning, Usual::Now).unwrap_err().contains("--from"));
        let to_come = StoreArgs { from: at(4_000_000_000), ..none };
        assert!(range(to_come, Usual::Now).unwrap_err().contains("to come"));
    }
}
