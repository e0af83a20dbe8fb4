//! Reports on a line, as people read them: text for a terminal, a page for a browser. Pure: from what the
//! analysis found to characters.

pub mod html;
pub mod metrics;
pub mod now;
pub mod overview;
pub mod text;
