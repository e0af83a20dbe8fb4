//! A configuration file: TOML in, arguments out, which the command line's own parser then reads.
//! So what is allowed, and what it means, is decided in one place.
//!
//! The keys are the long options' names, found by asking clap; and `port` or `ports` for the
//! ports, each a string, or a table with its name and its own settings (`[[port]]`). What may be
//! repeated takes a list, a switch takes `true` or `false`, and `verbose` and `quiet` take a number.

use super::args::Args;
use super::typed_port::{setting_names, with_settings};
use crate::error::Error;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, parser::ValueSource};
use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How often a counted option such as `verbose` may be asked for.
const MOST: u8 = 9;

/// What a file says, one entry for each key.
#[derive(Debug)]
pub(super) struct File {
    name: String,
    entries: Vec<Entry>,
}

/// What one key says.
#[derive(Debug)]
struct Entry {
    /// Of the argument that it stands for.
    id: clap::Id,
    key: String,
    /// As they would be typed; of a port its name alone.
    args: Vec<String>,
}

impl File {
    /// Reads the file at `path`, and looks at each value by itself.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has a key or value that no option has.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let refused = Error::new(&name, "cannot read").because(error);
            refused.hint("name a TOML file that you may read; see serialshark(1)")
        })?;
        let line = |at: usize| text[..at].matches('\n').count();
        let place = |at: usize| format!("{name}:{}", line(at) + 1);
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.trim_end().len()));
            let read = text.lines().nth(line(at)).unwrap_or_default().trim();
            Error::new(place(at), error.message().replace('\n', ", "))
                .hint(format!("a line is KEY = VALUE, such as baud = 38400; here it is: {read}"))
        })?;
        let command = Self::command();
        let mut keys: Vec<_> = table.get_ref().iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let entries = keys.into_iter().map(|(key, value)| {
            entry(&command, key.get_ref(), value).map_err(|(at, what, hint)| {
                let error = Error::new(place(at.unwrap_or(key.span().start)), what);
                hint.into_iter().fold(error, Error::hint)
            })
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, name })
    }

    /// The command line's, but with ports that are named like the rest.
    fn command() -> Command {
        Args::command()
            .disable_help_flag(true)
            .disable_version_flag(true)
            .mut_arg("ports", |ports| ports.long("ports").visible_alias("port"))
    }

    /// The arguments of the file and those that were typed, of which `given` tells what they
    /// are: an option that was typed comes in place of the file's. Returns as well which keys
    /// that has cost.
    pub(super) fn merge(
        self,
        typed: &[OsString],
        given: &ArgMatches,
    ) -> (Vec<OsString>, Vec<String>) {
        let command = Self::command();
        let is_given = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
        let excludes = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
        };
        let (name, typed) = typed.split_at(typed.len().min(1));
        let mut args = name.to_vec();
        let mut overruled = Vec::new();
        for entry in self.entries {
            let find = |arg: &&Arg| arg.get_id() == &entry.id;
            let wins = |other: &Arg| {
                is_given(other.get_id().as_str())
                    && command.get_arguments().find(find).is_some_and(|own| {
                        own.get_id() == other.get_id()
                            || excludes(own, other)
                            || excludes(other, own)
                    })
            };
            if command.get_arguments().any(wins) {
                overruled.push(format!("{}: {}: the command line wins", self.name, entry.key));
            } else {
                args.extend(entry.args.into_iter().map(OsString::from));
            }
        }
        args.extend_from_slice(typed);
        (args, overruled)
    }
}

/// Where (if not at the key), what is wrong, and what to do.
type Refusal = (Option<usize>, String, Option<String>);

fn entry(command: &Command, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Entry, Refusal> {
    let is_it =
        |arg: &&Arg| arg.get_long_and_visible_aliases().is_some_and(|names| names.contains(&key));
    let Some(arg) = command.get_arguments().find(is_it) else {
        let nearest = parsed(command, &format!("--{key}")).err().and_then(|error| {
            let ContextValue::String(option) = error.get(ContextKind::SuggestedArg)? else {
                return None;
            };
            Some(format!("did you mean {}?", option.trim_start_matches('-')))
        });
        let all = || "the keys are port, ports, and the long options of serialshark(1)".to_owned();
        return Err((None, format!("unknown key: {key}"), Some(nearest.unwrap_or_else(all))));
    };
    if arg.get_id() == "config" {
        return Err((None, format!("{key}: a file cannot name another one"), None));
    }
    let wrong = |expected: &str, value: &Spanned<DeValue<'_>>| {
        let what = format!("{key}: expected {expected}, found {}", found(value.get_ref()));
        (Some(value.span().start), what, None)
    };
    let args = match (arg.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(on)) => {
            if *on {
                vec![format!("--{key}")]
            } else {
                Vec::new()
            }
        }
        (ArgAction::SetTrue, _) => return Err(wrong("true or false", value)),
        (ArgAction::Count, number) => {
            let times = scalar(number).and_then(|number| number.parse::<u8>().ok());
            let times = times.filter(|times| *times <= MOST);
            let times = times.ok_or_else(|| wrong("a number, 0 to 9", value))?;
            vec![format!("--{key}"); times.into()]
        }
        (ArgAction::Append, DeValue::Array(list)) => {
            let items = list.iter().map(|item| checked(command, arg, key, item).ok_or(item));
            items
                .collect::<Result<Result<_, _>, _>>()
                .map_err(|item| wrong("a list of strings or whole numbers", item))??
        }
        (action, _) => {
            let expected = match action {
                ArgAction::Append if arg.get_id() == "ports" => {
                    "a string, a table, or a list of them"
                }
                ArgAction::Append => "a string, a whole number, or a list of them",
                _ => "a string or a whole number",
            };
            vec![checked(command, arg, key, value).ok_or_else(|| wrong(expected, value))??]
        }
    };
    Ok(Entry { id: arg.get_id().clone(), key: key.to_owned(), args })
}

/// A value as an argument that clap has accepted; `None` if it is no value for an option.
fn checked(
    command: &Command,
    arg: &Arg,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Option<Result<String, Refusal>> {
    let is_port = arg.get_id() == "ports";
    let text = match value.get_ref() {
        DeValue::Table(table) if is_port => match port_with_settings(key, value, table) {
            Ok(text) => text,
            Err(refusal) => return Some(Err(refusal)),
        },
        // Octal as it is typed: 0o660.
        DeValue::Integer(number) if arg.get_id() == "mode" && number.radix() == 8 => {
            format!("0o{}", number.as_str())
        }
        value => scalar(value)?,
    };
    let option = format!("--{key}={text}");
    let refuse = |reason: String, hint| Some(Err((Some(value.span().start), reason, hint)));
    if let Err(error) = parsed(command, &option) {
        let reason = error.source().map_or_else(String::new, |reason| format!(": {reason}"));
        let hint = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(values)) => Some(format!("one of {}", values.join(", "))),
            _ => None,
        };
        return refuse(format!("{key}: invalid value '{text}'{reason}"), hint);
    }
    if !is_port {
        return Some(Ok(option));
    }
    if text.starts_with('-') && text != "-" {
        return refuse(format!("{key}: {text} is an option, not a port"), None);
    }
    Some(Ok(text))
}

/// A port with settings of its own, `[[port]]`, as it would be typed.
fn port_with_settings(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
) -> Result<String, Refusal> {
    let known = setting_names();
    let mut name = None;
    let mut settings = Vec::new();
    for (setting, value) in table {
        let word = setting.get_ref().as_ref();
        let at = |place: &std::ops::Range<usize>| Some(place.start);
        if word != "name" && !known.iter().any(|known| known == word) {
            let hint = format!("a port has name, {}", known.join(", "));
            return Err((
                at(&setting.span()),
                format!("unknown key of a {key}: {word}"),
                Some(hint),
            ));
        }
        let text = scalar(value.get_ref()).ok_or_else(|| {
            let found = found(value.get_ref());
            let what = format!("{word}: expected a string or a whole number, found {found}");
            (at(&value.span()), what, None)
        })?;
        match word {
            "name" => name = Some(text),
            word => settings.push((word.to_owned(), text)),
        }
    }
    let name = name.ok_or_else(|| {
        let hint = Some("name = \"/dev/ttyUSB0\"".to_owned());
        (Some(value.span().start), format!("a {key} without a name"), hint)
    })?;
    Ok(with_settings(&name, &settings))
}

/// What clap says to one option of a file.
fn parsed(command: &Command, option: &str) -> Result<ArgMatches, clap::Error> {
    // Without the file's name it would ask for a port.
    command.clone().try_get_matches_from(["serialshark", "--config=-", option])
}

/// A string or a whole number as it would be typed.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        _ => None,
    }
}

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
