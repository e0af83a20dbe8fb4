//! What needs a machine for itself: full speed, faults of all kinds at once, an emulated adapter.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/clock.rs"]
mod clock;
#[path = "../common/mod.rs"]
mod common;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

mod endurance;
mod faults;
mod together;
mod vm;

/// Who measures, and an emulated machine, have this one for themselves; the faults share it.
static MACHINE: RwLock<()> = RwLock::new(());

fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
