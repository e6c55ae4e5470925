//! TLS to next hops: whom a route believes, and who it says we are. Never weaker than the route asks for.

use super::{Error, certified, fault, provider, read_certificates};
use crate::gateway::config::{PinnedKey, Route, RouteTls};
use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// Where systems keep the certificates of the authorities they trust: Debian and Alpine, Fedora, openSUSE, the BSDs.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The settings of a route. Reads its files, so that new ones are taken without a restart.
pub fn settings(route: &Route) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(route)?);
    let config = match (&route.client_certificate, &route.client_key) {
        (Some(certificate), Some(key)) => {
            let shown = SingleCertAndKey::from(certified(certificate, key)?);
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// The settings of a client that trusts the certificates in `anchors` (PEM) and checks the peer's name.
pub fn verified(anchors: &Path) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(authorities(anchors)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Opportunistic security (RFC 7435) trusts whoever answers, and so does `required`.
fn verifier(route: &Route) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if route.tls != RouteTls::Verified {
        return Ok(Arc::new(AnyPeer(provider())));
    }
    let chain = match (&route.ca_file, route.pinned_keys.is_empty()) {
        (Some(file), _) => Some(authorities(file)?),
        (None, true) => Some(system_authorities()?),
        (None, false) => None,
    };
    match chain {
        Some(chain) if route.pinned_keys.is_empty() => Ok(chain),
        chain => Ok(Arc::new(PinnedPeer { pins: route.pinned_keys.clone(), chain, provider: provider() })),
    }
}

fn authorities(file: &Path) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for anchor in read_certificates(file)? {
        roots.add(anchor).map_err(|e| fault(file, &e))?;
    }
    chain_verifier(file, roots)
}

/// What cannot be read among the many of a system is left out.
fn system_authorities() -> Result<Arc<WebPkiServerVerifier>, Error> {
    let found = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|file| file.is_file());
    let Some(file) = found else {
        let first = Path::new(SYSTEM_AUTHORITIES[0]);
        return Err(fault(first, &"not there; install ca-certificates, or name whom to trust with ca_file"));
    };
    let mut roots = RootCertStore::empty();
    let (_added, _left_out) = roots.add_parsable_certificates(read_certificates(file)?);
    chain_verifier(file, roots)
}

fn chain_verifier(file: &Path, roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    builder.build().map_err(|e| fault(file, &e))
}

/// The key of a certificate, as a pin.
fn key_of(certificate: &CertificateDer<'_>) -> Result<PinnedKey, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let digest = digest::digest(&digest::SHA256, &parsed.subject_public_key_info());
    let octets = digest.as_ref().try_into();
    octets.map(PinnedKey).map_err(|_| rustls::Error::General("SHA-256 has 32 octets".to_owned()))
}

fn tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    provider: &CryptoProvider,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls12_signature(message, certificate, signature, &provider.signature_verification_algorithms)
}

fn tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    provider: &CryptoProvider,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verify_tls13_signature(message, certificate, signature, &provider.signature_verification_algorithms)
}

/// Accepts any certificate, but still checks that the peer holds its key, so that a passive listener learns nothing.
#[derive(Debug)]
struct AnyPeer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyPeer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12(message, certificate, signature, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls13(message, certificate, signature, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts a certificate with a pinned key, or one that chains and names the host where there is somebody to chain to.
#[derive(Debug)]
struct PinnedPeer {
    pins: Vec<PinnedKey>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedPeer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = key_of(leaf)?;
        if self.pins.contains(&key) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chain {
            Some(chain) => chain.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Err(rustls::Error::General(format!("its key is not pinned: {key}"))),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12(message, certificate, signature, &self.provider)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls13(message, certificate, signature, &self.provider)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
