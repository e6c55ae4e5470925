//! CMS SignedData (RFC 5652 section 5), detached, one signer: RSA PKCS#1 v1.5 or ECDSA on P-256, both with SHA-256.

use super::{Error, algorithm, issuer_and_serial};
use crate::clock::Timestamp;
use crate::crypto::sha256;
use crate::keyring::{SmimeKeyPair, SmimeSigner};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo, SignerInfos};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{
    ID_AES_128_CBC, ID_AES_256_CBC, ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME,
};
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_SHA_256, RSA_ENCRYPTION};
use der::asn1::{GeneralizedTime, Null, OctetString, SetOfVec, UtcTime};
use der::{Any, AnyRef, DateTime, Encode, Sequence, Tag, TagNumber};
use spki::AlgorithmIdentifierOwned;
use std::time::Duration;
use x509_cert::attr::{Attribute, Attributes};

/// id-smimeCapabilities (RFC 8551 section 2.5.2).
const SMIME_CAPABILITIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.15");
/// id-aa-signingCertificateV2 (RFC 5035 section 3).
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// id-aa-CMSAlgorithmProtect (RFC 6211 section 2).
const CMS_ALGORITHM_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");
/// The last year that signing time has as UTCTime (RFC 5652 section 11.3).
const UTC_TIME_YEAR_MAX: u16 = 2049;

/// A ContentInfo with a SignedData over `content`, which is not in it.
pub fn detached(content: &[u8], signer: &SmimeSigner, now: Timestamp) -> Result<Vec<u8>, Error> {
    let signer_info = signer_info(content, signer, now)?;
    // SET OF certificates, [0] IMPLICIT, each octet for octet. The signer's stands first: some readers take the first they see.
    let certificates = signer.chain().concat();
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([algorithm(ID_SHA_256, None)])?,
        encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
        certificates: AnyRef::new(Tag::ContextSpecific { constructed: true, number: TagNumber(0) }, &certificates)?,
        signer_infos: SignerInfos::try_from(vec![signer_info])?,
    };
    Ok(ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&signed)? }.to_der()?)
}

/// SignedData whose certificates are octets: encoding a parsed certificate again may give others, and break its signature.
#[derive(Sequence)]
struct SignedData<'a> {
    version: CmsVersion,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    encap_content_info: EncapsulatedContentInfo,
    certificates: AnyRef<'a>,
    signer_infos: SignerInfos,
}

fn signer_info(content: &[u8], signer: &SmimeSigner, now: Timestamp) -> Result<SignerInfo, Error> {
    let signature_algorithm = match signer.key_pair() {
        SmimeKeyPair::Rsa(_) => algorithm(RSA_ENCRYPTION, Some(Null.into())),
        SmimeKeyPair::P256(_) => algorithm(ECDSA_WITH_SHA_256, None),
    };
    let attributes = attributes(content, signer, now, &signature_algorithm)?;
    // The signature is over the attributes as a SET OF, not as the [0] that stands in the SignerInfo (RFC 5652 section 5.4).
    let signature = signature(signer.key_pair(), &attributes.to_der()?)?;
    Ok(SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(issuer_and_serial(signer.certificate())),
        digest_alg: algorithm(ID_SHA_256, None),
        signed_attrs: Some(attributes),
        signature_algorithm,
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    })
}

fn signature(key: &SmimeKeyPair, octets: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |_| Error::Failed("signing".to_owned());
    let random = SystemRandom::new();
    match key {
        SmimeKeyPair::Rsa(pair) => {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature).map_err(failed)?;
            Ok(signature)
        }
        SmimeKeyPair::P256(pair) => Ok(pair.sign(&random, octets).map_err(failed)?.as_ref().to_vec()),
    }
}

fn attributes(
    content: &[u8],
    signer: &SmimeSigner,
    now: Timestamp,
    signature_algorithm: &AlgorithmIdentifierOwned,
) -> Result<Attributes, Error> {
    let protection =
        AlgorithmProtection { digest: algorithm(ID_SHA_256, None), signature: Some(signature_algorithm.clone()) };
    let attributes = [
        attribute(ID_CONTENT_TYPE, &ID_DATA)?,
        attribute(ID_MESSAGE_DIGEST, &OctetString::new(sha256(content))?)?,
        signing_time(now)?,
        attribute(SMIME_CAPABILITIES, &capabilities())?,
        attribute(SIGNING_CERTIFICATE_V2, &signing_certificate(signer)?)?,
        attribute(CMS_ALGORITHM_PROTECTION, &protection)?,
    ];
    Ok(SetOfVec::from_iter(attributes)?)
}

fn attribute<T: Encode + der::Tagged + der::EncodeValue>(oid: ObjectIdentifier, value: &T) -> Result<Attribute, Error> {
    Ok(Attribute { oid, values: SetOfVec::from_iter([Any::encode_from(value)?])? })
}

fn signing_time(now: Timestamp) -> Result<Attribute, Error> {
    let at = DateTime::from_unix_duration(Duration::from_secs(u64::try_from(now.s()).unwrap_or(0)))?;
    if at.year() <= UTC_TIME_YEAR_MAX {
        attribute(ID_SIGNING_TIME, &UtcTime::from_date_time(at)?)
    } else {
        attribute(ID_SIGNING_TIME, &GeneralizedTime::from_date_time(at))
    }
}

/// SMIMECapability without parameters.
#[derive(Sequence)]
struct Capability {
    id: ObjectIdentifier,
}

/// What we decrypt, best first.
fn capabilities() -> Vec<Capability> {
    [ID_AES_256_CBC, ID_AES_128_CBC].map(|id| Capability { id }).into()
}

/// ```text
/// CMSAlgorithmProtection ::= SEQUENCE {
///    digestAlgorithm     DigestAlgorithmIdentifier,
///    signatureAlgorithm  [1] SignatureAlgorithmIdentifier OPTIONAL, ... }
/// ```
#[derive(Sequence)]
struct AlgorithmProtection {
    digest: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true", optional = "true")]
    signature: Option<AlgorithmIdentifierOwned>,
}

/// `SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, ... }`
#[derive(Sequence)]
struct SigningCertificate {
    certs: Vec<CertificateId>,
}

/// ESSCertIDv2; the hash algorithm is the default, SHA-256, and so not written.
#[derive(Sequence)]
struct CertificateId {
    hash: OctetString,
}

fn signing_certificate(signer: &SmimeSigner) -> Result<SigningCertificate, Error> {
    let hash = OctetString::new(sha256(signer.certificate().der()))?;
    Ok(SigningCertificate { certs: vec![CertificateId { hash }] })
}
