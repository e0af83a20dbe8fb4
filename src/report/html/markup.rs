//! Pieces of HTML. What comes from outside gets into a page through [`escaped`] alone.

use crate::printable::printable;
use std::fmt::Write as _;

/// Text as text, whatever is in it: neither markup nor anything invisible.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A column: its name, and what is in it, in words.
pub(super) type Column<'a> = (&'a str, &'a str);

/// A table of text. The first cell of each row is the row's name. It scrolls by itself where the
/// window is too narrow.
pub fn table(page: &mut String, caption: &str, columns: &[Column<'_>], rows: &[Vec<String>]) {
    let caption = escaped(caption);
    let _ = write!(
        page,
        "<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n\
         <table><caption>{caption}</caption>\n<thead><tr>"
    );
    for (name, meaning) in columns {
        let _ = write!(page, "<th scope=\"col\"");
        if !meaning.is_empty() {
            let _ = write!(page, " title=\"{}\"", escaped(meaning));
        }
        let _ = write!(page, ">{}</th>", escaped(name));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (n, cell) in row.iter().enumerate() {
            let cell = escaped(cell);
            let _ = match n {
                0 => write!(page, "<th scope=\"row\">{cell}</th>"),
                _ => write!(page, "<td>{cell}</td>"),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n</div>\n");
}

/// The first words of a picture: who cannot see it is told what it shows.
pub fn picture(page: &mut String, id: &str, title: &str, shows: &str, attributes: &str) {
    let _ = write!(
        page,
        "<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" {attributes}>\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
        escaped(title),
        escaped(shows)
    );
}

/// The outline of columns that stand on the ground, 1 wide each. A top is so far from above, the
/// ground is at `ground`; there may be nothing.
pub fn columns(tops: impl Iterator<Item = Option<f64>>, ground: u32) -> String {
    let mut path = String::new();
    let mut goes_on = false;
    for (x, top) in tops.enumerate() {
        let _ = match (top, goes_on) {
            (Some(top), false) => write!(path, "M{x} {ground}V{top:.0}h1"),
            (Some(top), true) => write!(path, "V{top:.0}h1"),
            (None, true) => write!(path, "V{ground}z"),
            (None, false) => Ok(()),
        };
        goes_on = top.is_some();
    }
    if goes_on {
        let _ = write!(path, "V{ground}z");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_on_the_ground() {
        let tops = [None, Some(3.2), Some(5.0), None, Some(9.0)];
        assert_eq!(columns(tops.into_iter(), 20), "M1 20V3h1V5h1V20zM4 20V9h1V20z");
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            escaped("<script>alert('1' & \"2\")</script>"),
            "&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;"
        );
        assert_eq!(escaped("a\u{202e}\nb"), "a\\u{202e}\\nb");
        let mut page = String::new();
        table(&mut page, "<b>", &[("<i>", "\"><u>")], &[vec!["<s>".into(), "<td>".into()]]);
        picture(&mut page, "x", "<title>", "</desc>", "");
        for tag in ["<b>", "<i>", "<u>", "<s>", "<td><", "t\"><title><", "></desc></desc>"] {
            assert!(!page.contains(tag), "{tag}: {page}");
        }
    }
}
