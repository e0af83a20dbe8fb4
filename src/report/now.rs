//! How a capture that goes on stands at this moment.

use super::html::markup::{escaped, table};
use crate::packet::Tally;
use std::fmt::Write as _;

/// How a capture stands.
#[derive(Debug)]
pub struct Now {
    /// Its ports.
    pub ports: Vec<Port>,
    /// Open outputs and readers.
    pub readers: Vec<Reader>,
    /// Packets dropped by readers that have left.
    pub dropped_before: u64,
}

/// How a port stands.
#[derive(Debug)]
pub struct Port {
    /// What to call it.
    pub name: String,
    /// What is spoken on it.
    pub protocol: &'static str,
    /// Its rate and format.
    pub line: String,
    /// Where its octets went.
    pub tally: Tally,
    /// What is wrong with it, if anything.
    pub trouble: Option<String>,
}

/// How an open output, or a reader of one, stands.
#[derive(Debug)]
pub struct Reader {
    /// What to call it.
    pub name: String,
    /// Packets that it has.
    pub delivered: u64,
    /// Packets that it was too slow for.
    pub dropped: u64,
}

/// The part of a page that says it.
pub(super) fn section(page: &mut String, now: &Now) {
    page.push_str("<section id=\"now\" aria-labelledby=\"now-h\"><h2 id=\"now-h\">Now</h2>\n");
    let ports = now.ports.iter().map(|port| {
        vec![
            port.name.clone(),
            port.protocol.to_owned(),
            port.line.clone(),
            (port.tally.good_frames + port.tally.damaged_frames).to_string(),
            port.tally.damaged_frames.to_string(),
            port.tally.skipped_octets.to_string(),
            port.trouble.clone().unwrap_or_else(|| "✓".to_owned()),
        ]
    });
    let columns = [
        ("port", ""),
        ("protocol", ""),
        ("line", ""),
        ("frames", "since the capture began"),
        ("damaged", ""),
        ("bytes outside", "bytes outside frames"),
        ("state", ""),
    ];
    table(page, "Ports", &columns, &ports.collect::<Vec<_>>());
    let readers = now.readers.iter().map(|reader| {
        vec![reader.name.clone(), reader.delivered.to_string(), reader.dropped.to_string()]
    });
    let columns = [("output", ""), ("packets delivered", ""), ("dropped", "too slow for them")];
    let readers: Vec<_> = readers.collect();
    if readers.is_empty() {
        page.push_str("<p>Nobody reads at the moment, and no file is written.</p>\n");
    } else {
        table(page, "Outputs and their readers", &columns, &readers);
    }
    if now.dropped_before > 0 {
        let _ = writeln!(
            page,
            "<p>Readers that have left missed {} packets.</p>",
            escaped(&now.dropped_before.to_string())
        );
    }
    page.push_str(
        "<p><a href=\"capture.pcapng?last=10m\">The last minutes as a capture file</a>, \
         <a href=\"report.html\">this page to keep</a>, <a href=\"report.json\">JSON</a>, \
         <a href=\"metrics\">metrics</a></p>\n</section>\n",
    );
}
