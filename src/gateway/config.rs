//! `sealpost.toml`: what it may say and what its words mean. Reads text, never files; a value that stands here is valid.

mod anchor;
pub(super) mod check;
mod listener;
mod route;
pub mod template;
mod value;

pub use anchor::{AuthorityUrl, CheckpointTo, Scheme, Scrub};
pub use listener::{AccountSenders, CertificateName, ClientCertificate, Listener, ListenerTls, LoopHeader, Protocol};
pub use route::{CredentialsFrom, Marker, PinnedKey, Route, RouteProtocol, RouteTls};
pub use value::{
    AddressPattern, Domain, DomainPattern, HostPort, Hostname, JournalFileBytes, Network, NextHops, RetrySchedule,
};

use super::secret_file;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration. Paths are relative to the directory of the file (`data_dir`) until [`Config::anchor`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Our name in greetings, EHLO, Received and Authentication-Results.
    pub hostname: Hostname,
    /// Where everything lies; relative to the file.
    #[serde(default = "defaults::data_dir")]
    pub data_dir: PathBuf,
    /// Domains whose mail is ours.
    #[serde(default)]
    pub local_domains: Vec<Domain>,
    /// Who may connect, and how.
    pub listener: Vec<Listener>,
    /// Where mail goes.
    pub route: Vec<Route>,
    /// Certificates of listeners.
    #[serde(default)]
    pub tls: TlsFiles,
    /// Retries.
    #[serde(default)]
    pub queue: Queue,
    /// Waiting, in seconds.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// The journal.
    #[serde(default)]
    pub journal: Journal,
    /// The archive.
    #[serde(default)]
    pub archive: Archive,
    /// Who may read.
    #[serde(default)]
    pub view: View,
}

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// Chain, leaf first, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// `[queue]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Waits between tries; the last repeats.
    pub retry_s: RetrySchedule,
    /// After this long undelivered mail is returned.
    pub lifetime_s: u64,
    /// After this long the sender is warned.
    pub delay_warning_s: u64,
}

/// `[timeouts]`, all in seconds (RFC 5321 section 4.5.3.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Connect, greeting and EHLO at a next hop.
    pub initial_s: u64,
    /// Reply to MAIL.
    pub mail_s: u64,
    /// Reply to RCPT.
    pub rcpt_s: u64,
    /// Reply to DATA.
    pub data_start_s: u64,
    /// Writing a block of the message, or reading one.
    pub data_block_s: u64,
    /// Reply to the final dot.
    pub data_done_s: u64,
    /// A client that says nothing.
    pub server_idle_s: u64,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of a message.
    pub message_bytes: u64,
    /// Recipients of a transaction.
    pub recipients: usize,
    /// Connections over all listeners.
    pub connections: usize,
    /// Connections from one address, loopback excepted.
    pub connections_per_address: usize,
    /// New connections from one address in a minute; this and what follows, for smtp and lmtp, loopback, relay_networks and
    /// xclient_networks excepted.
    pub connections_per_minute: u32,
    /// Messages from one address in a minute.
    pub messages_per_minute: u32,
    /// Recipients from one address in a minute.
    pub recipients_per_minute: u32,
    /// Errors, denied recipients and refused logins from one address in a minute.
    pub errors_per_minute: u32,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Octets of a journal file.
    pub file_bytes: JournalFileBytes,
    /// Files prepared ahead.
    pub spares: usize,
    /// Octets that must stay free on the volume; below it new mail is answered 452.
    pub low_space_bytes: u64,
    /// Octets of journal files that sealing and delivery may keep; beyond it new mail is answered 452.
    pub kept_bytes: u64,
    /// A second directory in which every journal file has a twin, synced with it; best on another disk.
    pub mirror: Option<PathBuf>,
    /// Accept a file system that forgets.
    pub danger_volatile_filesystem: bool,
}

/// `[archive]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archive {
    /// Seal when the oldest accepted message is this old.
    pub seal_after_s: u64,
    /// Seal when this much is not sealed.
    pub seal_bytes: u64,
    /// Officers who must sign an order of erasure.
    pub erase_signatures: usize,
    /// How long a backup of key objects is kept: what a receipt says of what it cannot know.
    pub key_backup_days: u32,
    /// Where checkpoints go once a day, so that they are out of reach of whoever has this machine.
    pub checkpoint_to: Vec<CheckpointTo>,
    /// A time stamping authority (RFC 3161), which stamps a checkpoint once a day.
    pub tsa: Option<AuthorityUrl>,
    /// Whose time stamps are believed, PEM.
    pub tsa_ca: Option<PathBuf>,
    /// How often every octet of the archive is read and compared.
    pub scrub: Scrub,
    /// How fast, in MB (10^6 octets) a second.
    pub scrub_mb_s: u64,
}

/// `[view]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct View {
    /// The officer's OpenPGP private key, a file or `credential:NAME`; without it the view is locked until officers unlock it.
    pub officer_key: Option<PathBuf>,
    /// File whose first line is its passphrase.
    pub passphrase_file: Option<PathBuf>,
}

impl Config {
    /// Reads the text of a configuration file.
    pub fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }
    /// Makes every path absolute: `data_dir` from the file's directory, the rest from `data_dir`.
    pub fn anchor(mut self, file: &Path) -> Config {
        let base = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        self.data_dir = if self.data_dir == Path::new(".") { base } else { base.join(&self.data_dir) };
        let root = self.data_dir.clone();
        let join = |path: &mut PathBuf| {
            if !secret_file::is_credential(path) {
                *path = root.join(&*path);
            }
        };
        join(&mut self.tls.certificate);
        join(&mut self.tls.key);
        self.journal.mirror.iter_mut().for_each(join);
        self.archive.tsa_ca.iter_mut().for_each(join);
        self.archive.checkpoint_to.iter_mut().filter_map(CheckpointTo::path_mut).for_each(join);
        self.view.officer_key.iter_mut().for_each(join);
        self.view.passphrase_file.iter_mut().for_each(join);
        for route in &mut self.route {
            let password = route.credentials.as_mut().and_then(|credentials| credentials.password_file.as_mut());
            let files = [&mut route.ca_file, &mut route.client_certificate, &mut route.client_key];
            files.into_iter().flatten().chain(password).for_each(join);
        }
        self.listener.iter_mut().filter_map(|l| l.client_ca_file.as_mut()).for_each(join);
        self
    }
    /// Takes from `former` what sessions, queues and files in use depend on; whether anything of it was to be different.
    pub fn keep_fixed(&mut self, former: &Config) -> Changed {
        let fixed = |config: &Config| {
            let Config { hostname, data_dir, listener, route, limits, journal, .. } = config;
            format!("{hostname:?} {data_dir:?} {listener:?} {route:?} {limits:?} {journal:?}")
        };
        let changed = if fixed(self) == fixed(former) { Changed::No } else { Changed::Yes };
        let Config { hostname, data_dir, listener, route, limits, journal, .. } = former.clone();
        (self.hostname, self.data_dir, self.listener, self.route) = (hostname, data_dir, listener, route);
        (self.limits, self.journal) = (limits, journal);
        changed
    }
    /// Whether mail for `domain` is ours.
    pub fn is_local(&self, domain: &str) -> bool {
        self.local_domains.iter().any(|local| local.is(domain))
    }
    /// The route of a recipient domain: the first that names it.
    pub fn route_of(&self, domain: &str) -> Option<usize> {
        self.route.iter().position(|route| route.domains.iter().any(|pattern| pattern.matches(domain)))
    }
}

/// Whether a new configuration differs where a running gateway cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Timeouts {
    /// How long a silent client is kept.
    pub fn server_idle(&self) -> Duration {
        Duration::from_secs(self.server_idle_s)
    }
}

impl Default for TlsFiles {
    fn default() -> Self {
        TlsFiles { certificate: "tls/cert.pem".into(), key: "tls/key.pem".into() }
    }
}
impl Default for Queue {
    fn default() -> Self {
        Queue { retry_s: RetrySchedule::default(), lifetime_s: 432_000, delay_warning_s: 14_400 }
    }
}
impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            initial_s: 300,
            mail_s: 300,
            rcpt_s: 300,
            data_start_s: 120,
            data_block_s: 180,
            data_done_s: 600,
            server_idle_s: 300,
        }
    }
}
impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: 104_857_600,
            recipients: 1000,
            connections: 2000,
            connections_per_address: 100,
            connections_per_minute: 300,
            messages_per_minute: 600,
            recipients_per_minute: 6000,
            errors_per_minute: 100,
        }
    }
}
impl Default for Journal {
    fn default() -> Self {
        Journal {
            file_bytes: JournalFileBytes::default(),
            spares: 1,
            low_space_bytes: 268_435_456,
            kept_bytes: 8_589_934_592,
            mirror: None,
            danger_volatile_filesystem: false,
        }
    }
}
impl Default for Archive {
    fn default() -> Self {
        Archive {
            seal_after_s: 300,
            seal_bytes: 268_435_456,
            erase_signatures: 1,
            key_backup_days: 30,
            checkpoint_to: Vec::new(),
            tsa: None,
            tsa_ca: None,
            scrub: Scrub::Daily,
            scrub_mb_s: 20,
        }
    }
}

mod defaults {
    //! Values of keys that are not given.
    use std::path::PathBuf;

    pub fn data_dir() -> PathBuf {
        ".".into()
    }
}
