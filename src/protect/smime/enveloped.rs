//! CMS EnvelopedData (RFC 5652 section 6): AES-256-CBC, its key to RSA recipients by PKCS#1 v1.5 (what every client reads), to
//! P-256 recipients by ephemeral-static ECDH with SHA-256 and AES-256 key wrap (RFC 5753).

use super::{Error, algorithm, issuer_and_serial};
use crate::crypto::{Secret, random};
use crate::keyring::{PublicKind, SmimeCertificate};
use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use cms::content_info::CmsVersion;
use cms::enveloped_data::{
    KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey,
    OriginatorPublicKey, RecipientEncryptedKey, RecipientIdentifier, RecipientInfo, RecipientInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_AES_256_CBC, ID_DATA, ID_ENVELOPED_DATA};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use der::asn1::{BitString, Null, OctetString, OctetStringRef, SetOfVec};
use der::{Any, Encode, Sequence};
use spki::AlgorithmIdentifierOwned;
use std::collections::HashSet;
use zeroize::Zeroizing;

/// id-aes256-wrap (RFC 3565 section 2.3.2).
const AES_256_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.45");
/// dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 section 7.1.4).
const STD_DH_SHA256_KDF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.1");
/// Octets of the content-encryption and the key-encryption key.
const KEY_BYTES: usize = 32;
/// What AES key wrap adds (RFC 3394).
const WRAP_BYTES: usize = 8;

/// A ContentInfo with an EnvelopedData of `content`. The content is encrypted in place.
pub fn enveloped(mut content: Vec<u8>, recipients: &[&SmimeCertificate]) -> Result<Vec<u8>, Error> {
    // One key, one message.
    let key: Secret<KEY_BYTES> = random::hedged("cms content key", &[]).map_err(|_| Error::Randomness)?;
    let iv = encrypt(&key, &mut content)?;
    // Each certificate once, however many recipients it serves.
    let mut seen = HashSet::new();
    let distinct = recipients.iter().filter(|r| seen.insert(r.der()));
    let infos: Vec<RecipientInfo> = distinct.map(|r| recipient(r, &key)).collect::<Result<_, _>>()?;
    let only_transport = infos.iter().all(|info| matches!(info, RecipientInfo::Ktri(_)));
    let data = EnvelopedData {
        version: if only_transport { CmsVersion::V0 } else { CmsVersion::V2 },
        recipient_infos: RecipientInfos(SetOfVec::try_from(infos)?),
        content: EncryptedContent {
            content_type: ID_DATA,
            algorithm: algorithm(ID_AES_256_CBC, Some(Any::encode_from(&OctetString::new(iv)?)?)),
            ciphertext: OctetStringRef::new(&content)?,
        },
    };
    Ok(Enveloped { content_type: ID_ENVELOPED_DATA, content: data }.to_der()?)
}

/// ContentInfo; like the types below it borrows the ciphertext, which may be large.
#[derive(Sequence)]
struct Enveloped<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: EnvelopedData<'a>,
}

#[derive(Sequence)]
struct EnvelopedData<'a> {
    version: CmsVersion,
    recipient_infos: RecipientInfos,
    content: EncryptedContent<'a>,
}

#[derive(Sequence)]
struct EncryptedContent<'a> {
    content_type: ObjectIdentifier,
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    ciphertext: &'a OctetStringRef,
}

/// AES-256-CBC with PKCS#7 padding under a fresh IV, which is the answer.
fn encrypt(key: &Secret<KEY_BYTES>, content: &mut Vec<u8>) -> Result<Vec<u8>, Error> {
    let failed = |_| Error::Failed("AES-256-CBC".to_owned());
    let key = UnboundCipherKey::new(&AES_256, key.expose()).map_err(failed)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
    match key.encrypt(content).map_err(failed)? {
        DecryptionContext::Iv128(iv) => {
            let iv: &[u8] = iv.as_ref();
            Ok(iv.to_vec())
        }
        _ => Err(Error::Failed("AES-256-CBC gave no IV".to_owned())),
    }
}

fn recipient(certificate: &SmimeCertificate, key: &Secret<KEY_BYTES>) -> Result<RecipientInfo, Error> {
    match certificate.kind() {
        PublicKind::Rsa { .. } => transport(certificate, key).map(RecipientInfo::Ktri),
        PublicKind::P256 => agreement(certificate, key).map(RecipientInfo::Kari),
    }
}

fn unfit(certificate: &SmimeCertificate) -> Error {
    Error::KeyUnfit(format!("{certificate:?}"))
}

fn transport(certificate: &SmimeCertificate, key: &Secret<KEY_BYTES>) -> Result<KeyTransRecipientInfo, Error> {
    let info = certificate.certificate().tbs_certificate().subject_public_key_info().to_der()?;
    let public = PublicEncryptingKey::from_der(&info).map_err(|_| unfit(certificate))?;
    let public = Pkcs1PublicEncryptingKey::new(public).map_err(|_| unfit(certificate))?;
    let mut encrypted = vec![0; public.ciphertext_size()];
    public.encrypt(key.expose(), &mut encrypted).map_err(|_| unfit(certificate))?;
    Ok(KeyTransRecipientInfo {
        version: CmsVersion::V0,
        rid: RecipientIdentifier::IssuerAndSerialNumber(issuer_and_serial(certificate)),
        key_enc_alg: algorithm(RSA_ENCRYPTION, Some(Null.into())),
        enc_key: OctetString::new(encrypted)?,
    })
}

fn agreement(certificate: &SmimeCertificate, key: &Secret<KEY_BYTES>) -> Result<KeyAgreeRecipientInfo, Error> {
    let failed = || Error::Failed("ECDH".to_owned());
    let wrap = algorithm(AES_256_WRAP, None);
    let ephemeral = agreement::PrivateKey::generate(&ECDH_P256).map_err(|_| failed())?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, certificate.public_key());
    let kek = agreement::agree(&ephemeral, theirs, unfit(certificate), |shared| derive(shared, &wrap))?;
    let mut wrapped = vec![0; KEY_BYTES + WRAP_BYTES];
    let kek = AesKek::new(&key_wrap::AES_256, &kek[..]).map_err(|_| failed())?;
    kek.wrap(key.expose(), &mut wrapped).map_err(|_| failed())?;
    let public = ephemeral.compute_public_key().map_err(|_| failed())?;
    Ok(KeyAgreeRecipientInfo {
        version: CmsVersion::V3,
        originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
            algorithm: algorithm(ID_EC_PUBLIC_KEY, None),
            public_key: BitString::from_bytes(public.as_ref())?,
        }),
        ukm: None,
        key_enc_alg: algorithm(STD_DH_SHA256_KDF, Some(Any::encode_from(&wrap)?)),
        recipient_enc_keys: vec![RecipientEncryptedKey {
            rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(issuer_and_serial(certificate)),
            enc_key: OctetString::new(wrapped)?,
        }],
    })
}

/// ECC-CMS-SharedInfo (RFC 5753 section 7.2), without entityUInfo.
#[derive(Sequence)]
struct SharedInfo<'a> {
    key_info: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT")]
    key_bits: &'a OctetStringRef,
}

/// The ANSI X9.63 KDF with SHA-256 (SEC 1 section 3.6.1); 32 octets are one round.
fn derive(shared: &[u8], wrap: &AlgorithmIdentifierOwned) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
    const KEY_BITS: [u8; 4] = 256u32.to_be_bytes();
    let info = SharedInfo { key_info: wrap.clone(), key_bits: OctetStringRef::new(&KEY_BITS)? }.to_der()?;
    let mut hash = Context::new(&SHA256);
    for piece in [shared, &1u32.to_be_bytes(), &info] {
        hash.update(piece);
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(hash.finish().as_ref());
    Ok(key)
}
