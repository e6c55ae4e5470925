//! Certificates of clients: which are known at a listener, and which of them may relay. Trusts nobody whom the listener does not
//! name, and never lets an unknown one pass for a known one.

use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::gateway::config::{CertificateName, ClientCertificate, Config, Listener};
use crate::gateway::tls::{self, Error, Possession};
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

type Verifiers = HashMap<PathBuf, Arc<dyn ClientCertVerifier>>;

/// The authorities of all listeners, replaceable while they run.
#[derive(Debug)]
pub struct Authorities(ArcSwap<Verifiers>);

/// A new version of them that can be read.
#[derive(Debug)]
pub struct Fresh(Verifiers);

impl Authorities {
    /// Reads every `client_ca_file`.
    pub fn load(config: &Config) -> Result<Authorities, Error> {
        Authorities::read(config).map(|Fresh(verifiers)| Authorities(ArcSwap::from_pointee(verifiers)))
    }
    /// Reads them again; nothing is replaced yet.
    pub fn read(config: &Config) -> Result<Fresh, Error> {
        let files = config.listener.iter().filter_map(|listener| listener.client_ca_file.as_ref());
        files.map(|file| Ok((file.clone(), verifier(file)?))).collect::<Result<_, _>>().map(Fresh)
    }
    /// The next handshake knows these.
    pub fn replace(&self, Fresh(verifiers): Fresh) {
        self.0.store(Arc::new(verifiers));
    }
}

fn verifier(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let roots = Arc::new(tls::anchors(file)?);
    let built = WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build();
    built.map_err(|e| Error::File { path: file.to_owned(), reason: e.to_string() })
}

/// What one listener asks of its clients' certificates.
#[derive(Debug)]
pub struct Certificates {
    asked: ClientCertificate,
    names: Vec<CertificateName>,
    ca_file: Option<PathBuf>,
    authorities: Arc<Authorities>,
    possession: Possession,
}

impl Certificates {
    /// `None` when it asks for none.
    pub fn of(listener: &Listener, authorities: &Arc<Authorities>) -> Option<Arc<Certificates>> {
        Some(Arc::new(Certificates {
            asked: listener.asks_for_certificate()?,
            names: listener.relay_certificates.clone(),
            ca_file: listener.client_ca_file.clone(),
            authorities: authorities.clone(),
            possession: Possession::new(),
        }))
    }

    /// The first of `relay_certificates` that a client's chain meets (leaf first). A name counts only under an authority, a
    /// fingerprint by itself.
    pub fn relaying(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Option<&CertificateName> {
        let (leaf, above) = chain.split_first()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.s()).ok()?));
        let is_vouched_for = self.vouch(leaf, above, now).is_ok();
        self.names.iter().find(|name| match name {
            CertificateName::Sha256(digest) => *digest == sha256(leaf),
            CertificateName::Name(name) => is_vouched_for && names(leaf, name),
        })
    }

    fn vouch(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let verifiers = self.authorities.0.load();
        let verifier = self.ca_file.as_ref().and_then(|file| verifiers.get(file)).ok_or_else(unknown)?;
        verifier.verify_client_cert(leaf, above, now)
    }
}

/// Whether a certificate has this DNS name or mailbox among its subject's alternative names.
fn names(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let parsed = x509_cert::Certificate::from_der(leaf).ok();
    let names = parsed.and_then(|c| c.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten());
    names.is_some_and(|(_, SubjectAltName(names))| {
        names.iter().any(|one| match one {
            GeneralName::DnsName(text) => text.as_str().eq_ignore_ascii_case(name),
            GeneralName::Rfc822Name(text) => text.as_str().eq_ignore_ascii_case(name),
            _ => false,
        })
    })
}

impl ClientCertVerifier for Certificates {
    fn client_auth_mandatory(&self) -> bool {
        self.asked == ClientCertificate::Required
    }
    /// None, so that a client shows what it has: one pinned by its fingerprint is of no authority of ours.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    /// Many mail servers show a certificate to everybody who asks. Where none is required, an unknown one is no reason to fall
    /// back to clear text; it opens nothing.
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let is_pinned = || self.names.contains(&CertificateName::Sha256(sha256(leaf)));
        match self.vouch(leaf, above, now) {
            Err(e) if self.asked == ClientCertificate::Required && !is_pinned() => Err(e),
            _ => Ok(ClientCertVerified::assertion()),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.possession.tls12(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.possession.tls13(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.possession.schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_met_by_name_under_its_authority_and_by_fingerprint() {
        let dir = tempfile::tempdir().expect("a directory");
        let issue = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            tls::issue("Example", &names).expect("issued")
        };
        let (known, stranger) = (issue(&["mx.example.org", "localhost"]), issue(&["mx.example.org"]));
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, &known.ca_pem).expect("write");
        let chain = |issued: &tls::Issued| {
            let file = dir.path().join("chain.pem");
            std::fs::write(&file, &issued.chain_pem).expect("write");
            tls::read_certificates(&file).expect("certificates")
        };
        let (known, stranger) = (chain(&known), chain(&stranger));
        let pin = crate::crypto::hash::hex(&sha256(&stranger[0]));
        let text = format!(
            "hostname = \"h\"\nroute = []\n[[listener]]\nprotocol = \"smtp\"\nbind = \"127.0.0.1:1\"\ndirection = \"outbound\"\n\
             client_ca_file = {ca:?}\nrelay_certificates = [\"MX.example.org\", \"sha256:{pin}\"]\n"
        );
        let config = Config::parse(&text).expect("valid");
        let authorities = Arc::new(Authorities::load(&config).expect("loads"));
        let certificates = Certificates::of(&config.listener[0], &authorities).expect("asked for");
        let now = crate::clock::Clock::now(&crate::clock::SystemClock);
        let met = |chain: &[CertificateDer<'_>]| certificates.relaying(chain, now).map(ToString::to_string);
        // Its key usage is for servers alone, so the authority does not vouch for it as a client.
        assert_eq!(met(&known), None);
        assert_eq!(met(&stranger), Some(format!("sha256:{pin}")));
        assert_eq!(met(&[]), None);
        assert!(names(&known[0], "LOCALHOST") && !names(&known[0], "example.org"));
        std::fs::write(&ca, "none").expect("write");
        assert!(Authorities::read(&config).is_err());
    }
}
