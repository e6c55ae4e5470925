//! OpenPGP private keys prepared for signing: sequoia rebuilds an RSA key for each signature, so RSA keys are kept here as
//! OpenSSL keys with their CRT values (nine times faster at 3072 bits). Never exports a private part.

use super::material::Error;
use openssl::bn::{BigNum, BigNumContext};
use openssl::error::ErrorStack;
use openssl::md::{Md, MdRef};
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use sequoia_openpgp as openpgp;
use sequoia_openpgp::crypto::{self, KeyPair, mpi};
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{PublicParts, SecretKeyMaterial, SecretParts, UnspecifiedRole};
use sequoia_openpgp::types::HashAlgorithm;

/// A signer over one unlocked key. Cheap to clone: an RSA key is shared, not copied.
#[derive(Clone)]
pub struct SubkeySigner {
    public: Key<PublicParts, UnspecifiedRole>,
    private: PrivateKey,
}

#[derive(Clone)]
enum PrivateKey {
    Rsa(PKey<Private>),
    Other(Box<KeyPair>),
}

impl SubkeySigner {
    /// Prepares an unencrypted key.
    pub fn new(key: Key<SecretParts, UnspecifiedRole>) -> Result<SubkeySigner, Error> {
        let public = key.clone().parts_into_public();
        let rsa = prepared_rsa(&key)?;
        let private = match rsa {
            Some(rsa) => PrivateKey::Rsa(rsa),
            None => PrivateKey::Other(Box::new(key.into_keypair().map_err(|e| Error::BadPrivateKey(e.to_string()))?)),
        };
        Ok(SubkeySigner { public, private })
    }
    /// The fingerprint of the key that signs.
    pub fn fingerprint(&self) -> openpgp::Fingerprint {
        self.public.fingerprint()
    }
}

impl std::fmt::Debug for SubkeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubkeySigner({:X})", self.fingerprint())
    }
}

impl crypto::Signer for SubkeySigner {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }
    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        match &mut self.private {
            PrivateKey::Rsa(key) => sign_rsa(key, hash, digest),
            PrivateKey::Other(pair) => pair.sign(hash, digest),
        }
    }
}

/// EMSA-PKCS1-v1_5 (RFC 9580 section 5.2.3.1).
fn sign_rsa(key: &PKey<Private>, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
    let algorithm = digest_of(hash).ok_or(openpgp::Error::UnsupportedHashAlgorithm(hash))?;
    let mut context = PkeyCtx::new(key)?;
    context.sign_init()?;
    context.set_rsa_padding(Padding::PKCS1)?;
    context.set_signature_md(algorithm)?;
    let mut signature = Vec::new();
    context.sign_to_vec(digest, &mut signature)?;
    Ok(mpi::Signature::RSA { s: mpi::MPI::new(&signature) })
}

fn digest_of(hash: HashAlgorithm) -> Option<&'static MdRef> {
    match hash {
        HashAlgorithm::SHA256 => Some(Md::sha256()),
        HashAlgorithm::SHA384 => Some(Md::sha384()),
        HashAlgorithm::SHA512 => Some(Md::sha512()),
        HashAlgorithm::SHA3_256 => Some(Md::sha3_256()),
        HashAlgorithm::SHA3_512 => Some(Md::sha3_512()),
        _ => None,
    }
}

/// The key as OpenSSL wants it; `None` when it is not RSA.
fn prepared_rsa(key: &Key<SecretParts, UnspecifiedRole>) -> Result<Option<PKey<Private>>, Error> {
    let mpi::PublicKey::RSA { e, n } = key.mpis() else { return Ok(None) };
    let SecretKeyMaterial::Unencrypted(secret) = key.secret() else {
        return Err(Error::BadPrivateKey("locked".to_owned()));
    };
    let refused = |e: ErrorStack| Error::BadPrivateKey(e.to_string());
    secret.map(|material| match material {
        mpi::SecretKeyMaterial::RSA { d, p, q, .. } => {
            let numbers = Numbers { n: n.value(), e: e.value(), d: d.value(), p: p.value(), q: q.value() };
            if !numbers.agree().map_err(refused)? {
                return Err(Error::BadPrivateKey("its primes do not give its modulus".to_owned()));
            }
            numbers.prepare().map(Some).map_err(refused)
        }
        _ => Err(Error::Malformed("RSA private key")),
    })
}

struct Numbers<'a> {
    n: &'a [u8],
    e: &'a [u8],
    d: &'a [u8],
    p: &'a [u8],
    q: &'a [u8],
}

impl Numbers<'_> {
    /// Whether n = p q.
    fn agree(&self) -> Result<bool, ErrorStack> {
        let mut product = BigNum::new_secure()?;
        product.checked_mul(&*secret(self.p)?, &*secret(self.q)?, &mut *BigNumContext::new_secure()?)?;
        Ok(product == BigNum::from_slice(self.n)?)
    }
    /// Computes what OpenPGP leaves out: d mod (p-1), d mod (q-1), and q^-1 mod p, where OpenPGP stores p^-1 mod q. That the
    /// primes are prime is not tested, it takes longer than a signature; OpenSSL checks each signature before it is given out.
    fn prepare(&self) -> Result<PKey<Private>, ErrorStack> {
        let (d, p, q) = (secret(self.d)?, secret(self.p)?, secret(self.q)?);
        let mut context = BigNumContext::new_secure()?;
        let mut inverse = BigNum::new_secure()?;
        inverse.mod_inverse(&q, &p, &mut context)?;
        let (dp, dq) = (reduced(&d, &p, &mut context)?, reduced(&d, &q, &mut context)?);
        let (n, e) = (BigNum::from_slice(self.n)?, BigNum::from_slice(self.e)?);
        let rsa = Rsa::from_private_components(n, e, d, p, q, dp, dq, inverse)?;
        PKey::from_rsa(rsa)
    }
}

fn secret(octets: &[u8]) -> Result<BigNum, ErrorStack> {
    let mut number = BigNum::from_slice(octets)?;
    number.set_const_time();
    Ok(number)
}

/// d mod (prime - 1)
fn reduced(d: &BigNum, prime: &BigNum, context: &mut BigNumContext) -> Result<BigNum, ErrorStack> {
    let (mut less, mut out) = (BigNum::new_secure()?, BigNum::new_secure()?);
    less.checked_sub(prime, &*BigNum::from_u32(1)?)?;
    out.checked_rem(d, &less, context)?;
    Ok(out)
}
