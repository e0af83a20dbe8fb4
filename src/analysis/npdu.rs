//! Of a BACnet message (ASHRAE 135, clauses 6 and 20) what the analysis looks at. Reads octets from
//! outside: what ends too early or is no BACnet is `None`.

/// A message of the network layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Npdu {
    /// The network that it comes from and a digest of the address there, if a router passed it on.
    pub from: Option<(u16, u64)>,
    /// The network that it goes to and a digest of the address there, if not to this one; 65535 is all.
    pub to: Option<(u16, u64)>,
    /// What it says.
    pub says: Says,
}

/// What a message says, as far as we ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Something between routers: message type (clause 6.2.4).
    Network(u8),
    /// A request that wants an answer.
    Request {
        /// Which one the answer refers to.
        invoke_id: u8,
        /// Which service (clause 21, BACnetConfirmedServiceChoice).
        service: u8,
        /// Its number if it is one of several segments.
        segment: Option<u8>,
    },
    /// I-Am of this device instance.
    IAm(u32),
    /// Who-Is, of the instances between both if they are given.
    WhoIs(Option<(u32, u32)>),
    /// UnconfirmedCOVNotification.
    Notification,
    /// Another request that wants no answer.
    Unconfirmed(u8),
    /// An answer that says yes: to which request.
    Answer {
        /// Which request it answers.
        invoke_id: u8,
        /// Its number if it is one of several segments.
        segment: Option<u8>,
    },
    /// An acknowledgement of a segment.
    SegmentAck,
    /// Error, Reject or Abort.
    Refusal(Refusal),
}

/// An answer that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Which request it answers.
    pub invoke_id: u8,
    /// Error, Reject or Abort: 5, 6, 7 (clause 20.1.1).
    pub kind: u8,
    /// The service, of an Error.
    pub service: u8,
    /// Error code or reason.
    pub code: u16,
}

const CONFIRMED_NOTIFICATION: u8 = 1;

impl Npdu {
    /// Reads one.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut rest = Octets(octets);
        if rest.octet()? != 1 {
            return None;
        }
        let control = rest.octet()?;
        let mut to = None;
        if control & 0x20 != 0 {
            let network = rest.u16()?;
            let len = rest.octet()?;
            to = Some((network, digest(rest.take(len.into())?)));
        }
        let mut from = None;
        if control & 0x08 != 0 {
            let network = rest.u16()?;
            let len = rest.octet()?;
            from = Some((network, digest(rest.take(len.into())?)));
        }
        if control & 0x20 != 0 {
            rest.octet()?; // hops that are left
        }
        let says = if control & 0x80 != 0 { Says::Network(rest.octet()?) } else { apdu(rest)? };
        Some(Self { from, to, says })
    }
}

fn apdu(mut rest: Octets<'_>) -> Option<Says> {
    let first = rest.octet()?;
    let is_segmented = first & 8 != 0;
    Some(match first >> 4 {
        0 => {
            rest.octet()?; // what the sender can take
            let invoke_id = rest.octet()?;
            let segment = segment(is_segmented, &mut rest)?;
            Says::Request { invoke_id, service: rest.octet()?, segment }
        }
        1 => unconfirmed(rest)?,
        2 => Says::Answer { invoke_id: rest.octet()?, segment: None },
        3 => {
            let invoke_id = rest.octet()?;
            Says::Answer { invoke_id, segment: segment(is_segmented, &mut rest)? }
        }
        4 => Says::SegmentAck,
        kind @ 5 => {
            let (invoke_id, service) = (rest.octet()?, rest.octet()?);
            // Class and code are enumerated values of one or two octets.
            let code = [rest.enumerated(), rest.enumerated()][1].unwrap_or(0);
            Says::Refusal(Refusal { invoke_id, kind, service, code })
        }
        kind @ (6 | 7) => {
            let (invoke_id, reason) = (rest.octet()?, rest.octet()?);
            Says::Refusal(Refusal { invoke_id, kind, service: 0, code: reason.into() })
        }
        _ => return None,
    })
}

/// The number of a segment, if it is one; its window size is passed over.
fn segment(is_segmented: bool, rest: &mut Octets<'_>) -> Option<Option<u8>> {
    if !is_segmented {
        return Some(None);
    }
    let number = rest.octet()?;
    rest.octet()?;
    Some(Some(number))
}

fn unconfirmed(mut rest: Octets<'_>) -> Option<Says> {
    const I_AM: u8 = 0;
    const COV_NOTIFICATION: u8 = 2;
    const WHO_IS: u8 = 8;
    Some(match rest.octet()? {
        I_AM if rest.octet()? == 0xc4 => {
            let object = u32::from(rest.u16()?) << 16 | u32::from(rest.u16()?);
            Says::IAm(object & 0x3f_ffff)
        }
        COV_NOTIFICATION => Says::Notification,
        WHO_IS => Says::WhoIs(rest.context(0).zip(rest.context(1))),
        service => Says::Unconfirmed(service),
    })
}

/// The object type of a device (clause 21, BACnetObjectType), above its instance.
const DEVICE: u32 = 8;
/// The property of its name (clause 21, BACnetPropertyIdentifier).
const OBJECT_NAME: u8 = 77;
/// As long as a name is kept, in characters.
const NAME_LEN: usize = 64;

/// The name of a device of this network and its instance, if a message tells them: I-Have, or the
/// answer to a ReadProperty or ReadPropertyMultiple of the object-name of the device.
pub fn device_name(octets: &[u8]) -> Option<(u32, String)> {
    const I_HAVE: u8 = 1;
    const READ: u8 = 12;
    const READ_MULTIPLE: u8 = 14;
    let mut rest = Octets(octets);
    let (version, control) = (rest.octet()?, rest.octet()?);
    // Neither of the network layer nor from behind a router.
    if version != 1 || control & 0x88 != 0 {
        return None;
    }
    if control & 0x20 != 0 {
        rest.take(2)?;
        let len = rest.octet()?;
        rest.take(usize::from(len) + 1)?;
    }
    match rest.octet()? {
        0x10 if rest.octet()? == I_HAVE => {
            let _device = rest.tagged(0xc4)?;
            let object = rest.tagged(0xc4)?;
            named(object, rest)
        }
        0x30 => {
            rest.octet()?; // invoke ID
            match rest.octet()? {
                READ => {
                    let object = rest.tagged(0x0c)?;
                    let is_name = rest.take(3)? == [0x19, OBJECT_NAME, 0x3e];
                    is_name.then(|| named(object, rest))?
                }
                READ_MULTIPLE => first_name(rest),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The device's name among the first results of a ReadPropertyMultiple that are simple values.
fn first_name(mut rest: Octets<'_>) -> Option<(u32, String)> {
    let object = rest.tagged(0x0c)?;
    if rest.octet()? != 0x1e {
        return None;
    }
    while rest.octet()? == 0x29 {
        let property = rest.octet()?;
        if rest.octet()? != 0x4e {
            return None;
        }
        if property == OBJECT_NAME {
            return named(object, rest);
        }
        while *rest.0.first()? != 0x4f {
            let len = rest.application_len()?;
            rest.take(len)?;
        }
        rest.octet()?;
    }
    None
}

fn named(object: u32, mut rest: Octets<'_>) -> Option<(u32, String)> {
    if object >> 22 != DEVICE || rest.0.first()? >> 4 != 7 {
        return None;
    }
    let len = rest.application_len()?;
    let (set, text) = rest.take(len)?.split_first()?;
    // UTF-8, UCS-2 and ISO 8859-1 (clause 20.2.9); others are seldom.
    let name: String = match set {
        0 => String::from_utf8_lossy(text).chars().take(NAME_LEN).collect(),
        4 => {
            let units = text.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|sign| sign.unwrap_or(char::REPLACEMENT_CHARACTER))
                .take(NAME_LEN)
                .collect()
        }
        5 => text.iter().map(|octet| char::from(*octet)).take(NAME_LEN).collect(),
        _ => return None,
    };
    (!name.is_empty()).then_some((object & 0x3f_ffff, name))
}

/// FNV-1a, which tells addresses apart.
fn digest(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |digest, octet| {
        (digest ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Npdu {
    /// Whether it tells that a value has changed.
    pub fn is_notification(&self) -> bool {
        match self.says {
            Says::Notification => true,
            Says::Request { service, .. } => service == CONFIRMED_NOTIFICATION,
            _ => false,
        }
    }
}

/// Octets that are read from the front, and may end at any point.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn octet(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        self.0.split_off(..len)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// Four octets behind this tag.
    fn tagged(&mut self, tag: u8) -> Option<u32> {
        if self.octet()? != tag {
            return None;
        }
        self.take(4)
            .map(|octets| octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// How long the value with an application tag is (clause 20.2.1): those of up to 253 octets.
    fn application_len(&mut self) -> Option<usize> {
        let tag = self.octet()?;
        match (tag >> 4, tag & 0x0f) {
            (0 | 1, ..8) => Some(0), // null and boolean have no octets
            (_, len @ ..5) => Some(len.into()),
            (_, 5) => self.octet().filter(|len| *len < 254).map(usize::from),
            _ => None,
        }
    }

    /// An unsigned number with this context tag.
    fn context(&mut self, number: u8) -> Option<u32> {
        let tag = self.octet()?;
        if tag & 0xf8 != number << 4 | 8 {
            return None;
        }
        let octets = self.take(usize::from(tag & 7))?;
        Some(octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }

    /// An enumerated value of one or two octets.
    fn enumerated(&mut self) -> Option<u16> {
        match self.octet()? {
            0x91 => self.octet().map(u16::from),
            0x92 => self.u16(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(hex: &str) -> Option<Says> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        let octets: Vec<u8> = digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect();
        Npdu::parse(&octets).map(|npdu| npdu.says)
    }

    #[test]
    fn what_is_asked_of_messages() {
        let answer = |invoke_id, segment| Some(Says::Answer { invoke_id, segment });
        let request = |segment| Some(Says::Request { invoke_id: 7, service: 12, segment });
        assert_eq!(said("0104 0005070c 0c00000001 1955"), request(None));
        assert_eq!(said("0104 0805070304 0c 0c00000001"), request(Some(3)));
        assert_eq!(said("0100 30070c 0c00000001"), answer(7, None));
        assert_eq!(said("0100 3c0702 04 0c"), answer(7, Some(2)));
        assert_eq!(said("0100 20070f"), answer(7, None));
        assert_eq!(said("0120 ffff00 ff 1000 c4020003ec 2205c4"), Some(Says::IAm(1004)));
        assert_eq!(said("0120 ffff00 ff 1008"), Some(Says::WhoIs(None)));
        assert_eq!(said("0100 1008 0900 1a01f4"), Some(Says::WhoIs(Some((0, 500)))));
        assert_eq!(said("0100 1002 0907"), Some(Says::Notification));
        assert_eq!(said("0180 00 0005"), Some(Says::Network(0)));
        let refusal = |kind, service, code| {
            Some(Says::Refusal(Refusal { invoke_id: 7, kind, service, code }))
        };
        assert_eq!(said("0100 50070c 9101 911f"), refusal(5, 12, 31));
        assert_eq!(said("0100 600709"), refusal(6, 0, 9));
        assert_eq!(said("0100 710704"), refusal(7, 0, 4));
    }

    #[test]
    fn devices_tell_their_names() {
        let told = |hex: &str| {
            let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
            let octets: Vec<u8> = digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect();
            // Cut off anywhere, it is no name, or the same.
            for len in 0..octets.len() {
                let part = device_name(&octets[..len]);
                assert!(part.is_none() || part == device_name(&octets), "{len}");
            }
            device_name(&octets)
        };
        let vav = Some((1004, "VAV-4".to_owned()));
        assert_eq!(told("0100 30070c 0c020003ec 194d 3e 7506 00 5641562d34 3f"), vav);
        assert_eq!(told("0100 30070c 0c020003ec 194d 3e 750b 04 00560041005600 2d0034 3f"), vav);
        assert_eq!(
            told("0100 30070e 0c020003ec 1e 2970 4e 9100 4f 294d 4e 7506 00 5641562d34 4f 1f"),
            vav
        );
        assert_eq!(told("0120 ffff 00 ff 1001 c4020003ec c4020003ec 7506 05 5641562d34"), vav);
        // Of an analog input; of another property; from behind a router.
        assert_eq!(told("0100 30070c 0c00000001 194d 3e 7506 00 5641562d34 3f"), None);
        assert_eq!(told("0100 30070c 0c020003ec 191c 3e 7506 00 5641562d34 3f"), None);
        assert_eq!(told("0108 0007 01 03 30070c 0c020003ec 194d 3e 7506 00 5641562d34 3f"), None);
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_none() {
        let whole = [1, 0x28, 0, 5, 1, 9, 0, 7, 1, 3, 255, 0x10, 0, 0xc4, 2, 0, 3, 0xec];
        let npdu = Npdu::parse(&whole).unwrap();
        assert_eq!(
            (npdu.to.map(|(network, _)| network), npdu.from.unwrap().0, npdu.says),
            (Some(5), 7, Says::IAm(1004))
        );
        for len in 0..whole.len() {
            assert_eq!(Npdu::parse(&whole[..len]), None, "{len}");
        }
        assert_eq!(said("1802 0000"), None);
    }
}
