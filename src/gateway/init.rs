//! `sealpost init`: makes a gateway's directory. Everything works at once on one machine; what to move elsewhere is said.

use super::cli::args;
use super::config::template::{self, OfficerKey, Wishes};
use super::config::{Domain, HostPort, Hostname};
use super::error::Error;
use super::host_key;
use super::tls;
use crate::archive::{self, Archive, Certificate, CreateOptions};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::crypto::Secret;
use crate::durable::{self, Disk, RealDisk};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked for, checked.
#[derive(Debug)]
pub struct Init {
    dir: PathBuf,
    hostname: Hostname,
    domains: Vec<Domain>,
    next_hop: HostPort,
    organization: String,
    officer_certs: Vec<PathBuf>,
}

impl From<args::Init> for Init {
    fn from(given: args::Init) -> Init {
        let args::Init { dir, hostname, domains, next_hop, organization, officer_certs } = given;
        Init { dir, hostname, domains, next_hop, organization, officer_certs }
    }
}

/// What was made, in words.
#[derive(Debug)]
pub struct Made {
    dir: PathBuf,
    officer: OfficerKey,
}

impl Made {
    /// For programs.
    pub fn to_json(&self) -> Value {
        let officer = match self.officer {
            OfficerKey::Here => Some(self.dir.join("officer/key.pgp").display().to_string()),
            OfficerKey::Elsewhere => None,
        };
        json!({"dir": self.dir.display().to_string(), "config": self.dir.join("sealpost.toml").display().to_string(), "officer_key": officer})
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dir = self.dir.display();
        writeln!(f, "made {dir}: configuration, policies, TLS certificates, keys, archive")?;
        if self.officer == OfficerKey::Here {
            writeln!(f, "  officer/ holds the key that opens the archive: move it off this machine when all works")?;
        }
        writeln!(f, "next: sealpost user add NAME --role officer --password-stdin --config {dir}/sealpost.toml")?;
        write!(f, "      sealpost check --config {dir}/sealpost.toml && sealpost serve --config {dir}/sealpost.toml")
    }
}

/// Archive everything, change nothing.
const POLICY: &str = r#"# Policies decide what happens to mail; without rules everything is archived and nothing is changed.
# For each action the first rule that matches and sets it wins. `sealpost policy check` reads them; a running gateway takes them
# on SIGHUP. An example:
#
# [[rule]]
# name = "partners get ciphertext"
# when = { direction = "outbound", recipient = ["*@partner.example"], subject = "*[secure]*" }
# then = { encrypt = "required", sign = "if-possible", format = ["smime", "openpgp"], no_key = "refuse" }
"#;

/// Makes it. Refuses a directory that holds anything.
pub fn init(wishes: &Init) -> Result<Made, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let now = SystemClock.now();
    let dir = std::path::absolute(&wishes.dir).map_err(|e| Error::io(&wishes.dir, &e))?;
    refuse_used(&dir)?;
    let certificates = given_officers(&wishes.officer_certs, now)?;
    for name in ["", "policies", "tls", "keyring", "journal", "archive", "run"] {
        let made = dir.join(name);
        disk.create_dir(&made).map_err(|e| Error::io(&made, &e))?;
    }
    let host_key = host_key::make(&*disk, &dir.join("host.key"))?;
    make_tls(&*disk, &dir, wishes)?;
    let (officers, officer) = match certificates.is_empty() {
        false => (certificates, OfficerKey::Elsewhere),
        true => (vec![make_officer(&*disk, &dir, &wishes.organization, now)?], OfficerKey::Here),
    };
    make_archive(&disk, &dir, &host_key, &officers, now)?;
    write(&*disk, &dir.join("policies/default.toml"), POLICY.as_bytes())?;
    // The configuration comes last: a directory that has one is whole.
    let Init { hostname, domains, next_hop, .. } = wishes;
    let text = template::text(&Wishes { hostname, domains, next_hop, officer_key: officer });
    write(&*disk, &dir.join("sealpost.toml"), text.as_bytes())?;
    Ok(Made { dir, officer })
}

fn write(disk: &dyn Disk, path: &Path, octets: &[u8]) -> Result<(), Error> {
    durable::replace(disk, path, octets).map_err(|e| Error::io(path, &e))
}

fn refuse_used(dir: &Path) -> Result<(), Error> {
    match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(dir, &e)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) if dir.join("sealpost.toml").exists() => {
                Err(Error::new(format_args!("{} is not empty: there is a gateway already", dir.display()))
                    .with_help(format_args!("sealpost check --config {}/sealpost.toml", dir.display())))
            }
            Some(_) => Err(Error::new(format_args!("{} is not empty", dir.display())).with_help(
                "init makes a new gateway in a directory of its own; what a failed init left may be removed",
            )),
        },
    }
}

fn given_officers(paths: &[PathBuf], now: Timestamp) -> Result<Vec<Certificate>, Error> {
    let parse = |path: &PathBuf| {
        let octets = std::fs::read(path).map_err(|e| Error::io(path, &e))?;
        Certificate::parse(&octets, now).map_err(|e| {
            Error::of(path.display(), e)
                .with_help("an OpenPGP certificate that can encrypt: gpg --export --armor OFFICER")
        })
    };
    let mut certificates: Vec<Certificate> = Vec::new();
    for path in paths {
        let certificate = parse(path)?;
        // One person is one officer, however often the file was named.
        if !certificates.iter().any(|have| have.fingerprint() == certificate.fingerprint()) {
            certificates.push(certificate);
        }
    }
    Ok(certificates)
}

fn make_tls(disk: &dyn Disk, dir: &Path, wishes: &Init) -> Result<(), Error> {
    let mut names = vec![wishes.hostname.as_str().to_owned()];
    for name in ["localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|have| have == name) {
            names.push(name.to_owned());
        }
    }
    let issued = tls::issue(&wishes.organization, &names).map_err(|e| Error::of("TLS certificates", e))?;
    write(disk, &dir.join("tls/ca.pem"), issued.ca_pem.as_bytes())?;
    write(disk, &dir.join("tls/cert.pem"), issued.chain_pem.as_bytes())?;
    write(disk, &dir.join("tls/key.pem"), issued.key_pem.as_bytes())
}

/// An officer's key made here, so that one machine works at once.
fn make_officer(disk: &dyn Disk, dir: &Path, organization: &str, now: Timestamp) -> Result<Certificate, Error> {
    let fault = |e: archive::Error| Error::of("officer key", e);
    let passphrase = archive::passphrase().map_err(fault)?;
    let made = archive::generate(&format!("{organization} archive officer"), &passphrase, now).map_err(fault)?;
    let officer = dir.join("officer");
    disk.create_dir(&officer).map_err(|e| Error::io(&officer, &e))?;
    write(disk, &officer.join("key.pgp"), made.key.expose())?;
    write(disk, &officer.join("cert.pgp"), &made.certificate)?;
    write(disk, &officer.join("passphrase"), &[passphrase.expose(), b"\n"].concat())?;
    Certificate::parse(&made.certificate, now).map_err(fault)
}

fn make_archive(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    host_key: &Secret<32>,
    officers: &[Certificate],
    now: Timestamp,
) -> Result<(), Error> {
    let options = CreateOptions { officers, threshold: 1, uid_base: 0, now };
    let place = dir.join("archive");
    Archive::create(disk.clone(), &place, host_key, &options).map_err(|e| Error::archive(&place, &e))?;
    Ok(())
}
