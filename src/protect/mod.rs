//! Protect: a message, its treatment and the keys in, the protected message out. Never decides, never delivers.
//!
//! The story: `entity` takes the message apart (Content-* fields and body inside, all else outside) and has `safe` write the
//! inside in the canonical form that reaches a verifier unchanged. `smime` and `openpgp` sign and encrypt that entity with the
//! keys given, and `compose` frames the result as RFC 1847, RFC 3156 and RFC 8551 say. `carried` tells what a message brings along.

mod carried;
mod compose;
mod encoding;
mod entity;
mod fields;
mod hazards;
mod openpgp;
mod safe;
mod smime;
mod writing;

#[cfg(test)]
mod tests;

use crate::clock::Timestamp;
use crate::keyring::{OpenPgpCertificate, OpenPgpSigner, RecipientKey, SigningKey, SmimeCertificate, SmimeSigner};
use crate::policy::ruling::{Format, Treatment};

pub use carried::already;
pub use entity::{Parted, part};
pub use safe::Purpose;

/// One rendition to make.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The message as received.
    pub original: &'a [u8],
    /// What to do to it.
    pub treatment: Treatment,
    /// The key to sign with; needed when the treatment signs.
    pub signer: Option<&'a SigningKey>,
    /// The keys to encrypt to, all of the treatment's format; needed when the treatment encrypts. Each of them can be seen by all
    /// who get this rendition.
    pub recipients: &'a [&'a RecipientKey],
    /// Signing time.
    pub now: Timestamp,
}

/// Why there is no rendition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part that others signed or encrypted cannot travel unaltered inside a signed message.
    #[error("a {0} part inside the message is not 7-bit safe and may not be altered, so the message cannot be signed")]
    Unalterable(String),
    /// The message is malformed where it would have to be rewritten.
    #[error("{0}")]
    Unreadable(&'static str),
    /// The treatment needs a key that the job does not bring: ruling and job disagree.
    #[error("no key for this treatment: {0}")]
    KeyMissing(&'static str),
    /// A key that was chosen cannot do its work.
    #[error("key cannot be used: {0}")]
    KeyUnfit(String),
    /// A primitive failed on sound input.
    #[error("cryptography failed: {0}")]
    Failed(String),
    /// The kernel gave no random bytes.
    #[error("the kernel's random source failed")]
    Randomness,
}

/// Who is at fault, and so what the sender hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Might work later: 4xx.
    Retry,
    /// Will never work with this message: 5xx.
    Reject,
    /// Our own fault: 4xx, and an alarm.
    Ours,
}

impl Error {
    /// Who is at fault.
    pub fn class(&self) -> Class {
        match self {
            Error::Unalterable(_) | Error::Unreadable(_) => Class::Reject,
            Error::Randomness => Class::Retry,
            Error::KeyMissing(_) | Error::KeyUnfit(_) | Error::Failed(_) => Class::Ours,
        }
    }
}

/// Makes the whole protected message: the outer header in its order and octet for octet, the Content-* fields and the body
/// inside. No line that it adds is over 998 octets. A plain treatment gives the original back.
pub fn render(job: &Job) -> Result<Vec<u8>, Error> {
    let purpose = match job.treatment {
        Treatment::Plain => return Ok(job.original.to_vec()),
        Treatment::Sign(_) | Treatment::SignAndEncrypt(_) => Purpose::Sign,
        Treatment::Encrypt(_) => Purpose::EncryptOnly,
    };
    let Parted { outer: mut message, entity } = part(job.original, purpose)?;
    match job.treatment {
        Treatment::Plain => {}
        Treatment::Sign(Format::Smime) => smime::sign(&entity, job.smime_signer()?, job.now, &mut message)?,
        Treatment::Encrypt(Format::Smime) => smime::encrypt(entity, &job.smime_recipients()?, &mut message)?,
        Treatment::SignAndEncrypt(Format::Smime) => {
            let mut signed = Vec::new();
            smime::sign(&entity, job.smime_signer()?, job.now, &mut signed)?;
            smime::encrypt(signed, &job.smime_recipients()?, &mut message)?;
        }
        Treatment::Sign(Format::OpenPgp) => openpgp::sign(&entity, job.openpgp_signer()?, job.now, &mut message)?,
        Treatment::Encrypt(Format::OpenPgp) => {
            openpgp::encrypt(&entity, None, &job.openpgp_recipients()?, job.now, &mut message)?;
        }
        Treatment::SignAndEncrypt(Format::OpenPgp) => {
            let signer = job.openpgp_signer()?;
            openpgp::encrypt(&entity, Some(signer), &job.openpgp_recipients()?, job.now, &mut message)?;
        }
    }
    Ok(message)
}

impl<'a> Job<'a> {
    fn smime_signer(&self) -> Result<&'a SmimeSigner, Error> {
        match self.signer {
            Some(SigningKey::Smime(signer)) => Ok(signer),
            _ => Err(Error::KeyMissing("S/MIME signing key")),
        }
    }
    fn openpgp_signer(&self) -> Result<&'a OpenPgpSigner, Error> {
        match self.signer {
            Some(SigningKey::OpenPgp(signer)) => Ok(signer),
            _ => Err(Error::KeyMissing("OpenPGP signing key")),
        }
    }
    fn smime_recipients(&self) -> Result<Vec<&'a SmimeCertificate>, Error> {
        let missing = Error::KeyMissing("S/MIME certificate");
        let certificate = |key: &&'a RecipientKey| match key {
            RecipientKey::Smime(certificate) => Ok(certificate),
            RecipientKey::OpenPgp(_) => Err(missing.clone()),
        };
        all(self.recipients.iter().map(certificate), &missing)
    }
    fn openpgp_recipients(&self) -> Result<Vec<&'a OpenPgpCertificate>, Error> {
        let missing = Error::KeyMissing("OpenPGP certificate");
        let certificate = |key: &&'a RecipientKey| match key {
            RecipientKey::OpenPgp(certificate) => Ok(certificate),
            RecipientKey::Smime(_) => Err(missing.clone()),
        };
        all(self.recipients.iter().map(certificate), &missing)
    }
}

/// All of them, and at least one: a message encrypted to nobody is lost, one to some of its recipients is lost to the others.
fn all<T>(keys: impl Iterator<Item = Result<T, Error>>, missing: &Error) -> Result<Vec<T>, Error> {
    let keys: Vec<T> = keys.collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(missing.clone()) } else { Ok(keys) }
}
