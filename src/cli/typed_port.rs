//! A port as it was typed, `[PROTOCOL:]PORT[=in|=out][,SETTING=VALUE...]`, taken apart.
//!
//! A port may be called anything, so the whole name comes first: what is there by that name is
//! meant, and only if nothing is, prefix and suffixes are looked for. A comma in a value stands for
//! itself, unless a name and `=` follow it: then it is `\,`.

use super::settings::Settings;
use super::usage;
use crate::encode::Direction;
use crate::framing::{Protocol, protocol};
use crate::source::sim::Fault;
use crate::sys::{files, os_string};
use clap::{CommandFactory as _, Parser, ValueEnum};
use std::ffi::{OsStr, OsString};

/// What may stand behind a port's name.
#[derive(Debug, Parser)]
struct Suffixes {
    #[command(flatten)]
    settings: Settings,

    /// Which direction of a full-duplex line it is
    #[arg(long, value_enum)]
    direction: Option<OneWay>,

    /// What is wrong with a simulated trunk
    #[arg(long)]
    fault: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OneWay {
    In,
    Out,
}

impl From<OneWay> for Direction {
    fn from(way: OneWay) -> Self {
        match way {
            OneWay::In => Self::Inbound,
            OneWay::Out => Self::Outbound,
        }
    }
}

/// The names of all settings that a port may have.
pub(super) fn setting_names() -> Vec<String> {
    let command = Suffixes::command();
    let names = command.get_arguments().filter_map(|arg| arg.get_long());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// A port with settings as it would be typed.
pub(super) fn with_settings(name: &str, settings: &[(String, String)]) -> String {
    let words = settings.iter().map(|(key, value)| format!(",{key}={}", value.replace(',', "\\,")));
    words.fold(name.to_owned(), |typed, word| typed + &word)
}

/// A port, taken apart.
pub(super) struct TypedPort {
    pub(super) name: OsString,
    /// Named before it or behind it.
    pub(super) protocol: Option<&'static Protocol>,
    pub(super) direction: Option<Direction>,
    /// Behind its name.
    pub(super) settings: Settings,
}

impl TypedPort {
    pub(super) fn parse(typed: &OsStr) -> Result<Self, clap::Error> {
        let shown = typed.display();
        let (name, suffixes) = split_suffixes(typed)?;
        let faulty = suffixes.fault.as_deref().map(|fault| faulty(name, fault)).transpose()?;
        let (name, direction) = split_direction(faulty.as_deref().unwrap_or(name));
        if direction.is_some() && suffixes.direction.is_some() {
            return Err(usage(format!("{shown}: names two directions")));
        }
        let behind = suffixes.settings.protocol.as_deref().and_then(protocol);
        let (before, name) = split_protocol(name);
        if before.is_some() && behind.is_some() {
            return Err(usage(format!("{shown}: names two protocols")));
        }
        Ok(Self {
            name: os_string(name),
            protocol: before.or(behind),
            direction: suffixes.direction.or(direction).map(Direction::from),
            settings: suffixes.settings,
        })
    }
}

/// A port's name, and the settings behind it.
fn split_suffixes(typed: &OsStr) -> Result<(&[u8], Suffixes), clap::Error> {
    let shown = typed.display();
    let mut name = typed.as_encoded_bytes();
    let mut words = Vec::new();
    while !is_there(name) {
        let Some((before, key, word)) = split_setting(name) else { break };
        if !setting_names().iter().any(|known| known.as_bytes() == key) {
            let key = String::from_utf8_lossy(key);
            let known = setting_names().join(", ");
            return Err(usage(format!("{shown}: unknown setting {key}; the settings are {known}")));
        }
        let word = [b"--".as_slice(), &unescaped(word)].concat();
        words.insert(0, os_string(&word));
        name = before;
    }
    let suffixes = Suffixes::try_parse_from([OsString::new()].into_iter().chain(words));
    let suffixes = suffixes.map_err(|error| usage(format!("{shown}: {}", in_a_line(&error))))?;
    Ok((name, suffixes))
}

/// A port's name without `=in` or `=out`, and which of them it had.
fn split_direction(name: &[u8]) -> (&[u8], Option<OneWay>) {
    if is_there(name) {
        return (name, None);
    }
    let ways = [(b"=in".as_slice(), OneWay::In), (b"=out".as_slice(), OneWay::Out)];
    let found = ways.into_iter().find_map(|(suffix, way)| Some((name.strip_suffix(suffix)?, way)));
    found.map_or((name, None), |(before, way)| (before, Some(way)))
}

/// The protocol before a port's name, and the name without it.
fn split_protocol(name: &[u8]) -> (Option<&'static Protocol>, &[u8]) {
    let colon = name.iter().position(|octet| *octet == b':').filter(|_| !is_there(name));
    let split = colon.and_then(|at| {
        let named = protocol(std::str::from_utf8(&name[..at]).ok()?)?;
        Some((Some(named), &name[at + 1..]))
    });
    split.unwrap_or((None, name))
}

/// The name of the simulated trunk with a fault.
fn faulty(name: &[u8], fault: &str) -> Result<Vec<u8>, clap::Error> {
    if name != b"sim:mstp" {
        return Err(usage("fault= is for sim:mstp alone"));
    }
    if Fault::named(fault).is_none() {
        let known = Fault::ALL.map(|(name, _)| name).join(", ");
        return Err(usage(format!("no fault {fault}; there are {known}")));
    }
    Ok(format!("sim:mstp,fault={fault}").into_bytes())
}

/// Whether there is anything by this name.
pub(super) fn is_there(name: &[u8]) -> bool {
    let path = name.strip_prefix(b"unix:").unwrap_or(name);
    let path = os_string(path);
    // Not looked for in the file system, which would open it.
    files::is_device(&path) || std::fs::exists(path).unwrap_or(false)
}

/// The last `,KEY=VALUE` of a name: what is before it, its key, and both key and value.
fn split_setting(name: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_comma = |at: &usize| name[*at] == b',' && (*at == 0 || name[*at - 1] != b'\\');
    (0..name.len()).rev().filter(is_comma).find_map(|at| {
        let word = &name[at + 1..];
        let key = &word[..word.iter().position(|octet| *octet == b'=')?];
        let is_word = key.first().is_some_and(u8::is_ascii_lowercase)
            && key.iter().all(|octet| octet.is_ascii_lowercase() || *octet == b'-');
        is_word.then_some((&name[..at], key, word))
    })
}

fn unescaped(word: &[u8]) -> Vec<u8> {
    let is_escape = |at: usize| word[at] == b'\\' && word.get(at + 1) == Some(&b',');
    (0..word.len()).filter(|at| !is_escape(*at)).map(|at| word[at]).collect()
}

/// What clap says, without what is about the whole command line.
fn in_a_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}
