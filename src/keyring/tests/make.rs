//! Certificates and keys for the tests, made by OpenSSL and sequoia.

use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::durable::RealDisk;
use crate::keyring::{Error, Fault, Imported, Input, Keyring, Options, import};
use crate::mail::Address;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use std::sync::LazyLock;

/// The time in the tests: 2026-05-28T20:26:40Z.
pub static NOW: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::from_s(1_780_000_000));
pub const DAY_S: i64 = 86_400;

pub static RSA: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
pub static RSA_OTHER: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
pub static EC: LazyLock<PKey<Private>> = LazyLock::new(|| ec(Nid::X9_62_PRIME256V1));

pub fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).expect("a key")).expect("a key")
}

pub fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

/// What a certificate says; the default is good for Alice, for everything, for a year around now.
#[derive(Clone)]
pub struct Spec<'a> {
    pub key: &'a PKey<Private>,
    pub name: &'a str,
    pub subject_email: Option<&'a str>,
    pub san: &'a [&'a str],
    pub usage: &'a [&'a str],
    pub purposes: &'a [&'a str],
    pub from_day: i64,
    pub until_day: i64,
    pub ca: bool,
    pub issuer: Option<(&'a X509, &'a PKey<Private>)>,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Spec {
            key: &RSA,
            name: "Alice",
            subject_email: None,
            san: &["alice@x.example"],
            usage: &[],
            purposes: &[],
            from_day: -180,
            until_day: 180,
            ca: false,
            issuer: None,
        }
    }
}

impl Spec<'_> {
    pub fn make(&self) -> X509 {
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("version");
        let serial = BigNum::from_slice(&crate::crypto::random::bytes::<8>().expect("random")).expect("a number");
        builder.set_serial_number(&serial.to_asn1_integer().expect("a number")).expect("serial");
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("CN", self.name).expect("a name");
        if let Some(email) = self.subject_email {
            name.append_entry_by_nid(Nid::PKCS9_EMAILADDRESS, email).expect("a name");
        }
        let name = name.build();
        builder.set_subject_name(&name).expect("subject");
        builder.set_issuer_name(self.issuer.map_or(&name, |(c, _)| c.subject_name())).expect("issuer");
        builder.set_pubkey(self.key).expect("key");
        builder.set_not_before(&time(self.from_day)).expect("time");
        builder.set_not_after(&time(self.until_day)).expect("time");
        self.extend(&mut builder);
        builder.sign(self.issuer.map_or(self.key, |(_, key)| key), MessageDigest::sha256()).expect("signed");
        builder.build()
    }
    fn extend(&self, builder: &mut openssl::x509::X509Builder) {
        if self.ca {
            builder.append_extension(BasicConstraints::new().critical().ca().build().expect("CA")).expect("CA");
        }
        if !self.san.is_empty() {
            let mut san = SubjectAlternativeName::new();
            for email in self.san {
                san.email(email);
            }
            let san = san.build(&builder.x509v3_context(None, None)).expect("SAN");
            builder.append_extension(san).expect("SAN");
        }
        if !self.usage.is_empty() {
            builder.append_extension(usage(self.usage)).expect("usage");
        }
        if !self.purposes.is_empty() {
            let mut purposes = ExtendedKeyUsage::new();
            for purpose in self.purposes {
                purposes.other(purpose);
            }
            builder.append_extension(purposes.build().expect("purposes")).expect("purposes");
        }
    }
    pub fn pem(&self) -> Vec<u8> {
        self.make().to_pem().expect("PEM")
    }
}

fn usage(names: &[&str]) -> openssl::x509::X509Extension {
    let mut usage = KeyUsage::new();
    usage.critical();
    for name in names {
        match *name {
            "sign" => usage.digital_signature(),
            "repudiate" => usage.non_repudiation(),
            "encipher" => usage.key_encipherment(),
            "agree" => usage.key_agreement(),
            "issue" => usage.key_cert_sign(),
            other => panic!("no usage {other}"),
        };
    }
    usage.build().expect("usage")
}

fn time(day: i64) -> Asn1Time {
    Asn1Time::from_unix(NOW.plus_s(day * DAY_S).s()).expect("a time")
}

pub fn pkcs8_pem(key: &PKey<Private>) -> Vec<u8> {
    key.private_key_to_pem_pkcs8().expect("PEM")
}

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// A keyring in a directory of its own.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub host_key: Secret<32>,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a directory"), host_key: Secret::new([7; 32]) }
    }
    /// One with these files imported.
    pub fn with(files: &[&[u8]]) -> Place {
        let place = Place::new();
        for file in files {
            place.import(&[file], &Options::default()).expect("imported");
        }
        place
    }
    pub fn import(&self, files: &[&[u8]], options: &Options) -> Result<Vec<Imported>, Error> {
        let inputs: Vec<Input<'_>> = files.iter().map(|octets| Input { name: "file", octets }).collect();
        import(&RealDisk, self.dir.path(), &self.host_key, &inputs, options)
    }
    /// What is wrong with the files.
    #[track_caller]
    pub fn fault(&self, files: &[&[u8]], options: &Options) -> Fault {
        match self.import(files, options) {
            Err(Error::Input { file, fault }) if file == "file" => fault,
            other => panic!("expected a fault of the file: {other:?}"),
        }
    }
    #[track_caller]
    pub fn load(&self) -> Keyring {
        Keyring::load(&RealDisk, self.dir.path(), &self.host_key).expect("loads")
    }
}

pub fn with_password(password: &str) -> Options {
    Options { password: Some(crate::crypto::SecretBytes::new(password.as_bytes().to_vec())), ..Options::default() }
}
