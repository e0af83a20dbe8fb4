//! What a broker is told of a line: the report and its chief figures, on the last one to two hours,
//! and each finding when it appears and when it is over. Of several ports each has its own.

use super::intake::Intake;
use super::shared::Shared;
use crate::analysis::doctor::Known;
use crate::analysis::findings::Finding;
use crate::analysis::limits::LEAST_SECONDS;
use crate::analysis::recent::Recent;
use crate::framing::Protocol;
use crate::output::mqtt::Desk;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often it is looked for new findings, where packets come.
const LOOK: Duration = Duration::from_secs(5);
/// How often all is shown, changed or not.
const ALL: Duration = Duration::from_secs(60);
/// How long packets are looked at before the time is.
const A_WHILE: Duration = Duration::from_millis(500);
/// How long to let packets gather: a thread that is woken for each costs more than what it does.
const GATHER: Duration = Duration::from_millis(200);

/// A finding that was told, with what it last said.
struct Told {
    id: &'static str,
    nodes: Vec<u8>,
    said: Value,
}

struct Bulletin<'a> {
    desk: &'a Desk,
    /// Whose packets tell of findings, unless another analysis sees to that.
    remarks: Option<&'a Shared>,
    recent: Recent,
    told: Vec<Told>,
    grade: Value,
    /// When all was shown.
    shown: Option<Instant>,
}

/// Closes the desks however the thread ends, or who talks to the broker would be waited for forever.
struct Closing<'a>(&'a [Desk]);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(Desk::close);
    }
}

/// Listens until no more packets come, and closes the desks. `known` is of each port. Packets tell of
/// findings, too, but those of the first port if `others_remark` on it.
pub fn run(
    shared: &Shared,
    mut intake: Intake<'_>,
    desks: &[Desk],
    known: &[Known],
    others_remark: bool,
) {
    let _closing = Closing(desks);
    let bulletin = |desk| -> Option<Bulletin<'_>> {
        let port = Desk::port(desk);
        let (interface, known) = shared.interfaces.get(port).zip(known.get(port))?;
        let remarks = (port > 0 || !others_remark).then_some(shared);
        Some(Bulletin { remarks, ..Bulletin::new(desk, interface.protocol, *known) })
    };
    let mut bulletins: Vec<_> = desks.iter().filter_map(bulletin).collect();
    let mut look = Instant::now();
    loop {
        let any = intake.take_all(A_WHILE, |port, record, is_damaged| {
            if let Some(bulletin) = bulletins.iter_mut().find(|it| it.desk.port() == port) {
                bulletin.recent.push(record, is_damaged);
            }
        });
        let is_over = intake.is_over();
        let now = Instant::now();
        if is_over || now >= look {
            for bulletin in &mut bulletins {
                bulletin.look(is_over);
                bulletin.recent.turn(now);
            }
            look = now + LOOK;
        }
        if is_over {
            break;
        }
        if any {
            shared.pause(GATHER);
        } else {
            intake.wait(look);
        }
    }
}

impl<'a> Bulletin<'a> {
    fn new(desk: &'a Desk, protocol: &'static Protocol, known: Known) -> Self {
        Self {
            desk,
            remarks: None,
            recent: Recent::new(protocol, known, Instant::now()),
            told: Vec::new(),
            grade: Value::Null,
            shown: None,
        }
    }

    /// Tells what is new; shows all if something is, if it is time to, or at the end.
    fn look(&mut self, is_end: bool) {
        let (document, findings) = self.recent.analysis().report();
        let is_judged = document["seconds"].as_f64().unwrap_or(0.0) >= LEAST_SECONDS;
        let mut is_news = self.grade != document["grade"];
        if is_end || is_judged {
            is_news |= self.tell(&document, &findings);
        }
        if is_end || is_news || self.shown.is_none_or(|shown| shown.elapsed() >= ALL) {
            self.grade = document["grade"].clone();
            self.show(&document);
            self.shown = Some(Instant::now());
        }
    }

    /// Tells of findings that appear and of those that are over. Tells whether there were any.
    fn tell(&mut self, document: &Value, findings: &[Finding]) -> bool {
        let mut is_news = false;
        let mut before = std::mem::take(&mut self.told);
        let said = document["findings"].as_array().into_iter().flatten();
        for (finding, said) in findings.iter().zip(said) {
            let is_it = |told: &Told| told.id == finding.id && told.nodes == finding.nodes;
            if let Some(at) = before.iter().position(is_it) {
                before.swap_remove(at);
            } else {
                is_news = true;
                self.desk.tell(json!({ "event": "begin", "finding": said }).to_string());
                if let Some(shared) = self.remarks {
                    shared.streams().remark(self.desk.port(), finding.in_comment());
                }
            }
            let (id, nodes) = (finding.id, finding.nodes.clone());
            self.told.push(Told { id, nodes, said: said.clone() });
        }
        for told in before {
            // A node that is gone is not heard in a later hour either.
            if told.id == "node-gone"
                && !told.nodes.iter().all(|it| self.recent.analysis().has_heard(*it))
            {
                self.told.push(told);
                continue;
            }
            is_news = true;
            self.desk.tell(json!({ "event": "end", "finding": told.said }).to_string());
        }
        is_news
    }

    fn show(&self, document: &Value) {
        let trunk = &document["trunk"];
        let figures = [
            ("grade", &document["grade"]),
            ("frames", &document["frames"]),
            ("damaged", &document["damaged"]),
            ("loop_ms", &trunk["loop_ms"]["p50"]),
            ("errors_per_min", &trunk["errors_per_min"]),
            ("utilisation", &trunk["utilisation"]),
        ];
        for (topic, value) in figures {
            match value {
                // What was shown before holds no longer.
                Value::Null if trunk.is_object() => self.desk.show(topic, "None".to_owned()),
                Value::Null => {}
                Value::String(text) => self.desk.show(topic, text.clone()),
                value => self.desk.show(topic, value.to_string()),
            }
        }
        self.desk.show("report", document.to_string());
        self.desk.show_status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Seen;
    use crate::analysis::findings::{Confidence, Severity};
    use crate::output::mqtt::address::Broker;

    fn finding(id: &'static str, nodes: &[u8]) -> Finding {
        Finding {
            id,
            severity: Severity::Fault,
            nodes: nodes.to_vec(),
            confidence: Confidence::Certain,
            seen: Seen::default(),
            text: String::new(),
            means: "",
            action: String::new(),
            filter: String::new(),
            effects: Vec::new(),
        }
    }

    #[test]
    fn each_finding_begins_once_and_ends_once_and_a_node_is_gone_until_it_is_heard() {
        let desk = Desk::new(Broker::parse("mqtt://h/a").unwrap());
        let protocol = crate::framing::protocol("mstp").unwrap();
        let mut bulletin = Bulletin::new(&desk, protocol, Known::default());
        let mut tell = |findings: &[Finding]| {
            let said = |it: &Finding| json!({ "id": it.id, "nodes": it.nodes });
            let said: Vec<_> = findings.iter().map(said).collect();
            bulletin.tell(&json!({ "findings": said }), findings)
        };
        let (gone, lost) = (finding("node-gone", &[9]), finding("token-lost", &[4]));
        assert!(tell(&[gone.clone(), lost.clone()]));
        assert!(!tell(&[gone.clone(), lost.clone()]));
        assert!(tell(&[gone, finding("token-lost", &[5])]));
        assert!(tell(&[]));
        assert!(!tell(&[]));
        bulletin.look(false);
        assert_eq!(
            desk.shown("status"),
            Some((1, "online".to_owned())),
            "said again with the rest"
        );
        let told: Vec<_> = desk.findings().iter().map(|it| it.replace('"', "")).collect();
        assert_eq!(
            told,
            [
                "{event:begin,finding:{id:node-gone,nodes:[9]}}",
                "{event:begin,finding:{id:token-lost,nodes:[4]}}",
                "{event:begin,finding:{id:token-lost,nodes:[5]}}",
                "{event:end,finding:{id:token-lost,nodes:[4]}}",
                "{event:end,finding:{id:token-lost,nodes:[5]}}",
            ]
        );
    }
}
