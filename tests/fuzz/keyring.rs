//! Importing certificates and keys: whatever import accepts must load again, or one file would fail the whole keyring.

use crate::driver::run;
use sealpost::clock::Timestamp;
use sealpost::crypto::Secret;
use sealpost::durable::{Disk, DiskFile};
use sealpost::keyring::{Input, Keyring, Options, RecipientKey, import};
use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::serialize::SerializeInto;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Files in memory, as far as a keyring needs them.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>>);

struct MemoryFile(Arc<Mutex<Vec<u8>>>);

fn octets(file: &Mutex<Vec<u8>>) -> Vec<u8> {
    file.lock().expect("no panic before").clone()
}

impl DiskFile for MemoryFile {
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        assert_eq!(offset, 0);
        *self.0.lock().expect("no panic before") = octets.to_vec();
        Ok(())
    }
    fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(octets(&self.0).len() as u64)
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<Vec<u8>>>> {
        let files = self.0.lock().expect("no panic before");
        files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::new(Mutex::new(Vec::new()));
        self.0.lock().expect("no panic before").insert(path.to_owned(), Arc::clone(&file));
        Ok(Box::new(MemoryFile(file)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(MemoryFile(self.find(path)?)))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(octets(&*self.find(path)?))
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let files = self.0.lock().expect("no panic before");
        Ok(files.keys().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn exists(&self, path: &Path) -> bool {
        self.find(path).is_ok()
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.find(from)?;
        let mut files = self.0.lock().expect("no panic before");
        files.remove(from);
        files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.0.lock().expect("no panic before").remove(path);
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

fn imported(input: &[u8]) {
    let (disk, key) = (Memory::default(), Secret::new([7; 32]));
    let inputs = [Input { name: "fuzz", octets: input }];
    let dir = Path::new("data");
    let Ok(imported) = import(&disk, dir, &key, &inputs, &Options::default()) else { return };
    assert!(!imported.is_empty(), "something came of it");
    let ring = Keyring::load(&disk, dir, &key).expect("what import accepts must load");
    let now = Timestamp::from_s(1_780_000_000);
    assert_eq!(ring.list(now).len(), imported.len());
    for item in &imported {
        ring.export(&item.id).expect("a text form");
        for address in &item.addresses {
            let choice = ring.recipient_key(address, item.format, now);
            assert!(choice.considered.iter().any(|c| c.id == item.id), "an item answers for its addresses");
            if let Some(RecipientKey::OpenPgp(taken)) = choice.taken.as_deref() {
                assert!(!taken.recipients(now).is_empty(), "what is taken can be encrypted to");
            }
        }
    }
    let again = import(&disk, dir, &key, &inputs, &Options::default()).expect("accepted again");
    assert_eq!(again.len(), imported.len());
}

fn openpgp(user_id: &str) -> sequoia_openpgp::cert::Cert {
    let builder = CertBuilder::new().add_userid(user_id).add_signing_subkey().add_transport_encryption_subkey();
    let (cert, _) = builder.set_cipher_suite(CipherSuite::Cv25519).generate().expect("a certificate");
    cert
}

#[test]
fn keyring_imports() {
    let mut smime = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    let san = rcgen::SanType::Rfc822Name("a@x.example".try_into().expect("a name"));
    smime.subject_alt_names = vec![san];
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = smime.self_signed(&key).expect("signed");
    let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
    let cert = openpgp("Alice <a@x.example>");
    let binary = cert.to_vec().expect("octets");
    let secret = cert.as_tsk().to_vec().expect("octets");
    let armored = openpgp("b@x.example").as_tsk().armored().to_vec().expect("armored");
    let seeds: &[&[u8]] = &[certificate.der(), pem.as_bytes(), &binary, &secret, &armored, &key.serialize_der()];
    let tokens: &[&[u8]] =
        &[b"-----BEGIN ", b"-----END ", b"-----\n", b"CERTIFICATE", b"\x30\x82", b"\x30\x80", b"@", b"\xff"];
    run("keyring", seeds, tokens, imported);
}
