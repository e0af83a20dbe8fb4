//! The thread of `serialshark top`: takes packets out of a queue as any stream does, keys from a
//! terminal, and draws. It never waits for one of them, so that it always hears of the end.
//!
//! A capture need not wake it for packets: it looks for them whenever it draws, a few times a second.

use super::event::Event;
use super::intake::Intake;
use super::shared::Shared;
use crate::analysis::doctor::Known;
use crate::analysis::live::Live;
use crate::framing::Protocol;
use crate::logger::Pane;
use crate::printable::printable;
use crate::sys::Waker;
use crate::sys::terminal::Terminal;
use crate::top::canvas::Canvas;
use crate::top::keys::keys;
use crate::top::shown::Shown;
use crate::top::{Around, Screen, Wish};
use ratatui::Terminal as Buffers;
use std::time::{Duration, Instant};

/// How often it is drawn while packets come.
const REFRESH: Duration = Duration::from_millis(250);
/// How long packets may be looked at before a key is.
const A_WHILE: Duration = Duration::from_millis(50);
/// How long to wait for more packets of a file.
const A_MOMENT: Duration = Duration::from_millis(2);

/// So many packets tell the rate of a line, if nobody knows it.
const ENOUGH: u64 = 500;

/// All that is on the screen, and behind it.
struct Desk<'a> {
    /// Where packets come from; nowhere, if all of them are there.
    feed: Option<Feed<'a>>,
    title: String,
    terminal: Terminal,
    buffers: Buffers<Canvas>,
    pane: &'a Pane,
    live: Live,
    screen: Screen,
    /// Drawn, and not taken by the terminal yet.
    pending: Vec<u8>,
    /// Whether something has come since it was drawn.
    is_stale: bool,
    is_over: bool,
    /// Packets since it has begun to listen.
    packets: u64,
}

/// A capture that goes on.
struct Feed<'a> {
    shared: &'a Shared,
    intake: Intake<'a>,
    protocol: &'static Protocol,
    known: Known,
}

/// Shows the line on a terminal until `leave` is woken, or the user wants to leave, which is told to
/// the main thread.
pub fn run(
    shared: &Shared,
    intake: Intake<'_>,
    terminal: Terminal,
    pane: &Pane,
    known: Known,
    leave: &Waker,
) {
    let Some(interface) = shared.interfaces.first() else { return };
    let (protocol, line) = (interface.protocol, interface.line);
    let title = format!("{}, {} {line}", printable(&interface.name), protocol.name);
    let feed = Feed { shared, intake, protocol, known };
    pane.open();
    // What is asked of one settles how it reads times, so the first screen is another's.
    let first = Shown::of(&mut Live::new(protocol, known));
    if let Some(mut desk) =
        Desk::new(Some(feed), title, terminal, pane, Live::new(protocol, known), first)
    {
        desk.work(leave);
    }
    pane.close();
    shared.send(Event::ViewerEnded(Ok(())));
}

/// Shows a line to which nothing is added any more.
pub fn browse(mut live: Live, title: &str, terminal: Terminal, leave: &Waker) {
    let first = Shown::of(&mut live);
    let (pane, title) = (Pane::default(), printable(title).into_owned());
    if let Some(mut desk) = Desk::new(None, title, terminal, &pane, live, first) {
        desk.work(leave);
    }
}

impl<'a> Desk<'a> {
    /// On a terminal that it takes; `None` if that is gone.
    fn new(
        feed: Option<Feed<'a>>,
        title: String,
        terminal: Terminal,
        pane: &'a Pane,
        live: Live,
        first: Shown,
    ) -> Option<Self> {
        // https://no-color.org: any value but an empty one.
        let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let Ok(buffers) = Buffers::new(Canvas::new(terminal.size().into(), has_colour));
        // What was said before the screen covers the terminal belongs beneath it.
        log::logger().flush();
        terminal.enter().ok()?;
        Some(Self {
            feed,
            title,
            terminal,
            buffers,
            pane,
            live,
            screen: Screen::new(first),
            pending: Vec::new(),
            is_stale: true,
            is_over: false,
            packets: 0,
        })
    }

    /// Takes what has come. Tells whether there was anything, and whether more of a file may come.
    fn listen(&mut self) -> (bool, bool) {
        let Some(feed) = &mut self.feed else {
            self.is_over = true;
            return (false, false);
        };
        let (live, packets) = (&mut self.live, &mut self.packets);
        let any = feed.intake.take(A_WHILE, |record, is_damaged| {
            *packets += 1;
            live.push(record, is_damaged);
        });
        self.is_over = feed.intake.is_over();
        (any, !feed.shared.is_live && !self.is_over)
    }

    fn work(&mut self, leave: &Waker) {
        let mut due = Instant::now();
        loop {
            let was_over = self.is_over;
            let (any, is_file) = self.listen();
            self.is_stale |= any || was_over != self.is_over;
            let now = Instant::now();
            if now >= due || (self.is_over && !was_over) {
                self.draw();
                due = now + REFRESH;
            }
            let until = due.saturating_duration_since(Instant::now());
            let until = if is_file { until.min(A_MOMENT) } else { until };
            match self.wait(leave, if any && is_file { Duration::ZERO } else { until }) {
                Waited::Left => return,
                Waited::Pressed(octets) => {
                    for key in keys(&octets) {
                        match self.screen.press(key) {
                            Wish::Leave => return,
                            Wish::Anew => self.begin_anew(),
                            Wish::Draw => {}
                        }
                    }
                    self.is_stale = true;
                    due = Instant::now();
                }
                Waited::Nothing => {}
            }
        }
    }

    /// Forgets what was heard, where more may come.
    fn begin_anew(&mut self) {
        if let Some(feed) = self.feed.as_ref().filter(|_| !self.is_over) {
            self.live = Live::new(feed.protocol, feed.known);
            self.packets = 0;
        }
    }

    /// Draws, unless the terminal has still to take what was drawn last.
    fn draw(&mut self) {
        if !self.pending.is_empty() || !self.terminal.is_entered() {
            return;
        }
        // To ask settles how times are read.
        let is_known = self.feed.as_ref().is_none_or(|feed| feed.known.baud.is_some());
        let may_ask = is_known || self.packets >= ENOUGH || self.is_over;
        if may_ask && std::mem::take(&mut self.is_stale) {
            self.screen.update(&mut self.live);
        }
        let around =
            Around { port: self.title.clone(), state: self.state(), log: self.pane.lines() };
        self.buffers.backend_mut().size = self.terminal.size().into();
        let screen = &self.screen;
        let Ok(_) = self.buffers.draw(|frame| screen.draw(frame, &around));
        std::mem::swap(&mut self.buffers.backend_mut().octets, &mut self.pending);
        self.terminal.write(&mut self.pending);
    }

    fn state(&self) -> String {
        let Some(Feed { shared, intake, .. }) = &self.feed else { return "end of input".into() };
        let dropped = match intake.dropped() {
            0 => String::new(),
            n => format!("{n} packets not looked at, "),
        };
        let trouble = shared.streams().troubles.iter().flatten().next().cloned();
        match (self.is_over, trouble) {
            (true, _) => format!("{dropped}end of input"),
            (false, Some(trouble)) => format!("{dropped}{}", printable(&trouble)),
            (false, None) if shared.is_live => format!("{dropped}live"),
            (false, None) => format!("{dropped}reading"),
        }
    }

    /// Waits for keys, for a terminal that takes the rest, or for the end.
    fn wait(&mut self, leave: &Waker, timeout: Duration) -> Waited {
        let ready = self.terminal.wait(leave, !self.pending.is_empty(), timeout);
        if ready.leaves {
            return Waited::Left;
        }
        if ready.has_room {
            self.terminal.write(&mut self.pending);
        }
        if ready.has_keys {
            return self.terminal.read().map_or(Waited::Left, Waited::Pressed);
        }
        Waited::Nothing
    }
}

/// What was waited for.
enum Waited {
    /// Nothing has come.
    Nothing,
    /// Octets of keys.
    Pressed(Vec<u8>),
    /// The end has.
    Left,
}
