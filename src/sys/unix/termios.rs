//! How a tty is set for octets that are to come as they were on the line.

use crate::line::{LineFormat, Parity, StopBits};
use rustix::termios::{ControlModes, InputModes, Termios};

/// Makes it raw, of this format, without flow control, modem lines ignored. What fails its parity is
/// an octet like all others.
pub fn make_raw(termios: &mut Termios, format: LineFormat) {
    termios.make_raw();
    termios.input_modes &=
        !(InputModes::IGNPAR | InputModes::INPCK | InputModes::IXOFF | InputModes::IXANY);
    termios.control_modes &= !(ControlModes::CSIZE
        | ControlModes::PARENB
        | ControlModes::PARODD
        | ControlModes::CSTOPB
        | ControlModes::CRTSCTS);
    termios.control_modes |= control_modes(format);
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
}

fn control_modes(format: LineFormat) -> ControlModes {
    let size = match format.data_bits() {
        5 => ControlModes::CS5,
        6 => ControlModes::CS6,
        7 => ControlModes::CS7,
        _ => ControlModes::CS8,
    };
    let parity = match format.parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
    };
    let stop = match format.stop_bits {
        StopBits::One => ControlModes::empty(),
        StopBits::Two => ControlModes::CSTOPB,
    };
    size | parity | stop
}
