//! What Linux alone has.

pub mod claim;
pub mod holder;
mod ioctl;
pub mod port;
pub mod process;
pub mod service;
pub mod sink_waiter;
pub mod tty;
pub mod waker;
pub mod watch;
