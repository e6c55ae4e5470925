//! What an X.509 certificate says of itself: names, validity, permitted uses (RFC 5280, RFC 8550). Never checks a signature
//! and never decides on trust.

use super::material::{Error, SmimeCertificate};
use super::reason::{Reason, Use};
use super::smime_key::PublicKind;
use crate::clock::Timestamp;
use crate::mail::Address;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_EMAIL_PROTECTION};
use const_oid::db::rfc5912 as oids;
use der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use der::{Any, Decode, Encode, Tag, Tagged};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

/// Addresses that are read from one certificate; more is a fault, not a long list.
pub const NAMES_MAX: usize = 100;

/// `id-on-SmtpUTF8Mailbox` (RFC 9598 section 3).
const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");
/// `emailAddress` (RFC 2985 section 5.2.1).
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// Extensions whose meaning is observed here, or limits issuers and so is the business of path building. A critical one
/// beyond these makes a certificate unusable (RFC 5280 section 4.2).
const UNDERSTOOD: &[ObjectIdentifier] = &[
    oids::ID_CE_KEY_USAGE,
    oids::ID_CE_EXT_KEY_USAGE,
    oids::ID_CE_SUBJECT_ALT_NAME,
    oids::ID_CE_BASIC_CONSTRAINTS,
    oids::ID_CE_CERTIFICATE_POLICIES,
    oids::ID_CE_POLICY_CONSTRAINTS,
    oids::ID_CE_POLICY_MAPPINGS,
    oids::ID_CE_INHIBIT_ANY_POLICY,
    oids::ID_CE_NAME_CONSTRAINTS,
    oids::ID_CE_CRL_DISTRIBUTION_POINTS,
    oids::ID_CE_SUBJECT_KEY_IDENTIFIER,
    oids::ID_CE_AUTHORITY_KEY_IDENTIFIER,
];

/// Whether a certificate may issue others (basicConstraints, RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It belongs to a person or a machine.
    EndEntity,
    /// It may issue certificates.
    Authority,
}

/// Addresses that a certificate or key names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that are addresses.
    pub addresses: Vec<Address>,
    /// Those that are not, as shown to people.
    pub refused: Vec<String>,
}

impl Names {
    /// Takes one name: only exactly an address, without white space anywhere, counts.
    pub fn take(&mut self, text: &str) {
        match Address::parse(text) {
            Ok(address) if !text.contains(char::is_whitespace) => {
                if !self.addresses.contains(&address) {
                    self.addresses.push(address);
                }
            }
            _ => self.refused.push(text.escape_debug().to_string()),
        }
    }
    fn len(&self) -> usize {
        self.addresses.len() + self.refused.len()
    }
}

/// The facts of one certificate.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The octets as imported.
    pub der: Vec<u8>,
    /// Valid from this instant on.
    pub not_before: Timestamp,
    /// Valid through this second.
    pub not_after: Timestamp,
    /// Addresses it names.
    pub names: Names,
    /// Whether it may issue others.
    pub role: Role,
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// DER of subject and issuer names, for finding issuers.
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    /// The public key's BIT STRING, by which private keys find their certificates.
    pub public_key: Vec<u8>,
    key_usage: Option<KeyUsage>,
    purposes: Option<Vec<ObjectIdentifier>>,
    not_understood: Option<ObjectIdentifier>,
    /// Algorithm and size, or why it is of no use here.
    pub kind: Result<PublicKind, Error>,
}

impl Facts {
    /// Reads one DER certificate. A certificate whose extensions contradict themselves or name too many addresses is refused.
    pub fn read(der: &[u8]) -> Result<Facts, Error> {
        let malformed = |_| Error::Malformed("X.509 certificate");
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let tbs = certificate.tbs_certificate();
        let key_usage = tbs.get_extension::<KeyUsage>().map_err(malformed)?.map(|(_, usage)| usage);
        let purposes = tbs.get_extension::<ExtendedKeyUsage>().map_err(malformed)?.map(|(_, usage)| usage.0);
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(malformed)?;
        let is_authority = constraints.is_some_and(|(_, constraints)| constraints.ca);
        Ok(Facts {
            der: der.to_vec(),
            not_before: instant(tbs.validity().not_before),
            not_after: instant(tbs.validity().not_after),
            names: names(&certificate)?,
            role: if is_authority { Role::Authority } else { Role::EndEntity },
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            subject_der: tbs.subject().to_der().map_err(malformed)?,
            issuer_der: tbs.issuer().to_der().map_err(malformed)?,
            public_key: tbs.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
            key_usage,
            purposes,
            not_understood: not_understood(&certificate),
            kind: PublicKind::of(tbs.subject_public_key_info()),
        })
    }
    /// Whether `self` names `other` as its issuer; who signed it is another question.
    pub fn names_as_issuer(&self, other: &Facts) -> bool {
        self.issuer_der == other.subject_der
    }
    /// Whether subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.issuer_der == self.subject_der
    }
    /// Whether the certificate may be used so, leaving time aside.
    pub fn permits(&self, wanted: Use) -> Result<(), Reason> {
        let kind = self.kind.clone().map_err(|e| Reason::Unsupported(e.to_string()))?;
        if let Some(oid) = self.not_understood {
            return Err(Reason::CriticalExtension(oid.to_string()));
        }
        if !self.key_usage.is_none_or(|usage| key_usage_permits(usage, wanted, kind)) {
            return Err(Reason::KeyUsage(wanted));
        }
        let mail = |purpose: &ObjectIdentifier| [ID_KP_EMAIL_PROTECTION, ANY_EXTENDED_KEY_USAGE].contains(purpose);
        match &self.purposes {
            Some(purposes) if !purposes.iter().any(mail) => Err(Reason::ExtendedKeyUsage),
            _ => Ok(()),
        }
    }
    /// Whether it is valid at `now` (RFC 5280 section 4.1.2.5: both ends included).
    pub fn valid_at(&self, now: Timestamp) -> Result<(), Reason> {
        if now.s() < self.not_before.s() {
            Err(Reason::NotYetValid(self.not_before))
        } else if now.s() > self.not_after.s() {
            Err(Reason::Expired(self.not_after))
        } else {
            Ok(())
        }
    }
    /// The certificate for encryption and signing.
    pub fn material(&self) -> Result<SmimeCertificate, Error> {
        SmimeCertificate::from_der(&self.der)
    }
}

/// RFC 8551 section 4.4.2: RSA takes keys by keyEncipherment, EC by keyAgreement; either of digitalSignature and
/// nonRepudiation signs.
fn key_usage_permits(usage: KeyUsage, wanted: Use, kind: PublicKind) -> bool {
    match (wanted, kind) {
        (Use::Sign, _) => usage.digital_signature() || usage.non_repudiation(),
        (Use::Encrypt, PublicKind::Rsa { .. }) => usage.key_encipherment(),
        (Use::Encrypt, PublicKind::P256) => usage.key_agreement(),
    }
}

fn instant(time: x509_cert::time::Time) -> Timestamp {
    Timestamp::from_s(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}

fn not_understood(certificate: &Certificate) -> Option<ObjectIdentifier> {
    let extensions = certificate.tbs_certificate().extensions()?;
    extensions.iter().find(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id)).map(|e| e.extn_id)
}

/// The addresses of subjectAltName; only when it names none at all, those of the subject (RFC 8550 section 3).
fn names(certificate: &Certificate) -> Result<Names, Error> {
    let malformed = |_| Error::Malformed("subjectAltName");
    let tbs = certificate.tbs_certificate();
    let mut names = Names::default();
    let alternatives = tbs.get_extension::<SubjectAltName>().map_err(malformed)?;
    for text in alternatives.iter().flat_map(|(_, list)| &list.0).filter_map(mailbox) {
        names.take(&text);
    }
    if names.len() == 0 {
        let of_subject = tbs.subject().iter().filter(|pair| pair.oid == EMAIL_ADDRESS);
        for text in of_subject.filter_map(|pair| string(&pair.value)) {
            names.take(&text);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(Error::Unsupported(format!("more than {NAMES_MAX} addresses in one certificate")));
    }
    Ok(names)
}

fn mailbox(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Rfc822Name(text) => Some(text.to_string()),
        GeneralName::OtherName(other) if other.type_id == SMTP_UTF8_MAILBOX => string(&other.value),
        _ => None,
    }
}

fn string(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Ia5String => Ia5StringRef::try_from(value).ok().map(|s| s.to_string()),
        Tag::Utf8String => Utf8StringRef::try_from(value).ok().map(|s| s.to_string()),
        Tag::PrintableString => PrintableStringRef::try_from(value).ok().map(|s| s.to_string()),
        _ => None,
    }
}
