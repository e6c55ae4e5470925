//! `sealpost check`: reads everything `serve` would read and says every fault. Changes nothing and takes no lock, so that it may
//! run beside a server.

use super::config::{Config, ListenerTls, RouteTls};
use super::files;
use super::host_key;
use super::post::Places;
use super::tls::{self, Presented};
use crate::access::Accounts;
use crate::archive::Archive;
use crate::clock::SystemClock;
use crate::durable::{Filesystem, RealDisk, filesystem};
use crate::keyring::Keyring;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// `serve` would not start, or not do what it should.
    pub faults: Vec<String>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

/// Checks a configuration and all it names.
pub fn check(path: &Path) -> Report {
    let mut report = Report::default();
    let config = match files::configuration(path) {
        Ok(config) => config,
        Err(e) => {
            report.faults.push(e.to_string());
            return report;
        }
    };
    let places = Places::of(&config);
    policies(&places, &mut report);
    secrets(&places, &mut report);
    certificates(&config, &mut report);
    storage(&config, &places, &mut report);
    officer(&config, &mut report);
    weak_points(&config, &mut report);
    report
}

fn policies(places: &Places, report: &mut Report) {
    match files::policies(&places.policies) {
        Ok(policy) if policy.rules().is_empty() => {
            report.warnings.push("no policy has a rule: mail is archived and nothing is changed".to_owned());
        }
        Ok(_) => {}
        Err(e) => report.faults.push(e.to_string()),
    }
}

fn secrets(places: &Places, report: &mut Report) {
    match host_key::read(&RealDisk, &places.host_key) {
        Err(e) => report.faults.push(e.to_string()),
        Ok(host_key) => {
            if let Err(e) = Keyring::load(&RealDisk, &places.root, &host_key) {
                report.faults.push(format!("keyring: {e}"));
            }
            if let Err(e) = Archive::open(Arc::new(RealDisk), &places.archive, &host_key) {
                report.faults.push(format!("archive: {e}"));
            }
        }
    }
    for path in [&places.host_key, &places.keyring, &places.journal] {
        if others_may_read(path) {
            report.warnings.push(format!("{}: others may read it; chmod go= it", path.display()));
        }
    }
    if let Err(e) = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), &places.accounts) {
        report.faults.push(e.to_string());
    }
}

fn others_may_read(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn certificates(config: &Config, report: &mut Report) {
    let uses_tls = config.listener.iter().any(|listener| listener.tls != ListenerTls::None);
    if let Err(e) = Presented::load(&config.tls.certificate, &config.tls.key)
        && uses_tls
    {
        report.faults.push(e.to_string());
    }
    for ca_file in config.route.iter().filter_map(|route| route.ca_file.as_ref()) {
        if let Err(e) = tls::client_verified(ca_file) {
            report.faults.push(e.to_string());
        }
    }
}

fn storage(config: &Config, places: &Places, report: &mut Report) {
    for dir in [&places.journal, &places.archive] {
        match filesystem(dir) {
            Err(e) => report.faults.push(format!("{}: {e}", dir.display())),
            Ok(Filesystem::Durable) => {}
            Ok(Filesystem::Doubtful(kind)) => {
                report
                    .warnings
                    .push(format!("{} is on {kind}: whether it keeps what it syncs is doubtful", dir.display()));
            }
            Ok(Filesystem::Volatile(kind)) if config.journal.danger_volatile_filesystem => {
                report.warnings.push(format!("{} is on {kind}, which loses mail at power loss", dir.display()));
            }
            Ok(Filesystem::Volatile(kind)) => {
                report.faults.push(format!("{} is on {kind}, which loses mail at power loss", dir.display()));
            }
        }
    }
}

fn officer(config: &Config, report: &mut Report) {
    let Some(key) = &config.view.officer_key else {
        report
            .warnings
            .push("no [view] officer_key: the archive cannot be read here, IMAP and POP3 say UNAVAILABLE".to_owned());
        return;
    };
    if key.is_file() {
        report.warnings.push(format!(
            "{} is on this machine: the archive is protected against theft of copies, not of the host; move it off when set up",
            key.display()
        ));
        if others_may_read(key) {
            report.faults.push(format!("{}: others may read it; chmod go= it", key.display()));
        }
    } else {
        report.warnings.push(format!("{} is not there: the view is locked", key.display()));
    }
}

fn weak_points(config: &Config, report: &mut Report) {
    if config.local_domains.is_empty() {
        report.warnings.push("local_domains is empty: only relay_networks may send, and nothing is signed".to_owned());
    }
    for route in config.route.iter().filter(|route| route.tls == RouteTls::None) {
        let hops: Vec<String> = route.next_hop.iter().map(ToString::to_string).collect();
        report.warnings.push(format!("mail to {} goes without TLS", hops.join(", ")));
    }
}
