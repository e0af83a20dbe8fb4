//! A serial line: how fast its bits are, and how many of them carry an octet.
//!
//! Nobody else knows how many bits an octet takes: with 8N1 ten, start bit and stop bit counted in.

use std::fmt;
use std::str::FromStr;

/// What protects each octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parity {
    /// Nothing.
    #[default]
    None,
    /// A bit that makes the number of ones even.
    Even,
    /// A bit that makes the number of ones odd.
    Odd,
}

/// What follows each octet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopBits {
    /// One bit time of idle line.
    #[default]
    One,
    /// Two.
    Two,
}

/// How octets are put into bits, such as `8N1`: data bits, parity, stop bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFormat {
    /// Bits of data, 5 to 8.
    data_bits: u8,
    /// What protects them.
    pub parity: Parity,
    /// What follows them.
    pub stop_bits: StopBits,
}

impl LineFormat {
    /// Eight data bits, no parity, one stop bit: what most lines have.
    pub const EIGHT_N_1: Self =
        Self { data_bits: 8, parity: Parity::None, stop_bits: StopBits::One };

    /// Eight data bits, even parity, one stop bit: what Modbus asks for.
    pub const EIGHT_E_1: Self =
        Self { data_bits: 8, parity: Parity::Even, stop_bits: StopBits::One };

    /// Seven data bits, even parity: what lines of text often have.
    pub const SEVEN_E_1: Self =
        Self { data_bits: 7, parity: Parity::Even, stop_bits: StopBits::One };

    /// Eight data bits, two stop bits.
    pub const EIGHT_N_2: Self =
        Self { data_bits: 8, parity: Parity::None, stop_bits: StopBits::Two };

    /// Bits of data, 5 to 8.
    pub const fn data_bits(self) -> u8 {
        self.data_bits
    }

    /// Bit times that an octet takes, from its start bit to its last stop bit: 7 to 12.
    pub const fn bits(self) -> u8 {
        let parity = match self.parity {
            Parity::None => 0,
            Parity::Even | Parity::Odd => 1,
        };
        let stop = match self.stop_bits {
            StopBits::One => 1,
            StopBits::Two => 2,
        };
        1 + self.data_bits + parity + stop
    }
}

impl Default for LineFormat {
    fn default() -> Self {
        Self::EIGHT_N_1
    }
}

impl fmt::Display for LineFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        let stop_bits = match self.stop_bits {
            StopBits::One => 1,
            StopBits::Two => 2,
        };
        write!(f, "{}{parity}{stop_bits}", self.data_bits)
    }
}

impl FromStr for LineFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "takes data bits, parity and stop bits, such as 8N1, 8E1, 7E1, 8N2";
        let &[data_bits @ b'5'..=b'8', parity, stop_bits] = text.as_bytes() else {
            return Err(FORM);
        };
        let parity = match parity.to_ascii_uppercase() {
            b'N' => Parity::None,
            b'E' => Parity::Even,
            b'O' => Parity::Odd,
            _ => return Err(FORM),
        };
        let stop_bits = match stop_bits {
            b'1' => StopBits::One,
            b'2' => StopBits::Two,
            _ => return Err(FORM),
        };
        Ok(Self { data_bits: data_bits - b'0', parity, stop_bits })
    }
}

/// A line's rate and format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Bits per second; 0 counts as 1.
    pub baud: u32,
    /// How octets are put into bits.
    pub format: LineFormat,
}

impl Line {
    /// The options that set it, such as `-b 9600 --line 8E1`.
    pub fn options(self) -> String {
        let Self { baud, format } = self;
        if format == LineFormat::EIGHT_N_1 {
            format!("-b {baud}")
        } else {
            format!("-b {baud} --line {format}")
        }
    }

    /// A line of this rate with 8N1.
    pub const fn at(baud: u32) -> Self {
        Self { baud, format: LineFormat::EIGHT_N_1 }
    }

    /// Nanoseconds that an octet takes on the wire.
    pub const fn octet_ns(self) -> u64 {
        let baud = if self.baud == 0 { 1 } else { self.baud };
        self.format.bits() as u64 * 1_000_000_000 / baud as u64
    }

    /// Octets that fit into a second, without gaps.
    pub const fn octets_per_second(self) -> u32 {
        self.baud / self.format.bits() as u32
    }
}

/// Such as `38400 baud`, and `9600 baud 8E1` where it is not 8N1.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} baud", self.baud)?;
        if self.format == LineFormat::EIGHT_N_1 { Ok(()) } else { write!(f, " {}", self.format) }
    }
}

/// A line from us to the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModemLine {
    /// Raised.
    On,
    /// Dropped.
    Off,
    /// As the kernel leaves it: raised at the opening.
    Keep,
}

impl ModemLine {
    /// What to set it to, if at all.
    pub fn state(self) -> Option<bool> {
        match self {
            Self::On => Some(true),
            Self::Off => Some(false),
            Self::Keep => None,
        }
    }
}

/// How a port is set up: raw, no flow control, and this.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Its rate and format.
    pub line: Line,
    /// What is done with DTR.
    pub dtr: ModemLine,
    /// What is done with RTS.
    pub rts: ModemLine,
    /// Whether only the same adapter may come back.
    pub same_adapter: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_they_are_written() {
        for data_bits in 5..=8 {
            for parity in ['N', 'E', 'O'] {
                for stop_bits in 1..=2 {
                    let text = format!("{data_bits}{parity}{stop_bits}");
                    let format: LineFormat = text.parse().unwrap();
                    assert_eq!(format.to_string(), text);
                    assert_eq!(text.to_lowercase().parse(), Ok(format));
                    let bits = 1 + data_bits + u8::from(parity != 'N') + stop_bits;
                    assert_eq!(format.bits(), bits);
                }
            }
        }
        for wrong in ["", "8N", "8N3", "4N1", "9N1", "8X1", "8N1 ", "8Ñ1", "N81", "8M1"] {
            assert!(wrong.parse::<LineFormat>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_octet_takes_its_bits() {
        assert_eq!(Line::at(38_400).octet_ns(), 260_416);
        let even = Line { baud: 9600, format: "8E1".parse().unwrap() };
        assert_eq!(even.octet_ns(), 1_145_833);
        assert_eq!(Line::at(0).octet_ns(), 10_000_000_000);
        assert_eq!(Line::at(38_400).octets_per_second(), 3840);
    }

    #[test]
    fn only_an_unusual_format_is_told() {
        assert_eq!(Line::at(38_400).to_string(), "38400 baud");
        let even = Line { baud: 9600, format: "8e1".parse().unwrap() };
        assert_eq!(even.to_string(), "9600 baud 8E1");
    }
}
