//! Which broker, as whom, and below which topic.

use crate::url::Server;
use serde_json::json;
use std::fmt;
use std::path::PathBuf;

/// Octets of the longest prefix; a topic may have 65535.
const LONGEST: usize = 512;
/// Whether this program can speak TLS to a broker.
const HAS_TLS: bool = cfg!(target_os = "linux");

/// A broker, and what to do there. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    /// Where it is, and as whom it is asked.
    pub server: Server,
    /// Whether it is spoken to through TLS.
    pub tls: bool,
    /// Certificates (PEM) that the broker's may be signed by, instead of those of the system.
    pub authorities: Option<PathBuf>,
    /// The number of the port whose line it is told of.
    pub port: usize,
    /// All topics are below it.
    pub prefix: String,
    /// Whether Home Assistant is told what there is.
    pub discovery: bool,
}

impl Broker {
    /// Of `mqtt://[USER[:PASSWORD]@]HOST[:PORT]/PREFIX`, or `mqtts://` for TLS; else what is wrong,
    /// without the password.
    ///
    /// # Errors
    /// When it is not of this form, and for TLS where there is none.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (tls, rest) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) if HAS_TLS => (true, rest),
            (_, Some(_)) => {
                return Err("TLS works on Linux alone so far: use a broker on this machine, \
                            mqtt://, that passes it on"
                    .to_owned());
            }
            _ => {
                return Err("expected mqtt://[USER@]HOST[:PORT]/PREFIX, or mqtts:// for TLS".into());
            }
        };
        // The ports that IANA has for mqtt and secure-mqtt.
        let (server, prefix) = Server::parse(rest, if tls { 8883 } else { 1883 })?;
        check_prefix(prefix)?;
        let prefix = prefix.to_owned();
        Ok(Self { server, tls, authorities: None, port: 0, prefix, discovery: false })
    }

    /// This topic below the prefix.
    pub fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// What is told at each connection: topics and texts, retained.
    pub(super) fn greetings(&self) -> Vec<(String, String)> {
        let mut greetings = vec![(self.topic("status"), "online".to_owned())];
        if self.discovery {
            greetings.extend([
                self.sensor("grade", "Grade", None),
                self.sensor("loop_ms", "Loop time", Some("ms")),
                self.sensor("errors_per_min", "Errors a minute", Some("1/min")),
            ]);
        }
        greetings
    }

    /// What Home Assistant needs to know of one sensor, and where it looks for that.
    fn sensor(&self, topic: &str, name: &str, unit: Option<&str>) -> (String, String) {
        // What may be in the name of a node there; told apart by the octets of what may not.
        let slug: String = self.prefix.bytes().map(slug).collect();
        let mut config = json!({
            "name": name,
            "unique_id": format!("serialshark_{slug}_{topic}"),
            "state_topic": self.topic(topic),
            "availability_topic": self.topic("status"),
            "payload_available": "online",
            "payload_not_available": "offline",
            "device": {
                "identifiers": [format!("serialshark_{slug}")],
                "name": format!("serialshark {}", self.prefix),
                "manufacturer": "serialshark",
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
        });
        if let Some(unit) = unit {
            config["unit_of_measurement"] = unit.into();
            config["state_class"] = "measurement".into();
        }
        (format!("homeassistant/sensor/serialshark_{slug}/{topic}/config"), config.to_string())
    }
}

fn slug(octet: u8) -> String {
    match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(octet).to_string(),
        b'/' => "_".to_owned(),
        other => format!("-{other:02x}"),
    }
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.is_empty() {
        return Err("a prefix for the topics is missing, such as mqtt://HOST/site/trunk1".into());
    }
    if prefix.contains(['+', '#']) || prefix.chars().any(char::is_control) {
        return Err("a prefix has no wildcards (+, #) and no control characters".into());
    }
    if prefix.starts_with('$') || prefix.split('/').any(str::is_empty) || prefix.len() > LONGEST {
        return Err(
            "a prefix is at most 512 bytes long, does not begin with $, and has something \
                    between its slashes and at its end"
                .into(),
        );
    }
    Ok(())
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}/{}", self.server.place(), self.prefix)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says() {
        let broker = Broker::parse("mqtt://me:p%40:ss@10.0.0.1:1884/site/trunk 1").unwrap();
        assert_eq!((broker.server.host.as_str(), broker.server.port), ("10.0.0.1", 1884));
        assert_eq!(
            (broker.server.user.as_deref(), broker.server.password.as_deref()),
            (Some("me"), Some("p@:ss"))
        );
        assert_eq!(broker.topic("report"), "site/trunk 1/report");
        assert!(!format!("{broker} {broker:?}").contains("ss@"));
        let broker = Broker::parse("mqtt://[::1]/a@b").unwrap();
        assert_eq!(
            (broker.to_string().as_str(), broker.server.user),
            ("mqtt://[::1]:1883/a@b", None)
        );
    }

    #[test]
    fn tls_is_asked_for_by_the_scheme() {
        let parsed = Broker::parse("mqtts://u:secret@h/p");
        if !HAS_TLS {
            return assert!(!parsed.unwrap_err().contains("secret"));
        }
        let broker = parsed.unwrap();
        assert!(broker.tls && broker.server.port == 8883);
        assert_eq!(broker.to_string(), "mqtts://h:8883/p");
    }

    #[test]
    fn what_is_no_url_is_said_without_the_password() {
        for url in [
            "h",
            "http://h/p",
            "mqtts://u:secret@h",
            "mqtt://u:secret@h",
            "mqtt://h/",
            "mqtt:///p",
            "mqtt://h:0/p",
            "mqtt://h:secret/p",
            "mqtt://h/a/+/b",
            "mqtt://h/#",
            "mqtt://h//a",
            "mqtt://h/a/",
            "mqtt://h/$SYS",
            "mqtt://h/a\nb",
            "mqtt://u:%+2secret@h/p",
            "mqtt://%zz@h/p",
        ] {
            let error = Broker::parse(url).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Broker::parse(&format!("mqtt://h/{}", "a".repeat(LONGEST + 1))).is_err());
    }

    #[test]
    fn sensors_of_two_trunks_are_two() {
        let mut broker = Broker::parse("mqtt://h/site/trunk1").unwrap();
        assert_eq!(broker.greetings().len(), 1);
        broker.discovery = true;
        let (topic, config) = broker.greetings().remove(2);
        assert_eq!(topic, "homeassistant/sensor/serialshark_site_trunk1/loop_ms/config");
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["state_topic"], "site/trunk1/loop_ms");
        let other = Broker { prefix: "site/trunk-1".to_owned(), ..broker };
        assert_ne!(other.greetings()[2].0, topic);
    }
}
