//! Crash simulation: the journal over a disk that forgets what was not synced. Tests only.

mod carry;
mod crash;
mod damage;
mod evict;
mod flow;
mod mirror;
mod speed;
mod world;

use crate::durable::simulated as disk;
