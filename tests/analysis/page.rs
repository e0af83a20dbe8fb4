//! The page of `report --html`: well-formed, complete and small; what comes from a capture is text
//! in it; and a real browser shows it without a complaint, on a phone as well.

use crate::common;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pcap of MS/TP frames, one after the other.
struct Capture {
    octets: Vec<u8>,
    us: u64,
}

impl Capture {
    fn new() -> Self {
        let header = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 165u32];
        let octets = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self { octets, us: 1_767_225_600_000_000 }
    }

    /// A frame `pause_us` after the end of the one before.
    fn say(&mut self, pause_us: u64, frame: &[u8]) {
        self.us += pause_us;
        let len = frame.len() as u32;
        let words = [(self.us / 1_000_000) as u32, (self.us % 1_000_000) as u32, len, len];
        self.octets.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.octets.extend(frame);
        self.us += u64::from(len) * 10_000_000 / 38_400;
    }

    fn token(&mut self, pause_us: u64, from: u8, to: u8) {
        self.say(pause_us, &common::mstp(0, to, from, &[]));
    }

    fn write(&self, path: &Path) {
        fs::write(path, &self.octets).unwrap();
    }
}

/// Two minutes of eight nodes. MAC 3 is slow, the token of MAC 5 is damaged now and then, some
/// requests are not answered, and some tokens sent twice.
fn sick() -> Capture {
    let mut capture = Capture::new();
    let mut dice = common::Random(7);
    for round in 0..2200u64 {
        for mac in 0..8u8 {
            let next = (mac + 1) % 8;
            let mut pause_us = if mac == 3 { 19_000 } else { 3_000 + dice.below(2_000) };
            if mac == 0 {
                capture.say(pause_us, &common::mstp(5, next, 0, &[1, 4, 0, 5, 1, 12]));
                if round % 100 == 50 {
                    pause_us = 260_000;
                } else {
                    let reply = common::mstp(6, 0, next, &[1, 0, 0x20, 1, 12]);
                    capture.say(9_000 + dice.below(8_000), &reply);
                }
            }
            let mut token = common::mstp(0, next, mac, &[]);
            if mac == 5 && round % 40 == 7 {
                token[7] ^= 0x10;
            }
            capture.say(pause_us, &token);
            if mac == 2 && round % 200 == 11 {
                capture.say(25_000, &token);
            }
        }
    }
    capture
}

/// A day of a trunk as large as one can be.
fn day() -> Capture {
    let mut capture = Capture::new();
    let mut dice = common::Random(9);
    while capture.us < 1_767_225_600_000_000 + 86_400_000_000 {
        for mac in 0..128u8 {
            // Delays of all decades.
            let pause_us = 100 << dice.below(13);
            capture.say(pause_us, &common::mstp(5, (mac + 1) % 128, mac, &[1, 4, 0, 5, 1, 12]));
            capture.say(pause_us, &common::mstp(6, mac, (mac + 1) % 128, &[1, 0, 0x20, 1, 12]));
            capture.token(4_000_000, mac, (mac + 1) % 128);
        }
        capture.say(20_000, &[0x55, 0xff, 0, 1, 2, 0, 0, 0]);
    }
    capture
}

/// The page on a capture, which gets this name.
fn page_of(dir: &Path, name: &str, capture: &Capture) -> (PathBuf, String) {
    let (file, page) = (dir.join(name), dir.join("page.html"));
    capture.write(&file);
    let args = ["report", file.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let (code, stdout, stderr) = common::run(&args);
    assert_eq!((code, &*stderr), (0, ""));
    assert!(!stdout.is_empty());
    let text = fs::read_to_string(&page).unwrap();
    (page, text)
}

/// Elements with their attributes, after a check that each is closed where it should be.
fn elements(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let body = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("<{piece} has no end"));
        let style = open.last().is_some_and(|name| name == "style");
        assert!(style || !text.contains('>'), "a bare > in {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "after {:?}", all.last());
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        let mut rest = rest.trim();
        while !rest.is_empty() {
            let (key, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("<{tag}>"));
            let (value, after) = value.split_once('"').unwrap();
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after.trim();
        }
        all.push((name.to_owned(), attributes));
        if !is_empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    all
}

/// What a page must be whatever it shows.
fn check(page: &str) {
    let elements = elements(page);
    let of = |key: &str| -> Vec<&str> {
        let all = elements.iter().flat_map(|(_, attributes)| attributes);
        all.filter(|(name, _)| name == key).map(|(_, value)| &**value).collect()
    };
    let ids: BTreeSet<_> = of("id").into_iter().collect();
    assert_eq!(ids.len(), of("id").len(), "an id is there twice");
    for target in of("href") {
        let id = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} is elsewhere"));
        assert!(ids.contains(id), "no {target}");
    }
    for id in of("aria-labelledby").iter().flat_map(|ids| ids.split(' ')) {
        assert!(ids.contains(id), "no {id}");
    }
    for (name, attributes) in &elements {
        assert!(
            !["script", "link", "img", "iframe", "object", "base"].contains(&&**name),
            "{name}"
        );
        assert!(attributes.iter().all(|(key, _)| !key.starts_with("on") && key != "src"), "{name}");
        let has = |key: &str| attributes.iter().any(|(name, _)| name == key);
        // Each picture has words, or is said to be none.
        if name == "svg" && (has("class") || has("role")) {
            assert!(
                has("aria-labelledby") || has("aria-label") || has("aria-hidden"),
                "{attributes:?}"
            );
        }
    }
    let count = |wanted: &str| elements.iter().filter(|(name, _)| name == wanted).count();
    for landmark in ["header", "main", "footer", "h1", "title"] {
        assert!(count(landmark) >= 1, "no {landmark}");
    }
    assert_eq!((count("main"), count("h1")), (1, 1));
    assert_eq!(count("table"), count("caption"), "a table without a caption");
    assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("NaN"));
}

#[test]
fn a_page_is_well_formed_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (_, page) = page_of(dir.path(), "trunk.pcap", &sick());
    check(&page);
    for id in ["findings", "figures", "ring", "time", "delays", "nodes", "mstpcap"] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "no {id}");
    }
    assert!(page.contains("Slow token use: MAC 3"), "{page}");
    let kinds = [
        ("damaged frames", "55"),
        ("stray bytes, in runs", "none"),
        ("lost tokens", "none"),
        ("second tokens", "11"),
        ("requests without answer", "22"),
    ];
    for (kind, n) in kinds {
        assert!(page.contains(&format!("<b>{kind}</b>: {n}")), "{kind}: {page}");
    }
    // The longest round is one with a request that nobody answers.
    let longest = page.split("the longest one, ").nth(1).and_then(|rest| rest.split_once(" ms"));
    let longest_ms: f64 = longest.unwrap().0.parse().unwrap();
    assert!((300.0..400.0).contains(&longest_ms), "{longest_ms} ms");
    // Who is named is marked by more than a colour.
    assert!(page.contains(">!3</text>"));
}

#[test]
fn a_page_on_next_to_nothing_is_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, empty) = page_of(dir.path(), "empty.pcap", &Capture::new());
    check(&empty);
    let mut one = Capture::new();
    one.token(0, 1, 2);
    let (_, one) = page_of(dir.path(), "one.pcap", &one);
    check(&one);
    assert!(empty.contains("no packets") && one.contains("No grade"));
}

#[test]
fn what_comes_from_outside_is_text() {
    let dir = tempfile::tempdir().unwrap();
    let name = "<script>alert(1)<img src=x onerror=\"alert('2')\">&amp;\u{202e}.pcap";
    let (_, page) = page_of(dir.path(), name, &sick());
    check(&page);
    let escaped = "&lt;script&gt;alert(1)&lt;img src=x onerror=&quot;alert(&#39;2&#39;)&quot;&gt;&amp;amp;\\u{202e}.pcap";
    assert_eq!(page.matches(escaped).count(), 2, "in the title and in the head");
}

#[test]
fn what_is_no_page_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trunk.pcap");
    sick().write(&file);
    let (code, stdout, stderr) =
        common::run(&["report", file.to_str().unwrap(), "--html", file.to_str().unwrap()]);
    assert_eq!((code, stdout.len()), (2, 0));
    assert!(stderr.contains("is not an HTML page, and is not replaced"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), sick().octets);
    // A page is.
    let (page, first) = page_of(dir.path(), "trunk.pcap", &sick());
    assert_eq!(page_of(dir.path(), "trunk.pcap", &sick()), (page, first));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trunk.pcap");
    sick().write(&file);
    let page = dir.path().join("nowhere/page.html");
    let (code, _, stderr) =
        common::run(&["report", file.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert!(
        code == 2
            && stderr.contains("page.html: cannot write: there is no such directory\n  hint: "),
        "{stderr}"
    );
}

#[test]
fn another_protocol_has_a_page_too() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let words = "GPGLL,4916.45,N,12311.12,W,225444,A";
    let check_sum = words.bytes().fold(0, |sum, octet| sum ^ octet);
    let octets = dir.path().join("<b>.txt");
    fs::write(&octets, format!("${words}*{check_sum:02X}\r\n").repeat(50)).unwrap();
    let [octets, page] = [&octets, &page].map(|path| path.to_str().unwrap());
    let args = ["report", octets, "-p", "nmea", "-b", "4800", "--html", page];
    let (code, _, stderr) = common::run(&args);
    assert_eq!((code, &*stderr), (0, ""));
    let page = fs::read_to_string(page).unwrap();
    check(&page);
    assert!(
        page.contains("nmea report") && page.contains("<th scope=\"row\">packets</th><td>50</td>")
    );
}

#[test]
fn a_day_of_the_largest_trunk_is_a_small_page() {
    let dir = tempfile::tempdir().unwrap();
    let (_, page) = page_of(dir.path(), "day.pcap", &day());
    check(&page);
    assert!(page.len() < 300_000, "{} bytes", page.len());
}

/// Asks the page, in a window of its own, what only a browser knows.
const ASK: &str = r#"<!DOCTYPE html><iframe id="f" style="width:360px;height:800px;border:0"></iframe><p id="p"></p>
<script>
f.onload = () => {
  const d = f.contentDocument, e = d.documentElement;
  const there = s => d.querySelectorAll(s).length;
  const boxes = [...d.querySelectorAll("body *")].filter(x => !x.closest(".wide") && !x.closest("svg") && !x.closest(".skip"));
  const wide = boxes.filter(x => x.getBoundingClientRect().right > 361).map(x => x.tagName);
  p.textContent = `width ${e.scrollWidth}; header ${there("body > header")}; nav ${there("nav")}; main ${there("main")}; ` +
    `footer ${there("footer")}; mode ${d.compatMode}; wide [${wide}]; end`;
};
f.src = "page.html";
</script>"#;

#[test]
fn a_real_browser_shows_it_on_a_phone_without_a_complaint() {
    if common::left_to_full_runs() {
        return;
    }
    if Command::new("chromium").arg("--version").output().is_err() {
        return common::beyond_ci("chromium is not installed, so no browser has shown the page");
    }
    let dir = tempfile::tempdir().unwrap();
    for capture in [sick(), day()] {
        page_of(dir.path(), "trunk.pcap", &capture);
        let ask = dir.path().join("ask.html");
        fs::write(&ask, ASK).unwrap();
        let output = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--dump-dom", "--enable-logging=stderr", "--allow-file-access-from-files"])
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .arg(format!("file://{}", ask.display()))
            .output()
            .unwrap();
        let (dom, log) = (common::text(&output.stdout), common::text(&output.stderr));
        assert!(output.status.success(), "{log}");
        let wanted = "width 360; header 1; nav 1; main 1; footer 1; mode CSS1Compat; wide []; end";
        assert!(dom.contains(wanted), "{dom}");
        let complaints: Vec<_> = log.lines().filter(|line| line.contains(":CONSOLE")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
