//! The trunk doctor: each simulated fault is found and named, healthy trunks are left alone.

use crate::common;
use crate::other_trunk;
use crate::trunk;
use crate::trunk::{FIVE_MINUTES, Listening, findings, report};
use serde_json::Value;
use serialshark::analysis::Record;
use serialshark::analysis::doctor::{Doctor, Known};
use serialshark::analysis::document;
use serialshark::analysis::findings::Severity;
use serialshark::analysis::general::General;
use serialshark::analysis::timing::BaudFrom;
use serialshark::decode;
use serialshark::framing::{self, Setup};
use serialshark::source::sim::{Fault, Plan, Simulator};
use serialshark::time::Timestamp;

/// Seeds in a full run; in a quick one the first alone.
const SEEDS: [u64; 4] = [0x5e71_a15a_a2c0_ed1c, 7, 0xdead_beef_0042_1111, 0x1234_5678_9abc_def1];

fn seeds() -> &'static [u64] {
    if common::full() { &SEEDS } else { &SEEDS[..1] }
}

/// What a fault may bring with it under a name of its own.
fn companions(name: &str) -> &'static [&'static str] {
    match name {
        "node-gone" | "node-flapping" => &["no-answer", "token-retries"],
        "slow-loop" => &["slow-replies"],
        // With an adapter of 16 ms: whether somebody was impatient does not show.
        "impatient-node" => &["token-retries"],
        // The same: nor whether one frame ended where another began.
        "collisions" => &["noise"],
        _ => &[],
    }
}

/// Whether a fault is found and its node named, and nobody else is accused of anything.
fn judge(name: &str, plan: &Plan, report: &Value, is_told: bool) -> Result<(), String> {
    let found = findings(report);
    let culprit = plan.culprit().map(u64::from);
    let names_it = |nodes: &[u64]| culprit.is_none_or(|mac| nodes.contains(&mac));
    if is_told && !found.iter().any(|(id, _, nodes)| id == name && names_it(nodes)) {
        return Err(format!("{name} of {culprit:?} not found, but {found:?}"));
    }
    for (id, severity, _) in &found {
        if severity != "advice" && id != name && !companions(name).contains(&&**id) {
            return Err(format!("{name} of {culprit:?} found, but also {found:?}"));
        }
    }
    Ok(())
}

fn assert_found(listening: Listening, cannot_be_told: &[&str]) {
    let mut wrong = Vec::new();
    for (name, fault) in Fault::ALL {
        for &seed in seeds() {
            let plan = Plan { seed, ..Plan::sick(fault) };
            let is_told = !cannot_be_told.contains(&name);
            wrong.extend(judge(name, &plan, &report(&plan, listening), is_told).err());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_fault_is_found_and_its_node_named() {
    if common::left_to_full_runs() {
        return;
    }
    assert_found(Listening { seconds: 120, ..FIVE_MINUTES }, &[]);
}

#[test]
fn each_fault_is_found_with_an_adapter_of_a_millisecond() {
    let seconds = if common::full() { 120 } else { 90 };
    assert_found(Listening { seconds, latency_ms: 1, ..FIVE_MINUTES }, &[]);
}

/// The same faults of other nodes, at other rates, and heard from another moment on.
#[test]
fn faults_elsewhere_are_found_and_come_first() {
    // Storms that a slow token holds back are none, and who asks much waits for long.
    let is_too_slow = |fault| {
        use Fault::{BusyTrunk, CovFlood, DuplicateInstance, RouterStorm};
        matches!(fault, BusyTrunk | CovFlood | DuplicateInstance | RouterStorm)
    };
    // So these trunks are, whatever else is wrong.
    let is_true = |id: &str| matches!(id, "address-gaps" | "low-baud");
    let mut wrong = Vec::new();
    let mut n = 0;
    let addresses: [Vec<u8>; 3] =
        [(3..15).collect(), (0..9).map(|i| i + 20).collect(), (1..18).collect()];
    for (name, fault) in Fault::ALL {
        for (at, baud) in [9_600, 19_200, 76_800, 115_200].into_iter().enumerate() {
            n += 1;
            if !common::full() && n % 5 != 0 {
                continue;
            }
            if is_too_slow(fault) && baud < 38_400 {
                continue;
            }
            let mut plan = Plan::sick(fault);
            // What is slow is so at its own rate.
            if !matches!(fault, Fault::SlowLoop | Fault::LowBaud) {
                plan.baud = baud;
            }
            if plan.masters.len() == 12 && plan.masters[11] == 11 {
                plan.masters.clone_from(&addresses[n % 3]);
                let top = plan.masters[plan.masters.len() - 1];
                plan.max_master = plan.max_master - 12 + top + 1;
                if fault == Fault::MaxMasterHigh {
                    plan.max_master = 127;
                }
            }
            plan.seed = SEEDS[n % 4] + n as u64;
            let listening = Listening { seconds: 120, is_cut: n % 2 == 0, ..FIVE_MINUTES };
            let report = trunk::report_later(&plan, [0, 7, 31][(n + at) % 3], listening);
            // Where the token is fast so are those who ask, and the cause has the name.
            let asks = report["findings"].as_array().unwrap().iter().find(|finding| {
                let effects = finding["effects"].as_array().unwrap();
                finding["id"] == "who-is-storm" && effects.iter().any(|it| it == name)
            });
            let name = if asks.is_some() { "who-is-storm" } else { name };
            wrong.extend(
                judge(name, &plan, &report, true).err().map(|why| format!("{baud}: {why}")),
            );
            let found = findings(&report);
            let first = found.iter().map(|(id, _, _)| id.as_str()).find(|id| !is_true(id));
            if first != Some(name) && !is_true(name) {
                wrong.push(format!("{baud}: {name} is not the first one, but {first:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {n}: {wrong:#?}", wrong.len());
}

#[test]
fn with_an_adapter_of_16_ms_what_can_be_told_is_found() {
    if common::left_to_full_runs() {
        return;
    }
    // Delays of some milliseconds cannot be told, and what needs them is another's or nobody's.
    let short = [
        "slow-token-use",
        "impatient-node",
        "early-turnaround",
        "missing-bias",
        "wrong-baud",
        "collisions",
    ];
    assert_found(Listening { seconds: 120, latency_ms: 16, ..FIVE_MINUTES }, &short);
}

#[test]
fn where_stray_bytes_are_only_counted_the_wire_is_still_judged() {
    let listening = Listening { seconds: 90, keeps_strays: false, ..FIVE_MINUTES };
    for name in [
        "bad-transmitter",
        "noise",
        "missing-bias",
        "missing-terminator",
        "early-turnaround",
        "capture-loss",
    ] {
        let plan = Plan::sick(Fault::named(name).unwrap());
        judge(name, &plan, &report(&plan, listening), true).unwrap();
    }
}

/// Trunks of another generator, by chance: size, rate, vendors, addresses, adapter.
#[test]
fn trunks_with_other_habits_are_left_alone() {
    let mut wrong = Vec::new();
    for seed in 0..if common::full() { 24 } else { 9 } {
        let mut random = common::Random(0xface + 7919 * seed);
        let baud = [19_200, 38_400, 76_800, 115_200][random.below(4) as usize];
        let size = 2 + random.below(if baud < 38_400 { 9 } else { 22 });
        let latency_ms = [0, 1, 16][seed as usize % 3];
        let mut other = other_trunk::OtherTrunk::new(random.next(), size, baud);
        let listening = Listening {
            seconds: 90,
            latency_ms,
            missed: random.below(30) as usize,
            tells_baud: seed % 2 == 0,
            keeps_strays: random.below(2) == 0,
            is_cut: false,
        };
        let report = trunk::report_of(baud, &mut || other.next_burst(), listening);
        let above = findings(&report).iter().any(|(_, severity, _)| severity != "advice");
        if above || report["grade"] != "good" {
            let (reason, found) = (&report["grade_reason"], &report["findings"]);
            wrong.push(format!("{seed}: {size} nodes, {baud}, {latency_ms} ms: {reason} {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All that is legal together, at each rate, as each adapter hears it: nobody is accused.
#[test]
fn trunks_with_rare_habits_are_left_alone() {
    use crate::other_trunk::{Habits, OtherTrunk};
    let plain = Habits::default();
    let all = [
        ("plain", plain),
        ("slaves", Habits { slaves: 4, ..plain }),
        ("extended", Habits { extended: true, slaves: 1, ..plain }),
        ("cold", Habits { cold: true, ..plain }),
        ("clients", Habits { clients: 3, ..plain }),
        ("all", Habits { slaves: 3, extended: true, clients: 2, cold: true }),
    ];
    let (mut n, mut wrong) = (0, Vec::new());
    for baud in [9_600, 19_200, 38_400, 76_800, 115_200] {
        for size in [1, 2, 5, 12, 30, 60] {
            // More nodes than a rate allows are slow, which is no false alarm.
            if size > 4 * u64::from(baud) / 9_600 + 8 {
                continue;
            }
            for (at, (name, habits)) in all.into_iter().enumerate() {
                n += 1;
                // One that hears nobody at all is a finding.
                let is_alone = size == 1 && habits.slaves == 0;
                if is_alone || !common::full() && n % 5 != 0 {
                    continue;
                }
                let seed = 0xb0ca + 31 * n;
                let mut trunk = OtherTrunk::new(seed, size, baud).with(habits);
                let latency_ms = [16, 0, 1][n as usize % 3];
                let listening = Listening {
                    seconds: 90,
                    latency_ms,
                    missed: [0, 5, 29][(n / 3) as usize % 3],
                    tells_baud: n % 2 == 0,
                    keeps_strays: at % 2 == 0,
                    is_cut: n % 4 != 0,
                };
                let report = trunk::report_of(baud, &mut || trunk.next_burst(), listening);
                let above = findings(&report).iter().any(|(_, severity, _)| severity != "advice");
                if above || report["grade"] != "good" {
                    let (reason, found) = (&report["grade_reason"], &report["findings"]);
                    wrong.push(format!(
                        "{n}: {name}, {size} nodes, {baud}, {listening:?}: {reason} {found}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {n}: {wrong:#?}", wrong.len());
}

/// A master that nobody answers is cut off; with slaves it is a trunk as it may be.
#[test]
fn a_master_that_is_alone_is_sick_unless_slaves_answer_it() {
    use crate::other_trunk::{Habits, OtherTrunk};
    for (slaves, grade, found) in [(0, "failing", true), (2, "good", false)] {
        let habits = Habits { slaves, ..Habits::default() };
        let mut trunk = OtherTrunk::new(0xa10e, 1, 38_400).with(habits);
        let listening = Listening { seconds: 90, ..FIVE_MINUTES };
        let report = trunk::report_of(38_400, &mut || trunk.next_burst(), listening);
        let is_sole = findings(&report).iter().any(|(id, _, _)| id == "sole-master");
        assert_eq!((&report["grade"], is_sole), (&grade.into(), found), "{slaves} slaves");
    }
}

/// Two dozen trunks without a fault: all sizes and rates, gaps, slaves, and whatever else is legal.
fn healthy() -> Vec<(String, Plan)> {
    let rates = [9_600, 19_200, 38_400, 57_600, 76_800, 115_200];
    let sizes = [2u8, 5, 12, 20, 31, 60];
    let mut plans = Vec::new();
    for (at, size) in sizes.into_iter().enumerate() {
        for (step, extra) in [0usize, 2, 4, 5].into_iter().enumerate() {
            let mut baud = rates[(at + extra) % rates.len()];
            if size > 20 {
                baud = baud.max(38_400); // less would be slow
            }
            if size > 31 {
                baud = baud.max(76_800);
            }
            let mut plan =
                Plan { baud, masters: (0..size).collect(), max_master: size, ..Plan::healthy() };
            plan.seed = 77 + (at * 4 + step) as u64;
            plan.talk_percent = if size > 20 { 8 } else { 25 };
            match step {
                1 => plan.max_master = 127,
                2 => {
                    plan.slaves = vec![130, 200, size + 3];
                    plan.postponed_percent = 30;
                    plan.extended_percent = if baud > 20_000 { 2 } else { 0 };
                }
                3 => {
                    plan.cold = true;
                    plan.masters = (0..size).map(|i| 2 * i).collect();
                    plan.max_master = 2 * size;
                }
                _ => {}
            }
            plans.push((format!("{size} nodes, {baud} baud, variant {step}"), plan));
        }
    }
    plans
}

#[test]
fn healthy_trunks_are_left_alone() {
    let mut wrong = Vec::new();
    let mut n = 0;
    for (at, (name, plan)) in healthy().into_iter().enumerate() {
        let all = [0, 1, 16];
        let latencies = if common::full() { &all[..] } else { &all[at % 3..=at % 3] };
        for &latency_ms in latencies {
            n += 1;
            let missed = [0, 3, 13][at % 3];
            let seconds = if common::full() { 120 } else { 75 };
            let report = report(&plan, Listening { seconds, latency_ms, missed, ..FIVE_MINUTES });
            let found = findings(&report);
            let above = found.iter().any(|(_, severity, _)| severity != "advice");
            if above || report["grade"] != "good" {
                wrong.push(format!(
                    "{name}, {latency_ms} ms: {} {}",
                    report["grade_reason"], report["findings"]
                ));
            }
        }
    }
    assert!(n >= 24 && wrong.is_empty(), "{} of {n}: {wrong:#?}", wrong.len());
}

/// What `sim:mstp` says for five minutes, and its findings meanwhile, once a second.
#[test]
fn the_trunk_for_newcomers_is_healthy_from_its_first_second_on() {
    let baud = 38_400;
    let framer = (framing::protocol("mstp").unwrap().framer)(&Setup::new(baud));
    let octet_ns = 10_000_000_000 / u64::from(baud);
    let mut line = decode::line::Line::new(framer, octet_ns, true);
    let mut simulator = Simulator::named("mstp", serialshark::line::Line::at(baud)).unwrap();
    let mut doctor =
        Doctor::new(Known { baud: Some((baud, BaudFrom::Recording)), latency_ms: None });
    let (mut now, mut second) = (0, 0);
    while second < 300 {
        let burst = simulator.next_burst();
        now += burst.pause_ns + burst.octets.len() as u64 * octet_ns;
        let arrival = Timestamp::from_ns(trunk::BEGIN_NS + now);
        line.push(&burst.octets, arrival, &mut |record: &Record<'_>, _| doctor.push(record));
        if now / 1_000_000_000 > second {
            second = now / 1_000_000_000;
            let report = doctor.report();
            let bad = report.findings.iter().find(|finding| finding.severity > Severity::Advice);
            assert_eq!(bad, None, "after {second} s");
        }
    }
    let report = document::of_trunk(&doctor.report());
    assert_eq!(report["grade"], "good", "{}", report["grade_reason"]);
    assert_eq!(report["findings"], serde_json::json!([]));
    let names = report["nodes"].as_array().unwrap().iter().filter(|node| !node["name"].is_null());
    assert!(names.count() >= 3);
    assert!(report["nodes"].as_array().unwrap().iter().all(|node| {
        node["name"].is_null()
            || node["name"] == format!("VAV-{:02}", node["mac"].as_u64().unwrap())
    }));
}

/// `sim:modbus` has a unit that is not there and one that lacks a register.
#[test]
fn units_of_a_modbus_line_are_named() {
    let protocol = framing::protocol("modbus").unwrap();
    let rate = serialshark::line::Line { baud: 19_200, ..protocol.line };
    let octet_ns = rate.octet_ns();
    let mut line =
        decode::line::Line::new((protocol.framer)(&Setup::new(rate.baud)), octet_ns, false);
    let mut simulator = Simulator::named("modbus", rate).unwrap();
    let mut general = General::new(protocol, Some(rate.baud));
    let (mut now, mut asked) = (0, std::collections::BTreeMap::<u64, u64>::new());
    while now < 180_000_000_000 {
        let burst = simulator.next_burst();
        now += burst.pause_ns + burst.octets.len() as u64 * octet_ns;
        // A request comes after a pause; answers take 12 ms at most.
        *asked.entry(burst.octets[0].into()).or_default() += u64::from(burst.pause_ns > 13_000_000);
        let arrival = Timestamp::from_ns(trunk::BEGIN_NS + now);
        line.push(&burst.octets, arrival, &mut |record: &Record<'_>, is_damaged| {
            general.push(record, is_damaged);
        });
    }
    let report = document::of_general("modbus", &general);
    let found: Vec<_> = findings(&report).into_iter().map(|(id, _, nodes)| (id, nodes)).collect();
    assert_eq!(found, [("unit-absent".into(), vec![5]), ("unit-exceptions".into(), vec![17])]);
    let units = report["modbus"]["units"].as_array().unwrap();
    assert_eq!(
        units.iter().map(|unit| unit["unit"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 5, 17]
    );
    for unit in units {
        let count = |name: &str| unit[name].as_u64().unwrap();
        // Some requests are damaged, and are nobody's then.
        let sent = asked[&count("unit")];
        assert!(
            count("requests") <= sent && count("requests") * 10 >= sent * 9,
            "{unit} of {sent}"
        );
        let response = &unit["response_ms"];
        if count("unit") == 5 {
            assert_eq!((count("responses"), response["n"].as_u64()), (0, Some(0)));
            continue;
        }
        let ms = |name: &str| response[name].as_f64().unwrap();
        // 12 ms and a stray octet behind the request, of 11 bits.
        assert!((2.4..12.1).contains(&ms("p50")) && ms("max") < 12.6, "{response}");
    }
    let refused = &units[3]["exceptions"];
    assert_eq!((&refused[0]["function"], &refused[0]["code"]), (&3.into(), &2.into()));
}

/// Whatever a capture holds, there is a report, in bounded memory.
#[test]
fn no_record_is_too_strange() {
    let mut dice = common::Random(0x5eed);
    let mut heard = Vec::new();
    let plan = Plan { extended_percent: 5, slaves: vec![200], ..Plan::healthy() };
    let listening = Listening { seconds: 5, ..FIVE_MINUTES };
    trunk::records(&plan, listening, &mut |r| heard.push((r.time, r.octets.to_vec())));
    for round in 0..40 {
        let mut doctor = Doctor::new(Known::default());
        for number in 0..400 {
            let (mut time, mut octets) = heard[dice.below(heard.len() as u64) as usize].clone();
            match dice.below(8) {
                0 => octets = dice.octets(20),
                1 if !octets.is_empty() => octets[0] ^= 1 << dice.below(8),
                2 => octets.truncate(dice.below(9) as usize),
                3 => time = Timestamp::from_ns(dice.next()),
                4 => time = Timestamp::from_ns([0, u64::MAX, 1 << 63][dice.below(3) as usize]),
                5 => {
                    // Any header with a good check sequence.
                    let header: Vec<u8> = (0..3).map(|_| dice.below(256) as u8).collect();
                    octets = common::mstp(header[0], header[1], header[2], &dice.octets(9));
                }
                _ => {}
            }
            let record = Record {
                number,
                time,
                octets: &octets,
                original_len: if dice.below(20) == 0 { dice.below(3000) as u32 } else { 0 },
                skipped_before: if dice.below(10) == 0 { dice.next() as u32 } else { 0 },
                dropped: u64::from(dice.below(50) == 0) * dice.below(9),
            };
            doctor.push(&record);
        }
        let report = doctor.report();
        assert!(report.trunk.memory() < 20_000_000, "{round}");
        let document = document::of_trunk(&report);
        assert_eq!(document["version"], 1);
    }
}
