//! The end-to-end tests: real servers, real programs, real guests. One binary, so that one control plane serves them all.

mod bad_peers;
mod boundaries;
mod bus;
mod cli;
mod compile;
mod delivery;
mod docs;
mod grants;
mod guests;
mod harness;
mod host;
mod operator;
mod proplet;
mod runs;
mod specs;
mod work;
