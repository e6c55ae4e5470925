//! `sealpost unlock` and `lock`: officers let a running gateway read, for a time.

use super::officer_args::Openers;
use super::openers;
use super::{Failure, Out, ask, talk};
use crate::archive::{Archive, Purpose};
use crate::durable::RealDisk;
use crate::gateway::control::{Hidden, Request};
use crate::gateway::error::Error;
use crate::gateway::files;
use crate::gateway::post::Places;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The order in which people are told.
const SHOWN: [&str; 4] = ["view", "unlocked_until", "shares", "shares_until"];

/// Brings shares to the running gateway.
pub fn unlock(by: &Openers, ttl_s: u64, config_path: &Path, out: &Out) -> Result<(), Failure> {
    let config = files::configuration(config_path)?;
    let places = Places::of(&config);
    let archive = Archive::open_read_only(Arc::new(RealDisk), &places.archive)
        .map_err(|e| Error::archive(&places.archive, &e))?;
    let shares = openers::shares(by, Some(&config.view), &archive.generation(), Purpose::Open)?;
    let shares = shares.iter().map(|share| Hidden(share.text())).collect();
    let rows = ask_running(&places, &Request::Unlock { shares, ttl_s })?;
    let waits = rows.iter().find(|row| row["view"] == "locked").and_then(|row| row["shares"].as_str());
    if let Some(shares) = waits {
        talk("note", &format!("{shares} shares are here: the gateway waits for another officer"), None);
    }
    rows.iter().try_for_each(|row| out.record(&SHOWN, row))
}

/// Locks it.
pub fn lock(config_path: &Path, out: &Out) -> Result<(), Failure> {
    let places = Places::of(&files::configuration(config_path)?);
    let rows = ask_running(&places, &Request::Lock)?;
    rows.iter().try_for_each(|row| out.record(&SHOWN, row))
}

fn ask_running(places: &Places, request: &Request) -> Result<Vec<Value>, Failure> {
    ask(places, request)?.ok_or_else(|| {
        Failure::temporary("no gateway runs on this directory: there is no view to lock or unlock")
            .with_help("start `sealpost serve`")
    })
}
