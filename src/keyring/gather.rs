//! From what files hold to items: private keys find their certificates, certificates their issuers, and each its
//! addresses. Pure: never touches the disk.

use super::error::Fault;
use super::import::Owner;
use super::item::{Item, Naming, Public, Record, Trust};
use super::read::Found;
use super::x509::{Facts, Names, Role};
use super::{openpgp_read, private_key, show};
use crate::crypto::SecretBytes;
use crate::mail::Address;
use minicbor::bytes::ByteVec;
use openssl::x509::X509;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::serialize::SerializeInto;
use std::collections::HashSet;

/// Issuers kept with one certificate.
pub const ISSUERS_MAX: usize = 10;

/// An item that an import makes.
#[derive(Debug)]
pub struct Candidate {
    /// The number of the file it comes from.
    pub input: usize,
    /// The item.
    pub item: Item,
    /// Names that are not addresses.
    pub refused_names: Vec<String>,
}

/// A private key.
#[derive(Debug)]
pub struct ImportedKey {
    /// The number of the file it comes from.
    pub input: usize,
    /// The key.
    pub pkcs8: SecretBytes,
    /// Its public key, as it stands in a certificate's BIT STRING.
    pub public_key: Vec<u8>,
}

/// What files give.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Items.
    pub candidates: Vec<Candidate>,
    /// Keys that must find their certificate in the keyring.
    pub lone_keys: Vec<ImportedKey>,
}

#[derive(Default)]
struct Pool {
    certificates: Vec<(usize, Facts)>,
    keys: Vec<ImportedKey>,
    openpgp: Vec<(usize, Cert)>,
}

/// Sorts what was found. A fault comes with the number of its file.
pub fn gather(found: Vec<(usize, Found)>, owner: &Owner) -> Result<Gathered, (usize, Fault)> {
    let mut pool = Pool::default();
    for (input, thing) in found {
        pool.take(input, thing).map_err(|fault| (input, fault))?;
    }
    match owner {
        Owner::Authority => pool.anchors(),
        Owner::Named | Owner::Given(_) => pool.people(owner),
    }
}

impl Pool {
    fn take(&mut self, input: usize, thing: Found) -> Result<(), Fault> {
        match thing {
            Found::OpenPgp(cert) => self.openpgp.push((input, *cert)),
            Found::Certificate(der) => {
                let facts = Facts::read(&der).map_err(|e| Fault::Malformed(e.to_string()))?;
                if self.certificates.iter().all(|(_, known)| known.der != der) {
                    self.certificates.push((input, facts));
                }
            }
            Found::PrivateKey(pkcs8) => {
                let public_key = private_key::public_key(&pkcs8);
                let public_key = public_key.ok_or(Fault::Unsupported("the private key's algorithm".to_owned()))?;
                self.keys.push(ImportedKey { input, pkcs8, public_key });
            }
        }
        Ok(())
    }

    fn anchors(self) -> Result<Gathered, (usize, Fault)> {
        let other = self.keys.first().map(|key| key.input).or(self.openpgp.first().map(|(input, _)| *input));
        if let Some(input) = other {
            return Err((input, Fault::NotAnAnchor));
        }
        let is_authority = |facts: &Facts| facts.role == Role::Authority || facts.is_self_issued();
        if let Some((input, _)) = self.certificates.iter().find(|(_, facts)| !is_authority(facts)) {
            return Err((*input, Fault::NotAnAnchor));
        }
        let anchor = |(input, facts): (usize, Facts)| {
            let record = Record {
                public: Public::Smime { der: facts.der.into(), issuers: Vec::new() },
                addresses: Vec::new(),
                naming: Naming::Certificate,
                trust: Trust::Anchor,
            };
            Candidate { input, item: Item { record, private: None }, refused_names: Vec::new() }
        };
        Ok(Gathered { candidates: self.certificates.into_iter().map(anchor).collect(), lone_keys: Vec::new() })
    }

    fn people(self, owner: &Owner) -> Result<Gathered, (usize, Fault)> {
        let mut gathered = Gathered::default();
        let mut unnamed = None;
        let above = self.above_people();
        for (input, facts) in &self.certificates {
            let key = self.keys.iter().find(|key| key.public_key == facts.public_key);
            if key.is_none() && (above.contains(facts.der.as_slice()) || self.is_bystander(facts)) {
                // At most kept in the chains of those below it: mail for a person must not be encrypted to an authority.
                continue;
            }
            let candidate = self.person(*input, facts, key, owner);
            if !candidate.item.record.addresses.is_empty() {
                gathered.candidates.push(candidate);
            } else if facts.role == Role::EndEntity {
                return Err((*input, no_address(facts.subject.clone(), &candidate.refused_names)));
            } else {
                unnamed.get_or_insert((*input, no_address(facts.subject.clone(), &candidate.refused_names)));
            }
        }
        for (input, cert) in &self.openpgp {
            gathered.candidates.push(openpgp(*input, cert, owner).map_err(|fault| (*input, fault))?);
        }
        gathered.lone_keys = self.lone_keys();
        match unnamed {
            Some(fault) if gathered.candidates.is_empty() => Err(fault),
            _ => Ok(gathered),
        }
    }

    /// The item of one certificate.
    fn person(&self, input: usize, facts: &Facts, key: Option<&ImportedKey>, owner: &Owner) -> Candidate {
        let issuers = self.issuers(facts);
        let mut candidate = Candidate {
            input,
            item: Item {
                record: Record {
                    public: Public::Smime { der: facts.der.clone().into(), issuers },
                    addresses: Vec::new(),
                    naming: Naming::Certificate,
                    trust: Trust::Manual,
                },
                private: key.map(|key| key.pkcs8.clone()),
            },
            refused_names: Vec::new(),
        };
        candidate.name(facts.names.clone(), owner);
        candidate
    }

    /// Whether it is an authority's certificate that names nobody, beside somebody's certificate or key.
    fn is_bystander(&self, facts: &Facts) -> bool {
        let is_person = |(_, facts): &(usize, Facts)| facts.role == Role::EndEntity;
        let has_people = !self.keys.is_empty() || self.certificates.iter().any(is_person);
        facts.role == Role::Authority && facts.names.addresses.is_empty() && has_people
    }

    /// The certificates that stand above one that may not issue others.
    fn above_people(&self) -> HashSet<&[u8]> {
        let people = self.certificates.iter().filter(|(_, facts)| facts.role == Role::EndEntity);
        people.flat_map(|(_, person)| self.chain(person)).map(|facts| facts.der.as_slice()).collect()
    }

    /// The chain above a certificate as far as it is here.
    fn chain(&self, of: &Facts) -> Vec<&Facts> {
        let mut chain: Vec<&Facts> = Vec::new();
        let mut current = of;
        while chain.len() < ISSUERS_MAX {
            let is_next = |facts: &&Facts| {
                let is_new = facts.der != of.der && chain.iter().all(|known| known.der != facts.der);
                is_new && is_issued(current, facts)
            };
            let Some(next) = self.certificates.iter().map(|(_, facts)| facts).find(is_next) else { break };
            chain.push(next);
            current = next;
        }
        chain
    }

    /// The chain without the root: who trusts it has it (RFC 8551 section 2.3).
    fn issuers(&self, of: &Facts) -> Vec<ByteVec> {
        let chain = self.chain(of).into_iter().filter(|facts| !facts.is_self_issued());
        chain.map(|issuer| issuer.der.clone().into()).collect()
    }

    fn lone_keys(self) -> Vec<ImportedKey> {
        let certificates = self.certificates;
        let is_lone = |key: &ImportedKey| certificates.iter().all(|(_, facts)| facts.public_key != key.public_key);
        self.keys.into_iter().filter(is_lone).collect()
    }
}

impl Candidate {
    fn name(&mut self, names: Names, owner: &Owner) {
        self.refused_names = names.refused;
        let record = &mut self.item.record;
        (record.addresses, record.naming) = match owner {
            Owner::Given(addresses) => (distinct(addresses), Naming::Import),
            Owner::Named | Owner::Authority => (names.addresses, Naming::Certificate),
        };
    }
}

fn distinct(addresses: &[Address]) -> Vec<Address> {
    let mut distinct: Vec<Address> = Vec::new();
    for address in addresses {
        if !distinct.contains(address) {
            distinct.push(address.clone());
        }
    }
    distinct
}

/// Whether `issuer` may issue certificates, has the name that `facts` gives for its issuer, and signed it.
fn is_issued(facts: &Facts, issuer: &Facts) -> bool {
    if issuer.role != Role::Authority || !facts.names_as_issuer(issuer) {
        return false;
    }
    let (Ok(certificate), Ok(issuer)) = (X509::from_der(&facts.der), X509::from_der(&issuer.der)) else { return false };
    issuer.public_key().is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// The public key of a person's certificate for S/MIME, by which its private key finds it.
pub fn public_key(item: &Item) -> Option<Vec<u8>> {
    match (&item.record.public, item.record.trust) {
        (Public::Smime { der, .. }, Trust::Manual) => Facts::read(der).ok().map(|facts| facts.public_key),
        _ => None,
    }
}

fn openpgp(input: usize, cert: &Cert, owner: &Owner) -> Result<Candidate, Fault> {
    let mut candidate = Candidate { input, item: openpgp_item(cert)?, refused_names: Vec::new() };
    candidate.name(openpgp_read::names(cert), owner);
    if candidate.item.record.addresses.is_empty() {
        return Err(no_address(show::user_ids(cert), &candidate.refused_names));
    }
    Ok(candidate)
}

/// The item of an OpenPGP certificate, for the addresses its user IDs name.
pub fn openpgp_item(cert: &Cert) -> Result<Item, Fault> {
    let unwritable = |e: anyhow::Error| Fault::Malformed(e.to_string());
    let octets = cert.clone().strip_secret_key_material().to_vec().map_err(unwritable)?;
    let private = if cert.is_tsk() { Some(cert.as_tsk().to_vec().map_err(unwritable)?) } else { None };
    let record = Record {
        public: Public::OpenPgp { fingerprint: cert.fingerprint().as_bytes().to_vec().into(), octets: octets.into() },
        addresses: openpgp_read::names(cert).addresses,
        naming: Naming::Certificate,
        trust: Trust::Manual,
    };
    Ok(Item { record, private: private.map(SecretBytes::new) })
}

fn no_address(subject: String, refused: &[String]) -> Fault {
    Fault::NoAddress { subject, refused: refused.to_vec() }
}
