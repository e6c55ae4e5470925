//! Opens the store for a command when no server runs. The journal's lock keeps two processes apart.

use super::error::Error;
use super::files;
use super::host_key;
use super::post::{self, Places};
use crate::archive::Archive;
use crate::clock::{Clock, SystemClock};
use crate::durable::{Disk, RealDisk};
use crate::journal::Journal;
use std::path::Path;
use std::sync::Arc;

/// Journal and archive of a configuration.
pub fn open_store(config_path: &Path) -> Result<(Journal, Archive), Error> {
    let config = files::configuration(config_path)?;
    let places = Places::of(&config);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let host_key = host_key::read(&*disk, &places.host_key)?;
    post::open_store(&config, &places, &disk, &clock, &host_key)
}
