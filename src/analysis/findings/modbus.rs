//! What is wrong with units of a Modbus line, and what to do.

use super::Confidence::{Certain, Probable};
use super::Severity::{Fault, Warning};
use super::{Finding, ms, percent};
use crate::analysis::limits;
use crate::analysis::modbus::{Modbus, Unit};

/// All that the rules find, the worst first.
pub fn of_modbus(modbus: &Modbus) -> Vec<Finding> {
    let mut found = Vec::new();
    for (&address, unit) in &modbus.units {
        let silent = gone(address, unit).or_else(|| absent(address, unit));
        found.extend(silent.or_else(|| no_answer(address, unit)));
        found.extend(slow(address, unit));
        found.extend(exceptions(address, unit));
        found.extend(damaged(address, unit));
    }
    found.sort_by_key(|f| std::cmp::Reverse((f.severity, f.confidence, f.seen.n)));
    found
}

fn of_unit(address: u8) -> String {
    format!("mbrtu.unit_id == {address}")
}

fn gone(address: u8, unit: &Unit) -> Option<Finding> {
    if unit.responses == 0 || unit.in_vain < limits::GONE_REQUESTS {
        return None;
    }
    let mut seen = unit.timeouts;
    (seen.n, seen.first) = (unit.in_vain, unit.in_vain_since);
    Some(
        Finding::new("unit-gone", Fault, Certain, seen)
            .of([address])
            .text(format!(
                "unit {address} answered {} times, and then none of the last {} requests",
                unit.responses, unit.in_vain
            ))
            .means("it has no power, its wires are off, or it hangs")
            .action(format!("check power and bus connector of unit {address}, then restart it"))
            .filter(of_unit(address)),
    )
}

fn absent(address: u8, unit: &Unit) -> Option<Finding> {
    if unit.responses > 0 || unit.timeouts.n < limits::UNANSWERED {
        return None;
    }
    // Something came, although damaged: it is there.
    if f64::from(unit.damaged.n) > f64::from(unit.requests) * limits::CHANCE_DAMAGE {
        return None;
    }
    let lost_s = unit.timeouts.largest as f64 / 1e6;
    Some(
        Finding::new("unit-absent", Warning, Certain, unit.timeouts)
            .of([address])
            .text(format!(
                "unit {address} was asked {} times and never answered; each time the master waits, \
                 for up to {lost_s:.1} s",
                unit.requests
            ))
            .means("it was removed or has another address, rate or parity, and slows down all others")
            .action(format!(
                "check address, rate and parity of unit {address}, or take it out of the master's list"
            ))
            .filter(of_unit(address)),
    )
}

fn no_answer(address: u8, unit: &Unit) -> Option<Finding> {
    let share = f64::from(unit.timeouts.n) / f64::from(unit.requests.max(1));
    if unit.timeouts.n < limits::UNANSWERED || share <= limits::UNANSWERED_SHARE {
        return None;
    }
    Some(
        Finding::new("unit-no-answer", Warning, Certain, unit.timeouts)
            .of([address])
            .text(format!(
                "unit {address} did not answer {} of {} requests ({}); {} were sent again",
                unit.timeouts.n,
                unit.requests,
                percent(share),
                unit.retries
            ))
            .means("it does not hear well, is overloaded, or the master waits for too short a time")
            .action(format!(
                "check wiring and termination at unit {address}; raise the master's timeout"
            ))
            .filter(of_unit(address)),
    )
}

fn slow(address: u8, unit: &Unit) -> Option<Finding> {
    let [p50, p99] = unit.response.percentiles([50, 99]);
    let (p50, p99) = (p50?, p99?);
    if unit.response.n() < limits::RESPONSES || u64::from(p50) <= limits::RESPONSE_US {
        return None;
    }
    Some(
        Finding::new("unit-slow", Warning, Probable, unit.slow)
            .of([address])
            .text(format!(
                "unit {address} answers after {} (median; 99 of 100 within {}), the limit is {}",
                ms(p50.into()),
                ms(p99.into()),
                ms(limits::RESPONSE_US)
            ))
            .means("its processor is busy, or a gateway asks another line first; all others wait")
            .action(format!("ask unit {address} less often, or for fewer registers at a time"))
            .filter(of_unit(address)),
    )
}

fn exceptions(address: u8, unit: &Unit) -> Option<Finding> {
    let share = f64::from(unit.refused.n) / f64::from(unit.responses.max(1));
    if unit.refused.n < limits::EXCEPTIONS || share < limits::EXCEPTION_SHARE {
        return None;
    }
    let (&(function, code), _) = unit.exceptions.iter().max_by_key(|(_, n)| **n)?;
    let action = match code {
        1 => format!("do not use function {function} with unit {address}: it does not have it"),
        2 => format!("correct the register addresses that the master asks unit {address} for"),
        3 => format!("correct quantities and values in the requests to unit {address}"),
        4 => format!("read the log of unit {address}: it could not do what was asked"),
        5 | 6 => format!("ask unit {address} less often: it is busy"),
        10 | 11 => format!("check the line behind the gateway that answers for unit {address}"),
        _ => format!("look up exception {code} in the manual of unit {address}"),
    };
    Some(
        Finding::new("unit-exceptions", Warning, Certain, unit.refused)
            .of([address])
            .text(format!(
                "unit {address} refused {} of {} requests ({}), most often function {function} with \
                 exception {code}",
                unit.refused.n,
                unit.responses,
                percent(share)
            ))
            .means("the master asks for what the unit does not have or cannot do now")
            .action(action)
            .filter(format!("{} && modbus.exception_code", of_unit(address))),
    )
}

fn damaged(address: u8, unit: &Unit) -> Option<Finding> {
    let share = f64::from(unit.damaged.n) / f64::from(unit.requests.max(1));
    if unit.damaged.n < limits::DAMAGED_ANSWERS || share < limits::DAMAGED_ANSWER_SHARE {
        return None;
    }
    Some(
        Finding::new("unit-damaged", Warning, Probable, unit.damaged)
            .of([address])
            .text(format!(
                "{} of {} answers of unit {address} came damaged ({})",
                unit.damaged.n,
                unit.requests,
                percent(share)
            ))
            .means("its transceiver or wiring is bad, or two units have this address")
            .action(format!(
                "check the terminals of unit {address}, and that no other unit has its address"
            ))
            .filter("mbrtu.crc16.status == 0"),
    )
}
