//! The address of a server: `[USER[:PASSWORD]@]HOST[:PORT]/PATH`, what is behind `mqtt://` or
//! `nats://` (RFC 3986, section 3.2). Pure. What is said of a wrong one never has the password in it.

/// A server, and who asks there.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address, an IPv6 one without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Who asks, if it wants to know.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<String>,
}

impl Server {
    /// Of what is behind `://`, and the path behind its slash; the port is `usual` unless named.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(rest: &str, usual: u16) -> Result<(Self, &str), String> {
        // A password may have a slash or an @ in it, a host has none; a path may have an @.
        let user_end = rest.find('/').map_or(rest, |slash| &rest[..slash]).rfind('@');
        let (login, rest) = match user_end {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(place, usual).ok_or("expected HOST or HOST:PORT")?;
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, "")) => (Some(decoded(user)?), None),
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
            None => (None, None),
        };
        Ok((Self { host, port, user, password }, path))
    }

    /// `HOST:PORT`.
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn host_and_port(place: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(six) => {
            let (host, rest) = six.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    (!host.is_empty() && host.chars().all(is_host)).then(|| (host.to_owned(), port))
}

/// `%40` is an `@`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "a % in a user or password is written as %25".to_owned();
    let mut pieces = text.split('%');
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        octets.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        octets.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(octets).map_err(|_| wrong())
}
