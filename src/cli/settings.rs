//! What one port has and another one may not, as it is typed. No I/O; clap reads it.

use super::channels::Channels;
use super::values::dwell;
use crate::framing::{self, PROTOCOLS, Protocol};
use crate::line::{LineFormat, ModemLine};
use crate::setting::Values;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgMatches, FromArgMatches, ValueEnum};
use std::str::FromStr;
use std::time::Duration;

/// What one port has and another one may not: options for all, and behind a port's name for it
/// alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Settings {
    /// Protocol on the line [default: mstp]
    #[arg(short, long, value_name = "NAME",
          value_parser = PossibleValuesParser::new(names().chain([auto()])))]
    pub(super) protocol: Option<String>,

    // Its help comes from the table.
    #[arg(short, long, value_name = "RATE", help = rates())]
    pub(super) baud: Option<Rate>,

    // The same.
    #[arg(long, value_name = "FORMAT", help = formats())]
    pub(super) line: Option<LineFormat>,

    // The same.
    #[arg(long, value_name = "CHANNEL", help = channels())]
    pub(super) channel: Option<Channels>,

    /// How long to listen on each of several channels, such as 500ms, 5s or 1m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = dwell)]
    pub(super) dwell: Option<Duration>,

    /// Network interface of the sniffer to use, by the number that its ifconfig shows (riot)
    /// [default: the first IEEE 802.15.4 radio]
    #[arg(long, value_name = "N")]
    pub(super) interface: Option<u16>,

    // The same.
    #[arg(long, value_enum, value_name = "STATE", help = modem_lines())]
    pub(super) dtr: Option<LineState>,

    /// Set the port's RTS line, like --dtr. With off, an RS-485 adapter does not drive the bus
    #[arg(long, value_enum, value_name = "STATE")]
    pub(super) rts: Option<LineState>,

    /// Start command to send instead of the default (pinoccio). Escapes: \r \n
    #[arg(long, value_name = "STRING")]
    pub(super) init: Option<String>,

    #[command(flatten)]
    pub(super) own: Own,
}

impl Settings {
    /// These, and where one is missing, that of `all`.
    pub(super) fn or(self, all: &Self) -> Self {
        Self {
            protocol: self.protocol.or_else(|| all.protocol.clone()),
            baud: self.baud.or(all.baud),
            line: self.line.or(all.line),
            channel: self.channel.or_else(|| all.channel.clone()),
            dwell: self.dwell.or(all.dwell),
            interface: self.interface.or(all.interface),
            dtr: self.dtr.or(all.dtr),
            rts: self.rts.or(all.rts),
            init: self.init.or_else(|| all.init.clone()),
            own: self.own.or(&all.own),
        }
    }
}

/// The settings that protocols have in their rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(pub(super) Values);

impl Own {
    fn or(mut self, all: &Self) -> Self {
        for (name, value) in all.0.iter() {
            if self.0.get(name).is_none() {
                self.0.set(name, value.to_owned());
            }
        }
        self
    }
}

impl clap::Args for Own {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(framing::settings().into_iter().map(|(setting, having)| {
            let check = |text: &str| {
                if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    return Err("expected no spaces in it".to_owned());
                }
                Ok(text.to_owned())
            };
            clap::Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.value)
                .help(format!("{} ({})", setting.help, having.join(", ")))
                .value_parser(move |text: &str| {
                    check(text).and_then(|text| (setting.check)(&text).map(|()| text))
                })
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Own {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut values = Values::none();
        for (setting, _) in framing::settings() {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                values.set(setting.name, value.clone());
            }
        }
        Ok(Self(values))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What may stand where one protocol is named.
pub(super) fn protocol_names() -> PossibleValuesParser {
    PossibleValuesParser::new(names())
}

/// A rate as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// Found out by listening.
    Auto,
    /// In bits per second.
    Baud(u32),
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        let rate = text.parse().ok().filter(|rate| *rate > 0);
        rate.map(Self::Baud).ok_or("takes bits per second, such as 38400, or auto")
    }
}

impl Rate {
    pub(super) fn baud(self) -> Option<u32> {
        match self {
            Self::Auto => None,
            Self::Baud(baud) => Some(baud),
        }
    }
}

/// What stands for a protocol or a rate that is found out by listening.
pub const AUTO: &str = "auto";

fn names() -> impl Iterator<Item = PossibleValue> {
    PROTOCOLS.iter().map(|row| PossibleValue::new(row.name).help(row.help))
}

fn auto() -> PossibleValue {
    PossibleValue::new(AUTO).help("Find out the protocol by listening, at any usual rate")
}

/// Of the protocols that are so, what there is to say.
fn those(say: impl Fn(&Protocol) -> Option<String>) -> String {
    let said: Vec<_> = PROTOCOLS.into_iter().filter_map(say).collect();
    said.join(", ")
}

fn rates() -> String {
    let rates = those(|row| Some(format!("{} {}", row.name, row.line.baud)));
    format!(
        "Bits per second, any rate; auto: tries the usual rates and formats until there are packets \
         [default: {rates}, and auto on a serial port without -b and --line]"
    )
}

fn formats() -> String {
    let others = those(|row| {
        let is_other = row.line.format != LineFormat::EIGHT_N_1;
        is_other.then(|| format!("{} {}", row.name, row.line.format))
    });
    format!(
        "Data bits, parity and stop bits of the line, such as 8E1 or 7O2 [default: 8N1, {others}]"
    )
}

fn channels() -> String {
    let at_2450_mhz = those(|row| row.channels().contains(&26).then(|| row.name.to_owned()));
    let below_1_ghz = those(|row| row.channels().contains(&0).then(|| row.name.to_owned()));
    format!(
        "Radio channel: 11 to 26 ({at_2450_mhz}), 0 to 10 below 1 GHz ({below_1_ghz}); or several, to \
         listen on one after the other: 11,15,20 or 11-26"
    )
}

fn modem_lines() -> String {
    let dropped = those(|row| row.drop_lines.then(|| row.name.to_owned()));
    format!(
        "Set the port's DTR line; keep leaves it as the kernel sets it, which is on [default: off for \
         {dropped}, else keep]"
    )
}

/// What becomes of a modem line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LineState {
    /// Switched on
    On,
    /// Switched off
    Off,
    /// As the kernel sets it
    Keep,
}

impl From<LineState> for ModemLine {
    fn from(state: LineState) -> Self {
        match state {
            LineState::On => Self::On,
            LineState::Off => Self::Off,
            LineState::Keep => Self::Keep,
        }
    }
}
