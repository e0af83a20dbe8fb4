//! The command line as it is typed: arguments, terminals, the recipes of the README.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod arguments;
mod recipes;
mod terminal;
