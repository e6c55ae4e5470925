//! Tests of the whole room: a real journal and a real archive over a disk that crashes, and files that someone bent.

mod classes;
mod crash;
mod fenced;
mod insider;
mod officers;
mod reading;
mod tamper;
pub mod world;

use crate::durable::simulated as disk;
