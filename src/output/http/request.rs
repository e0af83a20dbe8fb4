//! Who is answered: the host that a request names, its token, and what it asks for.

use crate::error::Error;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{HeaderMap, Uri};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Octets of a token, at least: what cannot be guessed.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=1024;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No host, or several.
    NoHost,
    /// A name that anybody may give to this machine's address, so that a page of theirs could read
    /// what is here (DNS rebinding).
    StrangeHost,
    /// Without the token, or with another one.
    NoToken,
}

/// Knows whom to let in.
pub struct Gatekeeper {
    token: Option<Vec<u8>>,
    /// The machine's own name.
    hostname: String,
}

impl Gatekeeper {
    /// With the token in this file, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, is short, or has characters that a URL cannot hold.
    pub fn new(token: Option<&Path>) -> Result<Self, Error> {
        let hostname = crate::sys::process::hostname().unwrap_or_default();
        let token = token.map(read_token).transpose()?;
        Ok(Self { token, hostname })
    }

    /// Whether this request may be answered; a `public` one needs no token.
    ///
    /// # Errors
    /// When it may not.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap, public: bool) -> Result<(), Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::NoHost) };
        let host = host.to_str().map_err(|_| Refusal::NoHost)?;
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
            .or_else(|| query(uri, "token").map(str::as_bytes));
        match &self.token {
            // A page of somebody else does not know the token, whatever the host is called.
            Some(token) if given.is_some_and(|given| is_same(given, token)) => Ok(()),
            Some(_) if !public => Err(Refusal::NoToken),
            _ if self.is_ours(host) => Ok(()),
            _ => Err(Refusal::StrangeHost),
        }
    }

    /// Whether it is an address, or a name that others cannot give.
    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let own = self.hostname.to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || !own.is_empty() && (name == own || name == format!("{own}.local"))
    }
}

fn read_token(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display();
    let cannot = |error| {
        let hint = "--http-token takes a file that holds the token";
        Error::new(&name, "cannot read").because(error).hint(hint)
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut token = Vec::new();
    file.take(*TOKEN.end() as u64 + 2).read_to_end(&mut token).map_err(cannot)?;
    let token = token.trim_ascii().to_vec();
    let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~".contains(octet);
    if !TOKEN.contains(&token.len()) || !token.iter().all(is_plain) {
        return Err(Error::new(name, "holds no token")
            .hint("16 letters and digits or more: openssl rand -hex 16 > FILE"));
    }
    Ok(token)
}

/// The token in a header: the word before it may be written in any letters (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Takes as long wherever the first difference is.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differences = given.iter().zip(token).fold(0, |sum, (one, other)| sum | (one ^ other));
    given.len() == token.len() && std::hint::black_box(differences) == 0
}

/// A value in the query.
pub fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
}

/// A length of time: `90`, `90s`, `10m`, `2h`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit_s) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3600),
        _ => (text, 1),
    };
    Some(Duration::from_secs(number.parse::<u32>().ok()? as u64 * unit_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gatekeeper(token: Option<&[u8]>) -> Gatekeeper {
        Gatekeeper { token: token.map(<[u8]>::to_vec), hostname: "Pi".to_owned() }
    }

    fn admit(gatekeeper: &Gatekeeper, host: &str, uri: &str, token: &str) -> Result<(), Refusal> {
        admit_to(gatekeeper, host, uri, token, false)
    }

    fn admit_to(
        gatekeeper: &Gatekeeper,
        host: &str,
        uri: &str,
        token: &str,
        public: bool,
    ) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a value"));
        if !token.is_empty() {
            headers.insert(AUTHORIZATION, token.parse().expect("a value"));
        }
        gatekeeper.admit(&uri.parse().expect("a URI"), &headers, public)
    }

    #[test]
    fn only_hosts_that_are_ours_are_answered() {
        let open = gatekeeper(None);
        let good = ["127.0.0.1:8080", "[::1]:80", "localhost", "10.1.2.3", "pi", "PI.local:8080"];
        for host in good {
            assert_eq!(admit(&open, host, "/", ""), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "pi.evil.example", "", "local"] {
            assert_eq!(admit(&open, host, "/", ""), Err(Refusal::StrangeHost), "{host}");
        }
        let none = open.admit(&Uri::from_static("/"), &HeaderMap::new(), false);
        assert_eq!(none, Err(Refusal::NoHost));
    }

    #[test]
    fn with_a_token_only_who_knows_it() {
        let guarded = gatekeeper(Some(b"0123456789abcdef"));
        let bearer = "Bearer 0123456789abcdef";
        assert_eq!(admit(&guarded, "any.example", "/", bearer), Ok(()));
        assert_eq!(admit(&guarded, "any.example", "/", &bearer.to_lowercase()), Ok(()));
        assert_eq!(admit(&guarded, "x", "/?a=b&token=0123456789abcdef", ""), Ok(()));
        // What is public needs none, at a host that is ours; with it any will do.
        assert_eq!(admit_to(&guarded, "pi", "/healthz", "", true), Ok(()));
        assert_eq!(admit_to(&guarded, "any.example", "/healthz", bearer, true), Ok(()));
        let refused = admit_to(&guarded, "any.example", "/healthz", "", true);
        assert_eq!(refused, Err(Refusal::StrangeHost));
        for (uri, header) in [
            ("/", ""),
            ("/?token=", ""),
            ("/?token=0123456789abcde", ""),
            ("/?token=0123456789abcdef0", ""),
            ("/", "Bearer 0123456789abcdeF"),
            ("/", "Basic 0123456789abcdef"),
        ] {
            let refused = admit(&guarded, "127.0.0.1", uri, header);
            assert_eq!(refused, Err(Refusal::NoToken), "{uri} {header}");
        }
    }

    #[test]
    fn lengths_of_time() {
        let seconds = |text| duration(text).map(|it| it.as_secs());
        assert_eq!(["90", "90s", "10m", "2h"].map(seconds), [90, 90, 600, 7200].map(Some));
        assert_eq!(["", "m", "-1", "1d", "10 m", "é"].map(seconds), [None; 6]);
    }
}
