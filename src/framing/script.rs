//! Our side of the talk with a sniffer that is told a few things in a row.
//!
//! Each [`Step`] is said, and its answer waited for; without one it is said again, [`MAX_SAID`]
//! times in all, and then the next step follows: a sniffer that was too busy to answer may have
//! heard. What it refuses is told in its own words. When it has booted, all is said again.

use super::Dialogue;
use crate::printable::printable;
use crate::time::Timestamp;

/// How often a step is said that needs an answer.
const MAX_SAID: u8 = 3;
/// No more of what was heard is looked at.
const MAX_HEARD: usize = 512;
/// How long an answer may take.
pub(super) const ANSWER_NS: u64 = 1_000_000_000;
/// How long a shell needs for a command that it does not answer.
pub(super) const PAUSE_NS: u64 = 200_000_000;

/// One thing that is said.
#[derive(Clone, Debug)]
pub(super) struct Step {
    say: Vec<u8>,
    /// Any of these says that it was done; without any it is done after `wait_ns`.
    answers: Vec<Vec<u8>>,
    wait_ns: u64,
}

impl Step {
    /// What is not answered.
    pub(super) fn unanswered(say: impl Into<Vec<u8>>, wait_ns: u64) -> Self {
        Self { say: say.into(), answers: Vec::new(), wait_ns }
    }

    /// What is answered by octets that have one of these in them.
    pub(super) fn answered<A: Into<Vec<u8>>>(
        say: impl Into<Vec<u8>>,
        answers: impl IntoIterator<Item = A>,
    ) -> Self {
        let answers = answers.into_iter().map(Into::into).collect();
        Self { say: say.into(), answers, wait_ns: ANSWER_NS }
    }
}

/// What a sniffer is told, and how it talks.
#[derive(Debug)]
pub(super) struct Words {
    /// What people call it.
    pub(super) name: &'static str,
    /// How long it is given after the port was opened.
    pub(super) boot_ns: u64,
    /// In this order; nothing is ever said if there are none.
    pub(super) steps: Vec<Step>,
    /// Finds in what was heard that it refuses, and in which words.
    pub(super) refusal: fn(heard: &[u8]) -> Option<String>,
    /// What makes it stop.
    pub(super) stop: Vec<u8>,
}

/// The dialogue of these words.
#[derive(Debug)]
pub(super) struct Script {
    words: Words,
    /// The step that is next, or waits for its answer.
    at: usize,
    /// How often that was said.
    said: u8,
    due: Option<Timestamp>,
    heard: Vec<u8>,
    /// Whether anything was said since the port was opened.
    has_spoken: bool,
}

impl Script {
    pub(super) fn new(words: Words) -> Self {
        let at = words.steps.len();
        Self { words, at, said: 0, due: None, heard: Vec::new(), has_spoken: false }
    }

    fn is_over(&self) -> bool {
        self.at >= self.words.steps.len()
    }

    fn next(&mut self, now: Timestamp) {
        self.at += 1;
        self.said = 0;
        self.heard.clear();
        self.due = (!self.is_over()).then_some(now);
    }
}

impl Dialogue for Script {
    fn start(&mut self, now: Timestamp) {
        self.heard.clear();
        (self.at, self.said, self.has_spoken) = (0, 0, false);
        self.due = (!self.is_over()).then(|| now.plus_ns(self.words.boot_ns));
    }

    fn restart(&mut self, now: Timestamp) -> bool {
        let begins = self.is_over() && !self.words.steps.is_empty();
        if begins {
            self.start(now);
        }
        begins
    }

    /// That it has booted is seen by the framer.
    fn hear(&mut self, octets: &[u8], now: Timestamp) -> bool {
        if let (1.., Some(step)) = (self.said, self.words.steps.get(self.at)) {
            self.heard.extend_from_slice(octets);
            self.heard.drain(..self.heard.len().saturating_sub(MAX_HEARD));
            let has = |answer: &Vec<u8>| memchr::memmem::find(&self.heard, answer).is_some();
            if step.answers.iter().any(has) {
                self.next(now);
            } else if let Some(words) = (self.words.refusal)(&self.heard) {
                log::warn!(
                    "the sniffer refuses {:?}: {words}. Still listening",
                    String::from_utf8_lossy(&step.say).trim_end()
                );
                self.next(now);
            }
        }
        false
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due
    }

    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        self.due.filter(|due| *due <= now)?;
        if let (1.., Some(step)) = (self.said, self.words.steps.get(self.at)) {
            let is_answered = !step.answers.is_empty();
            if !is_answered || self.said >= MAX_SAID {
                if is_answered {
                    log::warn!(
                        "no answer to {:?}: is it {}? Still listening",
                        String::from_utf8_lossy(&step.say).trim_end(),
                        self.words.name
                    );
                }
                self.next(now);
            }
        }
        let Some(step) = self.words.steps.get(self.at) else {
            self.due = None;
            return None;
        };
        self.said += 1;
        self.has_spoken = true;
        self.due = Some(now.plus_ns(step.wait_ns));
        let (say, is_answered) = (step.say.clone(), !step.answers.is_empty());
        if !is_answered && self.at + 1 == self.words.steps.len() {
            self.next(now); // nothing comes after it
        }
        Some(say)
    }

    fn stop(&mut self) -> Option<Vec<u8>> {
        let has_spoken = std::mem::take(&mut self.has_spoken);
        (has_spoken && !self.words.stop.is_empty()).then(|| self.words.stop.clone())
    }
}

/// What a shell says when it does not like a command: the line that has such a word in it.
pub(super) fn shell_refusal(heard: &[u8]) -> Option<String> {
    const WORDS: [&str; 5] = ["not found", "failed", "rror", "nvalid", "rong"];
    let end = memchr::memrchr(b'\n', heard)?;
    let text = String::from_utf8_lossy(&heard[..end]);
    let line = text.lines().find(|line| WORDS.iter().any(|word| line.contains(word)))?;
    Some(printable(line.trim()).into_owned())
}

/// What never refuses.
pub(super) fn no_refusal(_heard: &[u8]) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1_000_000_000_000 + ns)
    }

    fn script(steps: Vec<Step>) -> Script {
        let mut script = Script::new(Words {
            name: "a shell",
            boot_ns: 1000,
            steps,
            refusal: shell_refusal,
            stop: b"bye".to_vec(),
        });
        assert_eq!((script.deadline(), script.stop()), (None, None));
        script.start(at(0));
        script
    }

    fn two() -> Vec<Step> {
        vec![Step::answered("a\n", ["yes", "already"]), Step::unanswered("b\n", 50)]
    }

    #[test]
    fn each_step_waits_for_its_answer_or_its_time() {
        let mut script = script(two());
        assert_eq!((script.deadline(), script.say(at(999))), (Some(at(1000)), None));
        assert_eq!(script.say(at(1000)).as_deref(), Some(&b"a\n"[..]));
        assert_eq!(script.deadline(), Some(at(1000 + ANSWER_NS)));
        assert!(!script.hear(b"alre", at(2000)));
        assert_eq!(script.say(at(2000)), None);
        script.hear(b"ady", at(3000));
        assert_eq!(script.say(at(3000)).as_deref(), Some(&b"b\n"[..]));
        assert_eq!((script.deadline(), script.say(at(9000))), (None, None));
        assert_eq!(script.stop().as_deref(), Some(&b"bye"[..]));
        assert_eq!(script.stop(), None, "once");
    }

    #[test]
    fn what_is_not_answered_is_said_three_times() {
        let mut script = script(two());
        let mut now = at(1000);
        for _ in 0..MAX_SAID {
            assert_eq!(script.say(now).as_deref(), Some(&b"a\n"[..]));
            now = script.deadline().expect("waits");
        }
        assert_eq!(script.say(now).as_deref(), Some(&b"b\n"[..]));
    }

    #[test]
    fn what_is_refused_is_not_said_again() {
        let mut script = script(two());
        script.say(at(1000));
        script.hear(b"a: command not fou", at(1000));
        assert_eq!(script.say(at(1000)), None);
        script.hear(b"nd\r\n", at(1000));
        assert_eq!(script.say(at(1000)).as_deref(), Some(&b"b\n"[..]));
        assert_eq!(
            shell_refusal(b"x\nset channel failed (-22)\r\n").as_deref(),
            Some("set channel failed (-22)")
        );
    }

    #[test]
    fn after_a_boot_all_is_said_again_unless_it_is_still_at_it() {
        let mut script = script(two());
        assert!(!script.restart(at(0)));
        script.say(at(1000));
        script.hear(b"yes", at(1000));
        assert!(!script.restart(at(1000)));
        script.say(at(1000));
        assert!(script.restart(at(2000)));
        assert_eq!(script.deadline(), Some(at(3000)));
        assert_eq!(script.stop(), None, "a sniffer that has booted runs no more");
        assert_eq!(script.say(at(3000)).as_deref(), Some(&b"a\n"[..]));
    }

    #[test]
    fn with_nothing_to_say_nothing_is_ever_said() {
        let mut script = script(Vec::new());
        assert!(!script.hear(b"yes", at(0)) && !script.restart(at(0)));
        assert_eq!((script.deadline(), script.say(at(9999)), script.stop()), (None, None, None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut script = script(two());
        script.say(at(1000));
        for _ in 0..100 {
            script.hear(&[b'x'; 1000], at(2000));
        }
        assert_eq!(script.heard.len(), MAX_HEARD);
    }
}
