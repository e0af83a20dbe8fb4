//! `serialshark protocols`: what can be spoken on a line, from the table of framings.

use crate::framing::{Channel, PROTOCOLS, Protocol, protocol};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Prints the list, or one of it, and returns the exit code.
pub(super) fn run(name: Option<&str>, json: bool) -> u8 {
    let one = name.and_then(protocol);
    let said = match (one, json) {
        (Some(row), true) => format!("{:#}\n", as_json(row)),
        (Some(row), false) => in_detail(row),
        (None, true) => {
            let rows: Vec<_> = PROTOCOLS.into_iter().map(as_json).collect();
            format!("{:#}\n", json!(rows))
        }
        (None, false) => as_table(),
    };
    // Fails when nobody wants to know any more.
    let _ = io::stdout().write_all(said.as_bytes());
    0
}

/// Columns, but for the last one.
const COLUMNS: usize = 6;

fn as_table() -> String {
    let heads = ["NAME", "LINE", "NEEDS", "LINKTYPE", "RECOGNISED", "TRANSMITS", "WHAT"];
    let heads = heads.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(PROTOCOLS.into_iter().map(columns)).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].len()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut said = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(said, "{cell:width$}  ");
        }
        let _ = writeln!(said, "{}", row[COLUMNS]);
    }
    said
}

fn columns(row: &Protocol) -> [String; COLUMNS + 1] {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    [
        row.name.to_owned(),
        format!("{} {}", row.line.baud, row.line.format),
        if row.channel() == Channel::Required { "--channel" } else { "-" }.to_owned(),
        row.link_type.0.to_string(),
        yes(row.provable),
        yes(row.dialogue().is_some()),
        row.help.to_owned(),
    ]
}

/// All about one.
fn in_detail(row: &Protocol) -> String {
    let mut said = format!("{}: {}\n\n", row.name, row.help);
    let of_port =
        if row.link_type_of.is_some() { "; settings or direction may change it" } else { "" };
    let lines = if row.drop_lines { "switched off at open" } else { "kept as the kernel has them" };
    let recognised = if row.provable { "by its content" } else { "no" };
    let transmits = match row.dialogue() {
        Some(_) => "commands to its sniffer, with -p alone",
        None => "never",
    };
    for (what, how) in [
        ("line", format!("{} {}", row.line.baud, row.line.format)),
        ("link type", format!("{}{of_port}", row.link_type.0)),
        ("recognised", recognised.to_owned()),
        ("transmits", transmits.to_owned()),
        ("DTR and RTS", lines.to_owned()),
        ("if silent", row.when_silent.to_owned()),
        ("if senseless", row.when_senseless.to_owned()),
    ] {
        let _ = writeln!(said, "  {what:<13} {how}");
    }
    let settings = settings(row);
    if !settings.is_empty() {
        said.push_str("\nsettings:\n");
    }
    for (name, value, help) in settings {
        let _ = writeln!(said, "  --{name} {value}\n      {help}");
    }
    said
}

/// Name, value and help of what it can be told.
fn settings(row: &Protocol) -> Vec<(&'static str, &'static str, String)> {
    let mut settings = Vec::new();
    if row.channel() != Channel::None {
        let channels = row.channels();
        let must = if row.channel() == Channel::Required { "needed" } else { "optional" };
        let help = format!("Radio channel, {} to {} ({must})", channels.start(), channels.end());
        settings.push(("channel", "CHANNEL", help));
    }
    if row.takes_interface() {
        settings.push(("interface", "N", "Network interface of the sniffer".to_owned()));
    }
    if row.takes_init() {
        settings.push(("init", "STRING", "Start command in place of the default".to_owned()));
    }
    let own = row.settings.iter();
    settings.extend(own.map(|setting| (setting.name, setting.value, setting.help.to_owned())));
    settings
}

fn as_json(row: &Protocol) -> Value {
    let settings = settings(row).into_iter();
    let settings = settings
        .map(|(name, value, help)| json!({"name": name, "value": value, "help": help}))
        .collect::<Vec<_>>();
    json!({
        "name": row.name,
        "help": row.help,
        "baud": row.line.baud,
        "line": row.line.format.to_string(),
        "linktype": row.link_type.0,
        "recognised": row.provable,
        "transmits": row.dialogue().is_some(),
        "channel": match row.channel() {
            Channel::None => "none",
            Channel::Optional => "optional",
            Channel::Required => "required",
        },
        "settings": settings,
    })
}
