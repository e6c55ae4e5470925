//! End to end: the real program, real sockets, real peers. Each test has a gateway of its own in a temporary directory.

mod support;

mod commands;
mod crash;
mod delivery;
mod demo;
mod path;
mod protection;
mod readers;
mod refusals;
mod tamper;
mod tricks;
