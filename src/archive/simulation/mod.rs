//! Fault simulation of the whole store: journal and archive on one disk that drops, reorders and tears what was not synced, fails,
//! fills up and rots, driven by a seed. After every step everything is held against what the outside remembers. Tests only.
//!
//! `SEALPOST_SIMULATION_SEEDS` runs that many seeds instead of the few that fit into every test run,
//! `SEALPOST_SIMULATION_FIRST` begins at another one than 0.

mod check;
mod crash;
mod points;
mod rot;
mod secrets;
mod steps;
mod template;
mod world;
