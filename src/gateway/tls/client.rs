//! TLS to next hops: whom a route believes, and who it says we are. Never weaker than the route asks for.

use super::{Error, Possession, anchors, certified, fault, provider, read_certificates};
use crate::crypto::sha256;
use crate::gateway::config::{PinnedKey, Route, RouteTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use x509_cert::der::Decode;

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

/// The settings of a client that trusts the certificates in `authorities` (PEM) and checks the peer's name.
pub fn verified(authorities: &Path) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(chain_verifier(authorities, anchors(authorities)?)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The settings of a client that trusts whom the system trusts, and checks the peer's name.
pub fn of_the_system() -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(system_authorities()?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Opportunistic security (RFC 7435) believes whoever answers, and so does `required`.
fn verifier(route: &Route) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let believes = match route.tls {
        RouteTls::Verified => trusted(route)?,
        RouteTls::None | RouteTls::Opportunistic | RouteTls::Required => Believes::Anybody,
    };
    Ok(Arc::new(Peer { believes, possession: Possession::new() }))
}

fn trusted(route: &Route) -> Result<Believes, Error> {
    let pins = route.pinned_keys.clone();
    let (chain, named) = match (&route.ca_file, pins.is_empty()) {
        (Some(file), _) => (Some(chain_verifier(file, anchors(file)?)?), read_certificates(file)?),
        (None, true) => (Some(system_authorities()?), Vec::new()),
        (None, false) => (None, Vec::new()),
    };
    Ok(Believes::Those { pins, chain, named })
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
    Ok(PinnedKey(sha256(&parsed.subject_public_key_info())))
}

/// Whether a certificate is for `name`, now.
fn is_for(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    let bad = |_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(bad)?;
    let validity = parsed.tbs_certificate().validity();
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(ServerCertVerified::assertion())
}

/// Whom a route takes for its next hop.
#[derive(Debug)]
enum Believes {
    /// Whoever answers and holds the key it shows, so that a passive listener learns nothing.
    Anybody,
    /// One with a pinned key; one whose certificate stands in `ca_file` itself, is for the host and has not ended, which webpki would
    /// not take when it signed itself; and one that chains and names the host, where there is somebody to chain to.
    Those { pins: Vec<PinnedKey>, chain: Option<Arc<WebPkiServerVerifier>>, named: Vec<CertificateDer<'static>> },
}

#[derive(Debug)]
struct Peer {
    believes: Believes,
    possession: Possession,
}

impl ServerCertVerifier for Peer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Believes::Those { pins, chain, named } = &self.believes else { return Ok(ServerCertVerified::assertion()) };
        let key = key_of(leaf)?;
        if pins.contains(&key) {
            return Ok(ServerCertVerified::assertion());
        }
        if named.contains(leaf) {
            return is_for(leaf, name, now);
        }
        match chain {
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
    fn a_certificate_of_the_file_itself_still_has_to_be_for_the_host_and_now() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut wished = rcgen::CertificateParams::new(["mx.example".to_owned()]).expect("a name");
        wished.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wished.not_after = rcgen::date_time_ymd(2020, 2, 1);
        let certificate = wished.self_signed(&key).expect("signed");
        let check = |name: &str, at_s: u64, expected: Option<CertificateError>| {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at_s));
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            let expected = expected.map(rustls::Error::InvalidCertificate);
            assert_eq!(is_for(certificate.der(), &name, now).err(), expected, "{name:?} {at_s}");
        };
        // 1 January and 1 February 2020.
        let (start, end) = (1_577_836_800, 1_580_515_200);
        check("mx.example", start, None);
        check("mx.example", end, None);
        check("mx.example", start - 1, Some(CertificateError::NotValidYet));
        check("mx.example", end + 1, Some(CertificateError::Expired));
        let name = ServerName::try_from("other.example".to_owned()).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(start));
        assert!(is_for(certificate.der(), &name, now).is_err());
    }
}
