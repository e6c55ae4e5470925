//! TimeStampToken: a CMS SignedData with one signer (RFC 5652, RFC 3161 section 2.4.2), and whether it is to be believed. The
//! signature is OpenSSL's affair; which certificate it must hold under, and what this may be used for, is checked here.

use super::cursor::Malformed;
use super::timestamp::Fault;
use super::timestamp::sequence;
use crate::clock::Timestamp;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::ID_SIGNED_DATA;
use der::asn1::{Any, OctetString, SetOfVec};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509Ref, X509StoreContext};

/// id-ct-TSTInfo.
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificate (RFC 2634) and its successor (RFC 5035).
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// Certificates in a token.
const CERTIFICATES_MAX: usize = 16;
/// Authorities in a file.
const AUTHORITIES_MAX: usize = 1000;

/// Whose time stamps are believed.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<X509>);

impl Authorities {
    /// From PEM: each certificate is believed, and whoever it vouches for.
    pub fn from_pem(pem: &[u8]) -> Result<Authorities, Malformed> {
        let certificates = X509::stack_from_pem(pem).map_err(|_| Malformed("no PEM certificates"))?;
        match certificates.len() {
            0 => Err(Malformed("no certificate in it")),
            count if count > AUTHORITIES_MAX => Err(Malformed("too many certificates")),
            _ => Ok(Authorities(certificates)),
        }
    }
}

/// A token, read and not yet believed.
#[derive(Clone, Debug)]
pub struct Token {
    der: Vec<u8>,
    content: Vec<u8>,
    certificates: Vec<X509>,
    /// The one that signed.
    signer: X509,
}

impl Token {
    /// Reads a ContentInfo.
    pub fn parse(octets: &[u8]) -> Result<Token, Malformed> {
        let parts = sequence(octets)?;
        let [kind, signed] = parts.as_slice() else { return Err(Malformed("no ContentInfo")) };
        if kind.decode_as::<ObjectIdentifier>().ok() != Some(ID_SIGNED_DATA) || !is_context(signed, 0) {
            return Err(Malformed("no SignedData"));
        }
        let signed = sequence(signed.value())?;
        let [_, _, content, rest @ ..] = signed.as_slice() else { return Err(Malformed("SignedData cut short")) };
        let content = content_of(content)?;
        let certificates = rest.iter().find(|part| is_context(part, 0)).map_or(Ok(Vec::new()), certificates_in)?;
        let infos = rest.last().filter(|part| part.tag() == Tag::Set).ok_or(Malformed("no signer"))?;
        let infos: SetOfVec<Any> = infos.decode_as().map_err(|_| Malformed("signers"))?;
        let [info] = infos.as_ref() else { return Err(Malformed("not one signer")) };
        let info: Vec<Any> = info.decode_as().map_err(|_| Malformed("signer"))?;
        let [_, named, _, attributes, ..] = info.as_slice() else { return Err(Malformed("signer cut short")) };
        let signer = certificates.iter().find(|certificate| is_named(certificate, named));
        let signer = signer.ok_or(Malformed("the signer's certificate is not in the token"))?.clone();
        if !is_context(attributes, 0) || !is_bound(&attributes_in(attributes)?, &signer)? {
            return Err(Malformed("signed for another certificate"));
        }
        Ok(Token { der: octets.to_vec(), content, certificates, signer })
    }
    /// The DER of the TSTInfo.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
    /// The certificates in it, DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.certificates.iter().filter_map(|certificate| certificate.to_der().ok()).collect()
    }
    /// The subject of the signer's certificate.
    pub fn signer_name(&self) -> String {
        let entries = self.signer.subject_name().entries();
        let shown = entries.filter_map(|entry| {
            let value = entry.data().to_string().ok()?;
            Some(format!("{}={value}", entry.object().nid().short_name().unwrap_or("?")))
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Whether the signature holds, under a certificate that is one for time stamps and chains to an authority at `at`.
    pub fn verify(&self, at: Timestamp, authorities: Option<&Authorities>) -> Result<(), Fault> {
        let untrusted = |e: openssl::error::ErrorStack| Fault::Untrusted(first_reason(&e));
        let mut signers = Stack::new().map_err(untrusted)?;
        signers.push(self.signer.clone()).map_err(untrusted)?;
        let mut content = Vec::new();
        let mut cms = CmsContentInfo::from_der(&self.der).map_err(untrusted)?;
        // Only this certificate, and its chain below: by default OpenSSL would want one for mail.
        let flags = CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::NOINTERN | CMSOptions::BINARY;
        cms.verify(Some(&signers), None, None, Some(&mut content), flags).map_err(untrusted)?;
        if content != self.content {
            return Err(Fault::Untrusted("another content was signed".into()));
        }
        self.chain(at, authorities)
    }

    fn chain(&self, at: Timestamp, authorities: Option<&Authorities>) -> Result<(), Fault> {
        let untrusted = |e: openssl::error::ErrorStack| Fault::Untrusted(first_reason(&e));
        let mut store = X509StoreBuilder::new().map_err(untrusted)?;
        let believed = authorities.map_or(std::slice::from_ref(&self.signer), |a| &a.0);
        for certificate in believed {
            store.add_cert(certificate.clone()).map_err(untrusted)?;
        }
        let mut wanted = X509VerifyParam::new().map_err(untrusted)?;
        wanted.set_purpose(X509PurposeId::TIMESTAMP_SIGN).map_err(untrusted)?;
        // The certificate may have ended since: what counts is when it was used.
        wanted.set_time(at.s());
        wanted.set_flags(X509VerifyFlags::PARTIAL_CHAIN).map_err(untrusted)?;
        store.set_param(&wanted).map_err(untrusted)?;
        let mut others = Stack::new().map_err(untrusted)?;
        for certificate in &self.certificates {
            others.push(certificate.clone()).map_err(untrusted)?;
        }
        let mut context = X509StoreContext::new().map_err(untrusted)?;
        let checked = context.init(&store.build(), &self.signer, &others, |context| {
            let holds = context.verify_cert()?;
            Ok((holds, context.error()))
        });
        match checked.map_err(untrusted)? {
            (true, _) => Ok(()),
            (false, why) => Err(Fault::Untrusted(format!("{}: {why}", self.signer_name()))),
        }
    }
}

fn first_reason(errors: &openssl::error::ErrorStack) -> String {
    errors.errors().first().and_then(|e| e.reason()).unwrap_or("the signature does not hold").to_owned()
}

fn is_context(part: &Any, number: u16) -> bool {
    part.tag() == Tag::ContextSpecific { constructed: true, number: TagNumber(number.into()) }
}

/// The octets in an EncapsulatedContentInfo of a TSTInfo.
fn content_of(encapsulated: &Any) -> Result<Vec<u8>, Malformed> {
    let parts: Vec<Any> = encapsulated.decode_as().map_err(|_| Malformed("content"))?;
    let [kind, content] = parts.as_slice() else { return Err(Malformed("no content")) };
    if kind.decode_as::<ObjectIdentifier>().ok() != Some(TST_INFO) || !is_context(content, 0) {
        return Err(Malformed("not a time stamp"));
    }
    OctetString::from_der(content.value()).map(OctetString::into_bytes).map(Vec::from).map_err(|_| Malformed("content"))
}

/// The DER values that stand one after the other in an implicitly tagged SET.
fn values_in(part: &Any, most: usize) -> Result<Vec<Any>, Malformed> {
    let malformed = |_| Malformed("a set");
    let mut reader = SliceReader::new(part.value()).map_err(malformed)?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        if values.len() == most {
            return Err(Malformed("too many values"));
        }
        values.push(Any::decode(&mut reader).map_err(malformed)?);
    }
    Ok(values)
}

fn certificates_in(part: &Any) -> Result<Vec<X509>, Malformed> {
    let ders = values_in(part, CERTIFICATES_MAX)?;
    let certificates = ders.iter().filter(|der| der.tag() == Tag::Sequence);
    let read = certificates.map(|der| X509::from_der(&der.to_der().unwrap_or_default()));
    read.collect::<Result<_, _>>().map_err(|_| Malformed("certificate"))
}

/// Whether a SignerIdentifier means this certificate: issuer and serial number, or [0] subject key identifier.
fn is_named(certificate: &X509Ref, named: &Any) -> bool {
    if let Tag::ContextSpecific { number: TagNumber(0), .. } = named.tag() {
        return certificate.subject_key_id().is_some_and(|id| id.as_slice() == named.value());
    }
    let Ok(parts) = named.decode_as::<Vec<Any>>() else { return false };
    let [issuer, serial] = parts.as_slice() else { return false };
    let same_issuer = issuer.to_der().ok() == certificate.issuer_name().to_der().ok();
    let number = certificate.serial_number().to_bn().map(|n| n.to_vec()).unwrap_or_default();
    let stated: Vec<u8> = serial.value().iter().copied().skip_while(|octet| *octet == 0).collect();
    same_issuer && serial.tag() == Tag::Integer && number == stated
}

/// Attributes by their kind, with their values.
fn attributes_in(part: &Any) -> Result<Vec<(ObjectIdentifier, Vec<Any>)>, Malformed> {
    let malformed = |_| Malformed("attribute");
    let read = |attribute: Any| {
        let parts: Vec<Any> = attribute.decode_as().map_err(malformed)?;
        let [kind, values] = parts.as_slice() else { return Err(Malformed("attribute")) };
        let values: SetOfVec<Any> = values.decode_as().map_err(malformed)?;
        Ok((kind.decode_as().map_err(malformed)?, values.into_vec()))
    };
    values_in(part, CERTIFICATES_MAX)?.into_iter().map(read).collect()
}

/// Whether the signed attributes bind the signature to this very certificate (RFC 5816 section 2.2.1), so that no other one of the
/// same key can be put in its place.
fn is_bound(attributes: &[(ObjectIdentifier, Vec<Any>)], certificate: &X509Ref) -> Result<bool, Malformed> {
    let mut bound = false;
    for (kind, values) in
        attributes.iter().filter(|(kind, _)| [SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2].contains(kind))
    {
        let [value] = values.as_slice() else { return Err(Malformed("signing certificate")) };
        let default = if *kind == SIGNING_CERTIFICATE { MessageDigest::sha1() } else { MessageDigest::sha256() };
        let (digest, hash) = first_certificate(value, default)?;
        let actual = certificate.digest(digest).map_err(|_| Malformed("signing certificate"))?;
        if *actual != *hash {
            return Ok(false);
        }
        bound = true;
    }
    Ok(bound)
}

/// Of a SigningCertificate(V2): algorithm and hash of the first certificate, which is the signer's.
fn first_certificate(value: &Any, default: MessageDigest) -> Result<(MessageDigest, Vec<u8>), Malformed> {
    let malformed = |_| Malformed("signing certificate");
    let parts: Vec<Any> = value.decode_as().map_err(malformed)?;
    let ids: Vec<Any> = parts.first().ok_or(Malformed("signing certificate"))?.decode_as().map_err(malformed)?;
    let id: Vec<Any> = ids.first().ok_or(Malformed("signing certificate"))?.decode_as().map_err(malformed)?;
    let (digest, hash) = match id.as_slice() {
        [algorithm, hash, ..] if algorithm.tag() == Tag::Sequence => {
            let algorithm: Vec<Any> = algorithm.decode_as().map_err(malformed)?;
            let oid: Option<ObjectIdentifier> = algorithm.first().and_then(|oid| oid.decode_as().ok());
            (oid.and_then(digest_of).ok_or(Malformed("signing certificate by an unknown hash"))?, hash)
        }
        [hash, ..] => (default, hash),
        [] => return Err(Malformed("signing certificate")),
    };
    let hash: OctetString = hash.decode_as().map_err(malformed)?;
    Ok((digest, hash.as_bytes().to_vec()))
}

fn digest_of(oid: ObjectIdentifier) -> Option<MessageDigest> {
    use const_oid::db::rfc5912::{ID_SHA_256, ID_SHA_384, ID_SHA_512};
    let nid = [(ID_SHA_256, Nid::SHA256), (ID_SHA_384, Nid::SHA384), (ID_SHA_512, Nid::SHA512)];
    nid.into_iter().find(|(known, _)| *known == oid).and_then(|(_, nid)| MessageDigest::from_nid(nid))
}
