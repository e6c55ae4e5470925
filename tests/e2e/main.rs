//! End to end: the real program, real sockets, real peers. Each test has a gateway of its own in a temporary directory.
#![allow(clippy::disallowed_methods, reason = "tests play the administrator, whose moves need not survive a power cut")]

mod support;

mod acts;
mod certificates;
mod commands;
mod conformance;
mod crash;
mod delivery;
mod demo;
mod edge;
mod evidence;
mod journal_reports;
mod logins;
mod next_hops;
mod notifications;
mod officers;
mod path;
mod protection;
mod queue;
mod read_audit;
mod readers;
mod refusals;
mod restore;
mod retention;
mod routes;
mod sealing;
mod tamper;
mod transfer;
mod tricks;
