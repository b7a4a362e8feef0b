//! A transport without sockets, and what is tested with it.
//!
//! * [`pair`] is two ends of a connection in memory; a byte window makes a slow socket a parameter.
//! * [`Client`] is a scripted client that checks, with every event, what the protocol promises.
//! * [`World`] runs clients against one engine under a seed or written choices, in virtual time, and checks the whole history
//!   afterwards.
//! * [`Chance`] is those choices, and [`inputs`] strings of them for fuzz targets.
//! * [`conformance`] is what every transport must pass.
//!
//! Read it in this order: `wire`, `ledger`, `view`, `client`, `conformance`, `chance`, `tasks`, `world`, `verdict`.

mod chance;
mod client;
pub mod conformance;
mod ledger;
mod tasks;
mod verdict;
mod view;
mod wire;
mod world;

pub use chance::{Chance, inputs};
pub use client::Client;
pub use ledger::Ledger;
pub use view::View;
pub use wire::{ClientEnd, Received, ServerEnd, pair};
pub use world::{Report, World};
