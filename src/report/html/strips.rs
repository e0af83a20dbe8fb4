//! Delays of each node as strips, one below the other on the same axis.

use super::markup::columns;
use crate::analysis::distribution::Distribution;
use crate::report::text::ms;
use std::fmt::Write as _;

/// The axis: from 0.1 ms to 1 s, a tenth of a decade a column.
const DECADES: f64 = 4.0;
const LEAST_US: f64 = 100.0;
const COLUMNS: u16 = 40;
/// As many nodes are shown, those with the longest delays.
const MOST: usize = 64;

/// Delays of a kind.
pub(super) struct Delays<'a> {
    /// What they are, for the caption.
    pub(super) caption: &'a str,
    /// From where on they are too long, in microseconds.
    pub(super) limit_us: u64,
    /// How late times may be, in milliseconds.
    pub(super) latency_ms: f64,
    /// Who has them.
    pub(super) nodes: Vec<(u8, &'a Distribution)>,
}

impl Delays<'_> {
    /// A table with a strip for each node.
    pub fn strips(mut self, page: &mut String) {
        self.nodes.retain(|(_, delays)| delays.n() > 0);
        let left_out = self.nodes.len().saturating_sub(MOST);
        self.nodes.sort_by_key(|(_, delays)| std::cmp::Reverse(delays.percentile(99)));
        self.nodes.truncate(MOST);
        self.nodes.sort_by_key(|(mac, _)| *mac);
        if self.nodes.is_empty() {
            let _ = writeln!(page, "<p>{}: none was heard.</p>", self.caption);
            return;
        }
        let limit_ms = self.limit_us / 1000;
        let _ = write!(
            page,
            "<table class=\"strips\"><caption>{}; the limit is {limit_ms} ms</caption>\n<thead><tr>\
             <th scope=\"col\">MAC</th><th scope=\"col\">{}</th><th scope=\"col\">p50, ms</th>\
             <th scope=\"col\">p99, ms</th><th scope=\"col\">max, ms</th>\
             <th scope=\"col\">above limit</th></tr></thead>\n<tbody>\n",
            self.caption,
            axis()
        );
        for (mac, delays) in &self.nodes {
            let [p50, p99] = delays.percentiles([50, 99]);
            let above = delays.above(self.limit_us);
            let class = if above > 0 { " class=\"above\"" } else { "" };
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\">{mac}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td{class}>{above} of {}</td></tr>",
                self.strip(delays),
                ms(p50),
                ms(p99),
                ms(Some(delays.max())),
                delays.n()
            );
        }
        page.push_str("</tbody></table>\n");
        if left_out > 0 {
            let _ =
                writeln!(page, "<p>{left_out} nodes with shorter delays are left out here.</p>");
        }
    }

    /// How often each delay was seen. What is there at all is to be seen.
    fn strip(&self, delays: &Distribution) -> String {
        let edge = |n: u16| LEAST_US * 10f64.powf(f64::from(n) * DECADES / f64::from(COLUMNS));
        let edges: Vec<u32> = (1..COLUMNS).map(|n| edge(n).round() as u32).collect();
        let counts = delays.histogram(&edges);
        let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let high = |count: u64| (20.0 * count as f64 / most).max(4.0);
        let tops = counts.iter().map(|&count| (count > 0).then(|| 20.0 - high(count)));
        let path = columns(tops, 20);
        let latency_us = self.latency_ms * 1000.0;
        let limit_us = self.limit_us as f64;
        let [from, limit, to] = [limit_us - latency_us, limit_us, limit_us + latency_us].map(place);
        format!(
            "<svg class=\"strip\" aria-hidden=\"true\" viewBox=\"0 0 {COLUMNS} 20\" preserveAspectRatio=\"none\">\
             <path class=\"band\" d=\"M{from:.1} 0H{to:.1}V20H{from:.1}z\"/><path class=\"bars\" d=\"{path}\"/>\
             <path class=\"limit\" d=\"M{limit:.1} 0V20\"/></svg>"
        )
    }
}

/// Where on the axis a delay is.
fn place(us: f64) -> f64 {
    let decades = (us.max(LEAST_US) / LEAST_US).log10();
    (decades / DECADES).min(1.0) * f64::from(COLUMNS)
}

/// The names of the decades.
fn axis() -> String {
    let mut axis = String::from(
        "<svg class=\"strip\" role=\"img\" aria-label=\"how often each delay was seen, from 0.1 ms to 1 s\">",
    );
    for (share, words) in [(25, "1"), (50, "10"), (75, "100 ms")] {
        let _ = write!(axis, "<text x=\"{share}%\" y=\"15\" text-anchor=\"middle\">{words}</text>");
    }
    axis.push_str("</svg>");
    axis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_has_its_place_on_the_axis() {
        for (us, x) in
            [(0.0, 0.0), (100.0, 0.0), (1000.0, 10.0), (1e5, 30.0), (1e6, 40.0), (1e9, 40.0)]
        {
            assert!((place(us) - x).abs() < 1e-9, "{us}");
        }
    }
}
