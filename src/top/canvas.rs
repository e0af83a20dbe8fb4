//! What is drawn, as octets for a terminal.

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::convert::Infallible;
use std::fmt::Write as _;

/// What is drawn, as octets for a terminal.
pub struct Canvas {
    /// To be written.
    pub octets: Vec<u8>,
    /// Columns and rows.
    pub size: Size,
    /// Whether there may be colours: <https://no-color.org>.
    has_colour: bool,
}

impl Canvas {
    /// An empty one of this size.
    pub fn new(size: Size, has_colour: bool) -> Self {
        Self { octets: Vec::new(), size, has_colour }
    }

    fn say(&mut self, text: &str) {
        self.octets.extend_from_slice(text.as_bytes());
    }

    /// ECMA-48, select graphic rendition, from nothing.
    fn style(&mut self, cell: &Cell) {
        let mut style = String::from("\x1b[0");
        for (modifier, code) in
            [(Modifier::BOLD, ";1"), (Modifier::DIM, ";2"), (Modifier::REVERSED, ";7")]
        {
            if cell.modifier.contains(modifier) {
                style.push_str(code);
            }
        }
        if self.has_colour {
            let code = match cell.fg {
                Color::Red => ";31",
                Color::Green => ";32",
                Color::Yellow => ";33",
                _ => "",
            };
            style.push_str(code);
        }
        style.push('m');
        self.say(&style);
    }
}

impl Backend for Canvas {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut style = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                self.set_cursor_position((x, y))?;
            }
            next = Some((x + 1, y));
            let wanted = (cell.fg, cell.modifier);
            if style != Some(wanted) {
                self.style(cell);
                style = Some(wanted);
            }
            self.say(cell.symbol());
        }
        if style.is_some() {
            self.say("\x1b[0m");
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        let Position { x, y } = position.into();
        let mut text = String::new();
        let _ = write!(text, "\x1b[{};{}H", u32::from(y) + 1, u32::from(x) + 1);
        self.say(&text);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.say("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> Result<(), Infallible> {
        self.clear()
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::default() })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
