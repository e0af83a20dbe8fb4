//! serialshark on a real USB serial driver, with an adapter that is pulled out and put back.
//!
//! A machine in QEMU for each test: `tests/machine/vm/rig.py` runs it, `tests/machine/vm/scenarios.py`
//! says what happens in it and what has to come of it. VM_PULLS=50 sets how often the adapter is
//! pulled out under traffic.

use crate::alone;
use crate::common::{left_to_full_runs, skip, tool};
use std::process::Command;

fn scenario(name: &str) {
    if left_to_full_runs() {
        return;
    }
    if cfg!(not(target_arch = "x86_64")) {
        return skip("the machine in QEMU is an x86_64, and serialshark here is not");
    }
    let needed = ["qemu-system-x86_64", "gcc", "strip", "dpkg-deb", "apt-get", "python3"];
    if needed.into_iter().any(|program| tool(program).is_none()) {
        return;
    }
    // An emulated machine has enough to do with one of our processors.
    let _alone = alone();
    let status = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machine/vm/scenarios.py"))
        .arg(env!("CARGO_BIN_EXE_serialshark"))
        .arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/../vm-cache"))
        .arg(name)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .unwrap();
    if status.code() == Some(77) {
        return skip("no Debian packages to make a machine of");
    }
    assert!(status.success(), "{name}: {status}");
}

#[test]
fn a_pull_costs_only_what_is_in_flight() {
    scenario("pulled_under_traffic");
}

#[test]
fn the_rules_make_a_port_raw_before_anyone_can_open_it() {
    scenario("raw_at_the_plug");
}

#[test]
fn not_one_octet_goes_onto_the_bus() {
    scenario("not_one_octet_onto_the_bus");
}

#[test]
fn by_its_stable_name_an_adapter_is_found_under_another_number() {
    scenario("another_number");
}

#[test]
fn a_port_is_waited_for_and_gaps_and_clock_steps_are_told() {
    scenario("waited_for_and_told_of");
}

#[test]
fn a_sniffer_gets_its_commands_after_each_plug() {
    scenario("commands_after_each_plug");
}

#[test]
fn dtr_and_rts_are_as_asked_for() {
    scenario("lines_as_asked_for");
}

#[test]
fn an_adapter_whose_driver_is_taken_away_soon_after_the_plug_may_be_brlttys() {
    scenario("a_driver_that_is_taken_away");
}

#[test]
fn a_service_may_open_a_port_whose_driver_came_after_it() {
    scenario("a_service_before_its_driver");
}

#[test]
fn a_plug_starts_the_service_of_the_adapter_and_a_pull_does_not_end_it() {
    scenario("a_plug_starts_its_service");
}

#[test]
fn a_name_that_leads_to_another_adapter_is_followed_and_told_of() {
    scenario("one_link_for_two");
}

#[test]
fn on_request_none_but_the_same_adapter_is_taken() {
    scenario("the_same_adapter_is_waited_for");
}

#[test]
fn a_service_leaves_a_port_alone_that_another_program_has() {
    scenario("what_another_program_has");
}
