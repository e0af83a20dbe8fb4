//! Which NATS server, as whom, and which trunk there: `nats://[USER[:PASSWORD]@]HOST[:PORT]/SITE.TRUNK`.

use crate::url::Server;
use std::fmt;
use std::path::PathBuf;

/// Characters of the longest name of a site or a trunk.
pub const LONGEST: usize = 64;

/// A server, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Where it is, and as whom it is asked.
    pub server: Server,
    /// Whether TLS is asked for, `tls://`; a server that insists on it gets it in any case.
    pub tls: bool,
    /// A credentials file, as `nsc` makes it: a JWT and a seed.
    pub credentials: Option<PathBuf>,
    /// Certificates (PEM) that the server's may be signed by, instead of those of the system.
    pub authorities: Option<PathBuf>,
}

/// A line among many: of a site, with a name that is unique there. Either may be `*`, all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trunk {
    /// Where it is: letters, digits, `-` and `_`.
    pub site: String,
    /// What it is called there; the same characters.
    pub name: String,
}

/// A trunk on a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The server.
    pub account: Account,
    /// The trunk.
    pub trunk: Trunk,
}

/// Whether something is such an address, and not a path.
pub fn is_one(text: &str) -> bool {
    ["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme))
}

/// An address that may be wrong, as it may be shown: without user and password.
pub fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

impl Account {
    /// Of `nats://` or `tls://`, and what is behind its slash.
    ///
    /// # Errors
    /// What is wrong with it, without the password.
    pub fn parse(url: &str) -> Result<(Self, &str), String> {
        let (tls, rest) = match (url.strip_prefix("nats://"), url.strip_prefix("tls://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("expected nats://[USER@]HOST[:PORT]/SITE.TRUNK".to_owned()),
        };
        let (server, path) = Server::parse(rest, 4222)?;
        if !is_taken(&server) {
            return Err(
                "there can be no such host: expected a name, or an address without %".into()
            );
        }
        Ok((Self { server, tls, credentials: None, authorities: None }, path))
    }
}

/// Whether the client takes it: it knows no zones (`fe80::1%eth0`).
fn is_taken(server: &Server) -> bool {
    #[cfg(all(target_os = "linux", feature = "nats"))]
    return format!("nats://{}", server.place()).parse::<async_nats::ServerAddr>().is_ok();
    #[cfg(not(all(target_os = "linux", feature = "nats")))]
    return !server.host.contains('%');
}

impl Trunk {
    /// Of `SITE.TRUNK`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "a site and a trunk are missing, such as nats://HOST/campus.trunk1";
        let (site, name) = text.split_once('.').ok_or(form)?;
        for word in [site, name] {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if word.is_empty() {
                return Err(form.to_owned());
            }
            if word != "*" && !word.chars().all(is_name) || word.len() > LONGEST {
                return Err(format!(
                    "names of sites and trunks have letters, digits, - and _, {LONGEST} at most: \
                     SITE.TRUNK"
                ));
            }
        }
        Ok(Self { site: site.to_owned(), name: name.to_owned() })
    }

    /// Whether it stands for all trunks, or all sites.
    pub fn is_pattern(&self) -> bool {
        self.site == "*" || self.name == "*"
    }

    /// Whether another one is this trunk, or one of these trunks.
    pub fn has(&self, other: &Self) -> bool {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        fits(&self.site, &other.site) && fits(&self.name, &other.name)
    }

    /// The subject that its packets are published on.
    pub fn subject(&self) -> String {
        format!("serialshark.{}.{}.packets", self.site, self.name)
    }

    /// The trunk whose packets are published on this subject.
    pub fn of_subject(subject: &str) -> Option<Self> {
        let trunk = subject.strip_prefix("serialshark.")?.strip_suffix(".packets")?;
        Self::parse(trunk).ok().filter(|trunk| !trunk.is_pattern())
    }

    /// What the stream that keeps them is called where there was none. No name has a `+`.
    pub fn stream(&self) -> String {
        format!("serialshark+{}+{}", self.site, self.name)
    }

    /// The trunk that a stream of this name keeps.
    pub fn of_stream(name: &str) -> Option<Self> {
        let trunk = name.strip_prefix("serialshark+")?.replacen('+', ".", 1);
        Self::parse(&trunk).ok().filter(|trunk| !trunk.is_pattern())
    }
}

impl Address {
    /// Of `nats://[USER[:PASSWORD]@]HOST[:PORT]/SITE.TRUNK`.
    ///
    /// # Errors
    /// What is wrong with it, without the password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (account, path) = Account::parse(url)?;
        Ok(Self { account, trunk: Trunk::parse(path)? })
    }

    /// Whether another one is this trunk, or one of these trunks.
    pub fn has(&self, other: &Self) -> bool {
        self.account.server.place() == other.account.server.place() && self.trunk.has(&other.trunk)
    }
}

impl fmt::Display for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.site, self.name)
    }
}

/// Without user and password.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "nats" };
        write!(f, "{scheme}://{}", self.server.place())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.trunk)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_says() {
        let address =
            Address::parse("nats://pi:se%2Fcret@hub.example:4333/campus.trunk-1").unwrap();
        assert_eq!(address.account.server.password.as_deref(), Some("se/cret"));
        assert_eq!(address.trunk.subject(), "serialshark.campus.trunk-1.packets");
        assert_eq!(Trunk::of_subject(&address.trunk.subject()), Some(address.trunk.clone()));
        assert_eq!(Trunk::of_stream(&address.trunk.stream()), Some(address.trunk.clone()));
        let shown = format!("{address} {address:?}");
        assert!(shown.starts_with("nats://hub.example:4333/campus.trunk-1 "), "{shown}");
        assert!(!shown.contains("cret") && !shown.contains("pi"), "{shown}");
        let address = Address::parse("tls://[::1]/a.*").unwrap();
        assert!(address.account.tls && address.trunk.is_pattern());
        assert_eq!(address.to_string(), "tls://[::1]:4222/a.*");
    }

    #[test]
    fn streams_of_two_trunks_are_two() {
        let stream = |text| Trunk::parse(text).unwrap().stream();
        assert_ne!(stream("a-b.c"), stream("a.b-c"));
    }

    #[test]
    fn what_is_no_address_is_said_without_the_password() {
        for url in [
            "h",
            "http://h/a.b",
            "nats://u:secret@h",
            "nats://u:secret@h/",
            "nats://u:secret@h/a",
            "nats://u:secret@h/a.b.c",
            "nats://u:secret@h/a.",
            "nats://u:secret@h/.b",
            "nats://u:secret@h/a b.c",
            "nats://u:secret@h/a.>",
            "nats://u:secret@h/a*.b",
            "nats://u:secret@h/ä.b",
            "nats://u:secret@/a.b",
            "nats://u:secret@h:0/a.b",
            "nats://u:secret@h:x/a.b",
            "nats://u:%zzsecret@h/a.b",
            "nats://u:secret@[::1%lo]/a.b",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Trunk::parse(&format!("a.{}", "b".repeat(LONGEST + 1))).is_err());
    }
}
