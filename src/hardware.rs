//! Profiles of adapters and sniffers: what their USB ids tell of the port behind them.
//!
//! Each is one file in `hardware/`, compiled in, and one name in a list here. They feed
//! `serialshark ports`, Wireshark's interface list and dialogue, `udev/60-serialshark.rules` and
//! the table of `hardware/README.md`; `tests/ports/hardware.rs` writes the last two and holds them in
//! step.
//!
//! A profile suggests. What is sent to a sniffer is decided by the user, who names its protocol:
//! any chip with these ids may sit on any line.

use crate::framing::{self, Protocol};
use serde::Deserialize;
use serialport::UsbPortInfo;

/// The files, each under the name of its profile.
macro_rules! files {
    ($($id:literal)*) => {
        [$(($id, include_str!(concat!("../hardware/", $id, ".toml")))),*]
    };
}

const FILES: [(&str, &str); 17] = files!(
    "ft232r" "ft2232" "ft4232h" "ft232h" "ft-x" "cp2102" "cp2105" "cp2108" "ch340" "ch341" "ch343"
    "ch9102" "iotlab-m3" "riot" "pinoccio-scout" "nrf52840" "catsniffer"
);

/// What is known of an adapter or a sniffer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The file's name without its extension: the first part of the port's stable name.
    #[serde(skip)]
    pub id: &'static str,
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: ProfileKind,
    /// How the kernel sees it.
    pub usb: Vec<UsbId>,
    /// How many ports one of them has.
    #[serde(default = "one")]
    pub ports: u8,
    /// What it speaks, if that is known and serialshark knows it too.
    pub protocol: Option<String>,
    /// Bits per second, if not those of the protocol.
    pub baud: Option<u32>,
    /// What makes it start, if not the protocol's own command: as for `--init`.
    pub init: Option<String>,
    /// What is done with DTR, if not what the protocol wants: as for `--dtr`.
    pub dtr: Option<String>,
    /// The same of RTS.
    pub rts: Option<String>,
    /// A sentence or two for those who have one.
    pub notes: String,
    /// The file in `hardware/` that shows how to connect it.
    pub drawing: Option<String>,
}

fn one() -> u8 {
    1
}

/// What a profile is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// An adapter from USB to RS-485 or a UART, with anything behind it.
    Adapter,
    /// A radio that hears packets, and tells of them.
    Sniffer,
}

/// How a USB device is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsbId {
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
    /// Its product string, one of these, where the numbers alone say less: empty for any.
    #[serde(default)]
    pub names: Vec<String>,
    /// Where we have it from.
    pub source: String,
}

impl UsbId {
    fn fits(&self, usb: &UsbPortInfo) -> bool {
        let name = usb.product.as_deref().unwrap_or_default();
        (self.vendor, self.product) == (usb.vid, usb.pid)
            && (self.names.is_empty() || self.names.iter().any(|known| known == name))
    }
}

impl Profile {
    /// What it speaks, if that is known.
    pub fn protocol(&self) -> Option<&'static Protocol> {
        self.protocol.as_deref().and_then(framing::protocol)
    }
}

/// All profiles, in the order of the list.
pub fn profiles() -> impl Iterator<Item = Profile> {
    FILES.into_iter().map(|(id, text)| {
        let profile = toml::from_str(text).expect("a test has read every file that is compiled in");
        Profile { id, ..profile }
    })
}

/// The profile that fits best: one that asks for the product's name before one that does not.
pub fn profile(usb: &UsbPortInfo) -> Option<Profile> {
    let fit = |profile: &Profile| {
        profile.usb.iter().filter(|id| id.fits(usb)).map(|id| !id.names.is_empty()).max()
    };
    profiles().filter(|profile| fit(profile).is_some()).max_by_key(fit)
}
