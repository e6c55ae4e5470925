//! `sealpost check`: reads everything `serve` would read and says every fault. Changes nothing and takes no lock, so that it may
//! run beside a server.

use super::anchoring;
use super::config::{CheckpointTo, Config, Listener, ListenerTls, Route, RouteTls};
use super::delivery;
use super::door::certificates::Authorities;
use super::drills::Drills;
use super::error::Error;
use super::files;
use super::host_key;
use super::post::Places;
use super::reading;
use super::secret_file;
use super::tls::{self, Presented};
use crate::access::Accounts;
use crate::archive::Archive;
use crate::clock::{Clock, SystemClock};
use crate::crypto::Secret;
use crate::durable::{Disk, Filesystem, RealDisk};
use crate::keyring::Keyring;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// A certificate that ends sooner than this is worth a warning.
const CERTIFICATE_NOTICE_S: i64 = 30 * 24 * 3600;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// `serve` would not start, or not do what it should.
    pub faults: Vec<Error>,
    /// Worth knowing.
    pub warnings: Vec<Error>,
}

impl Report {
    fn fault(&mut self, error: impl Into<Error>) {
        self.faults.push(error.into());
    }
    fn warn(&mut self, text: impl std::fmt::Display, help: &str) {
        self.warnings.push(Error::new(text).with_help(help));
    }
}

/// Checks a configuration and all it names.
pub fn check(path: &Path) -> Report {
    let mut report = Report::default();
    let config = match files::configuration(path) {
        Ok(config) => config,
        Err(e) => {
            report.fault(e);
            return report;
        }
    };
    let places = Places::of(&config);
    policies(&places, &mut report);
    match host_key::read(&RealDisk, &places.host_key) {
        Ok(host_key) => sealed_under(&host_key, &config, &places, &mut report),
        Err(e) => report.fault(e),
    }
    accounts(&places, &mut report);
    certificates(&config, &mut report);
    storage(&config, &places, &mut report);
    outside(&config, &mut report);
    permissions(&config, &places, &mut report);
    weak_points(&config, &mut report);
    report
}

fn policies(places: &Places, report: &mut Report) {
    match files::policies(&places.policies) {
        Ok(policy) if policy.rules().is_empty() => report.warn(
            "no policy has a rule: mail is archived and nothing is changed",
            "policies/*.toml; `sealpost policy check` reads them before they bite",
        ),
        Ok(_) => {}
        Err(e) => report.fault(e),
    }
}

/// What only the host key opens.
fn sealed_under(host_key: &Secret<32>, config: &Config, places: &Places, report: &mut Report) {
    if let Err(e) = Keyring::load(&RealDisk, &places.root, host_key) {
        report.fault(e);
    }
    match Archive::open(Arc::new(RealDisk), &places.archive, host_key) {
        Ok(archive) => {
            officer(config, &archive, report);
            drill(places, &archive, report);
        }
        Err(e) => report.fault(Error::archive(&places.archive, &e)),
    }
}

/// Whether officers have proved lately that they can open the archive.
fn drill(places: &Places, archive: &Archive, report: &mut Report) {
    match Drills::load(&RealDisk, &places.drills) {
        Err(e) => report.fault(e),
        Ok(drills) => {
            if let Some(alarm) = drills.alarm(&archive.generation(), SystemClock.now()) {
                report.warn(alarm, "the officers' keys are asked for and nothing is opened");
            }
        }
    }
}

fn officer(config: &Config, archive: &Archive, report: &mut Report) {
    let Some(key) = &config.view.officer_key else {
        let text = "no [view] officer_key: the archive cannot be read here, IMAP and POP3 say UNAVAILABLE";
        return report.warn(text, "mail goes on; to read, name an officer's key for as long as it is needed");
    };
    match secret_file::resolve(key).map_err(io::Error::other).and_then(|path| path.metadata()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => report.warn(
            format_args!("{} is not there: the view is locked, IMAP and POP3 say UNAVAILABLE", key.display()),
            "mail goes on; to read, bring the officer's key back and restart",
        ),
        Err(e) => report.fault(Error::io(key, &e)),
        Ok(_) => {
            report.warn(
                format_args!(
                    "{} is on this machine: the archive is protected against theft of copies, not of the host",
                    key.display()
                ),
                "move officer/ off it when all is set up",
            );
            let needed = archive.generation().threshold;
            if needed > 1 {
                let text = format_args!("{needed} officers are needed to unlock: this one's key alone opens nothing")
                    .to_string();
                report.warn(text, "`sealpost unlock` takes the keys or shares of the others");
            } else if let Err(e) = reading::unlock(config, archive) {
                let text = "[view] officer_key and passphrase_file: they must belong to an officer of this archive";
                report.fault(Error::new(format_args!("the view stays locked: {e}")).with_help(text));
            }
        }
    }
}

fn accounts(places: &Places, report: &mut Report) {
    let opened = Accounts::open(Arc::new(RealDisk), Arc::new(SystemClock), &places.accounts);
    match opened.and_then(|accounts| accounts.list()) {
        Ok(accounts) if accounts.is_empty() => report.warn(
            "there is no account: nobody can read the archive by IMAP or POP3",
            "sealpost user add NAME --role officer --password-stdin",
        ),
        Ok(_) => {}
        Err(e) => report.fault(e),
    }
}

/// Where checkpoints go: only what has left the machine shows what somebody does who has all of it.
fn outside(config: &Config, report: &mut Report) {
    if anchoring::destinations(config).is_empty() {
        report.warn(
            "no checkpoint leaves this machine: whoever has all of it, log key included, could rewrite the archive unnoticed",
            "[archive] checkpoint_to = [\"mail:officer@example.org\", \"file:/mnt/other/checkpoints\"], or tsa",
        );
    }
    if let Err(e) = anchoring::authorities(config) {
        report.fault(Error::new(e).with_help("[archive] tsa_ca names a PEM file with the certificates of authorities"));
    }
    for dir in config.archive.checkpoint_to.iter().filter_map(CheckpointTo::path).filter(|dir| !dir.is_dir()) {
        let text = format_args!("{} is not there: no checkpoint can be kept in it", dir.display()).to_string();
        report.warn(text, "is its volume mounted? for a new one: mkdir -m 700 makes it");
    }
}

fn certificates(config: &Config, report: &mut Report) {
    let uses_tls = config.listener.iter().any(|listener| listener.tls != ListenerTls::None);
    match Presented::load(&config.tls.certificate, &config.tls.key) {
        Ok(presented) if uses_tls => presented_to_clients(&presented, config, report),
        Ok(_) => {}
        // `serve` reads them in any case.
        Err(e) => report.fault(e),
    }
    if let Err(e) = Authorities::load(config) {
        report.fault(e);
    }
    for route in &config.route {
        to_next_hops(route, report);
    }
}

fn to_next_hops(route: &Route, report: &mut Report) {
    let help = "ca_file, client_certificate and client_key are PEM files; paths are relative to data_dir";
    if let Err(e) = tls::client::settings(route) {
        report.fault(Error::new(format_args!("{}: {e}", route.name())).with_help(help));
    }
    let Some(credentials) = &route.credentials else { return };
    if let Err(e) = delivery::credentials(credentials) {
        let help = "password_file names a file whose first line is the password; chmod go= it";
        report.fault(Error::new(format_args!("{}: {e}", route.name())).with_help(help));
    }
    if route.tls != RouteTls::Verified {
        let text = format_args!("{}: its credentials go to whoever answers there", route.name()).to_string();
        report.warn(text, "tls = \"verified\", with ca_file or pinned_keys");
    }
    for secret in credentials.password_file.iter().chain(&route.client_key).filter(|path| others_may_read(path)) {
        let text = format_args!("{}: others may read it", secret.display()).to_string();
        report.warn(text, &format!("chmod go= {}", secret.display()));
    }
}

fn presented_to_clients(presented: &Presented, config: &Config, report: &mut Report) {
    let (file, hostname) = (config.tls.certificate.display(), config.hostname.as_str());
    match presented.not_after() {
        Some(end) if end <= SystemClock.now().plus_s(CERTIFICATE_NOTICE_S) => report.warn(
            format_args!("{file}: the certificate ends at {}", end.rfc3339()),
            "put a new one in its place and send SIGHUP; clients that verify refuse an expired one",
        ),
        _ => {}
    }
    if !presented.is_for(hostname) {
        let text = format_args!("{file}: the certificate does not name {hostname}").to_string();
        report.warn(text, "clients that verify the name refuse it");
    }
}

fn storage(config: &Config, places: &Places, report: &mut Report) {
    for dir in [&places.journal, &places.archive] {
        let on = |kind: &str| format!("{} is on {kind}, which loses mail at power loss", dir.display());
        match RealDisk.filesystem(dir) {
            Err(e) => report.fault(Error::io(dir, &e)),
            Ok(Filesystem::Durable) => {}
            Ok(Filesystem::Doubtful(kind)) => report.warn(
                format_args!("{} is on {kind}: whether it keeps what it syncs is doubtful", dir.display()),
                "a local disk with ext4, xfs, btrfs or zfs does",
            ),
            Ok(Filesystem::Volatile(kind)) if config.journal.danger_volatile_filesystem => {
                report.warn(on(kind), "danger_volatile_filesystem accepts that: for tests only");
            }
            Ok(Filesystem::Volatile(kind)) => {
                report.fault(Error::new(on(kind)).with_help("put data_dir on a local disk"));
            }
        }
    }
    // New mail needs room for a journal file above what must stay free.
    let needed = config.journal.low_space_bytes.saturating_add(config.journal.file_bytes.get());
    if let Ok(free) = RealDisk.free_bytes(&places.journal)
        && free < needed
    {
        let text = format!("{}: {free} octets are free and {needed} are needed", places.journal.display());
        let help = "make room, or new mail is answered 452; [journal] low_space_bytes and file_bytes say how much";
        report.fault(Error::new(text).with_help(help));
    }
}

fn permissions(config: &Config, places: &Places, report: &mut Report) {
    let view = [&config.view.officer_key, &config.view.passphrase_file];
    let secret = [&places.host_key, &places.keyring, &places.journal, &config.tls.key];
    for path in secret.into_iter().chain(view.into_iter().flatten()).filter(|path| !secret_file::is_credential(path)) {
        if others_may_read(path) {
            let text = format_args!("{}: others may read it", path.display()).to_string();
            report.warn(text, &format!("chmod go= {}", path.display()));
        }
    }
}

fn others_may_read(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn weak_points(config: &Config, report: &mut Report) {
    let hostname = config.hostname.as_str();
    if !hostname.contains('.') {
        report.warn(
            format_args!("hostname = \"{hostname}\" is not a full name: many next hops refuse such an EHLO"),
            "hostname = \"gw.example.org\", a name that resolves to this machine",
        );
    }
    if config.local_domains.is_empty() {
        report.warn(
            "local_domains is empty: only relay_networks may send, and nothing is signed",
            "local_domains = [\"example.org\"]",
        );
    }
    for listener in config.listener.iter().filter(|listener| relays_for_all(listener)) {
        report.warn(
            format_args!("listener {} relays for the whole world: spammers find it within hours", listener.bind),
            "relay_networks names the networks of your own mail servers",
        );
    }
    for route in config.route.iter().filter(|route| route.tls == RouteTls::None) {
        report.warn(format_args!("mail to {} goes without TLS", route.next_hop), "tls = \"opportunistic\" or better");
    }
    if config.route_of("none.invalid").is_none() {
        report.warn(
            "no route takes every domain: mail to others is accepted and comes back as undeliverable",
            "domains = [\"*\"] in the last [[route]]",
        );
    }
}

/// Whether an address nobody here can own may relay.
fn relays_for_all(listener: &Listener) -> bool {
    // From the ranges for documentation (RFC 5737, RFC 3849).
    let strangers = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"];
    strangers.iter().filter_map(|ip| ip.parse().ok()).any(|ip| listener.relays_for(ip))
}
