//! TLS for listeners, and for routes in `client`: certificates that can be replaced under running sessions. Never falls back to an
//! older certificate silently.

pub mod client;

use crate::clock::Timestamp;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_cert::der::Decode;

/// Why TLS cannot be set up. Shown to the administrator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read as PEM.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Key and certificate do not go together, or the library refuses the parameters.
    #[error("TLS: {0}")]
    Parameters(#[from] rustls::Error),
}

/// The cryptography of every TLS session: X25519MLKEM768 first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificate that listeners present, replaceable while they run.
#[derive(Debug)]
pub struct Presented(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Presented {
    /// Reads a chain (leaf first) and its private key, both PEM.
    pub fn load(certificates: &Path, key: &Path) -> Result<Presented, Error> {
        Ok(Presented(ArcSwap::from_pointee(certified(certificates, key)?)))
    }
    /// When the certificate ends; `None` when it does not say so in a form that is understood.
    pub fn not_after(&self) -> Option<Timestamp> {
        let certified = self.0.load();
        let parsed = x509_cert::Certificate::from_der(certified.cert.first()?).ok()?;
        let end = parsed.tbs_certificate().validity().not_after.to_unix_duration();
        i64::try_from(end.as_secs()).ok().map(Timestamp::from_s)
    }
    /// Whether the certificate names `hostname`.
    pub fn is_for(&self, hostname: &str) -> bool {
        let certified = self.0.load();
        let parsed = certified.cert.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
        let name = ServerName::try_from(hostname.to_owned()).ok();
        parsed.zip(name).is_some_and(|(leaf, name)| verify_server_name(&leaf, &name).is_ok())
    }
    /// Reads both again; on any fault the former certificate stays.
    pub fn reload(&self, certificates: &Path, key: &Path) -> Result<(), Error> {
        self.0.store(Arc::new(certified(certificates, key)?));
        Ok(())
    }
}

fn certified(certificates: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let chain = read_certificates(certificates)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| fault(key, &e))?;
    CertifiedKey::from_der(chain, key_der, &provider()).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            fault(key, &format_args!("not the private key of {}", certificates.display()))
        }
        other => Error::Parameters(other),
    })
}

pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| fault(path, &e))?.collect();
    match all {
        Err(e) => Err(fault(path, &e)),
        Ok(none) if none.is_empty() => Err(fault(path, &"holds no certificate")),
        Ok(chain) => Ok(chain),
    }
}

fn fault(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::File { path: path.to_owned(), reason: reason.to_string() }
}

/// The settings of a listener: TLS 1.2 and 1.3, and whom it asks for a certificate.
pub fn server(
    presented: Arc<Presented>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(rustls::ALL_VERSIONS)?;
    let Some(clients) = clients else {
        return Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(presented)));
    };
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(presented);
    // A resumed session would bring a certificate that nobody has looked at since its authority was replaced.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Certificates to trust, PEM.
pub(super) fn anchors(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for anchor in read_certificates(path)? {
        roots.add(anchor).map_err(|e| fault(path, &e))?;
    }
    Ok(roots)
}

/// That a peer holds the key of the certificate it shows is for the library to check, whomever we trust.
#[derive(Debug)]
pub(super) struct Possession(WebPkiSupportedAlgorithms);

impl Possession {
    /// By the algorithms of every TLS session.
    pub fn new() -> Possession {
        Possession(provider().signature_verification_algorithms)
    }
    /// In TLS 1.2.
    pub fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }
    /// In TLS 1.3.
    pub fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }
    /// The schemes it knows.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// PEM files of a fresh certificate authority and a certificate it signed for `names`.
pub struct Issued {
    /// The authority's certificate.
    pub ca_pem: String,
    /// The gateway's certificate, then the authority's.
    pub chain_pem: String,
    /// The gateway's private key (PKCS#8).
    pub key_pem: String,
}

/// Makes `init`'s certificates: ECDSA P-256, for `names` (DNS names and IP addresses). The authority's key is not kept: it
/// signs this one certificate.
pub fn issue(organization: &str, names: &[String]) -> Result<Issued, rcgen::Error> {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.distinguished_name.push(DnType::CommonName, format!("{organization} Sealpost CA"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::from_params(&ca, &ca_key);
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name.push(DnType::CommonName, names.first().map_or("sealpost", String::as_str));
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(Issued {
        ca_pem: ca_certificate.pem(),
        chain_pem: format!("{}{}", certificate.pem(), ca_certificate.pem()),
        key_pem: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issued_certificates_load_and_reload() {
        let dir = tempfile::tempdir().expect("a directory");
        let names = ["gw.example.org".to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let issued = issue("Example", &names).expect("issued");
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert, &issued.chain_pem).expect("write");
        std::fs::write(&key, &issued.key_pem).expect("write");
        let presented = Presented::load(&cert, &key).expect("loads");
        assert!(presented.is_for("GW.example.org") && !presented.is_for("other.example.org"));
        assert!(presented.not_after().is_some_and(|end| end > Timestamp::from_s(0)));
        std::fs::write(&cert, "no certificate").expect("write");
        let refused = presented.reload(&cert, &key).expect_err("refused");
        assert!(refused.to_string().contains("cert.pem"), "{refused}");
        server(Arc::new(presented), None).expect("the former certificate stays");
        let other = issue("Example", &names).expect("issued");
        std::fs::write(&cert, &other.chain_pem).expect("write");
        let refused = Presented::load(&cert, &key).expect_err("a key of another certificate").to_string();
        assert!(refused.contains("key.pem: not the private key of") && refused.contains("cert.pem"), "{refused}");
    }
}
