//! Tests of the whole room: a real journal and a real archive over a disk that crashes, and files that someone bent.

mod acts;
mod acts_crash;
mod acts_expire;
mod acts_gnupg;
mod anchors;
mod classes;
mod crash;
mod fenced;
mod generations;
mod insider;
mod officers;
mod reading;
mod tamper;
#[path = "../../../tests/e2e/support/tsa.rs"]
mod tsa;
mod watched;
pub mod world;

use crate::durable::simulated as disk;
