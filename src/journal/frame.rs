//! Frames: the encrypted records inside a batch. Encodes, seals, opens and reads them; never touches a file.
//! Layout: docs/journal-format.md section 4.

use super::leaf::GROUP_BYTES_MAX;
use crate::crypto;
use crate::crypto::Secret;
use crate::crypto::aead;
use crate::crypto::kdf;
use crate::crypto::random;
use crate::crypto::sha256;
use crate::mail::MailId;
use minicbor::{Decode, Encode};
use zeroize::Zeroize;

/// Octets of a message in one BODY frame.
pub const PIECE_BYTES_MAX: usize = 128 * 1024;
/// Octets of a record of acceptance.
pub const RECORD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The stream of a record of acceptance that is longer than a piece.
pub const RECORD_STREAM: u32 = u32::MAX;
/// Octets before the salt: length twice, sequence, place.
pub const PREFIX_BYTES: usize = 20;
/// Octets of the longest frame.
pub const FRAME_BYTES_MAX: usize = PREFIX_BYTES + SALT_BYTES + SEALED_BYTES_MAX + aead::TAG_BYTES;
/// Octets of the longest content: a piece, or a group of leaves.
pub const CONTENT_BYTES_MAX: usize = if PIECE_BYTES_MAX > GROUP_BYTES_MAX { PIECE_BYTES_MAX } else { GROUP_BYTES_MAX };
/// Octets of the longest ciphertext; the record around its content adds less than a KiB.
pub const SEALED_BYTES_MAX: usize = CONTENT_BYTES_MAX + 1024;
/// Octets of a salt, which precedes the ciphertext.
pub const SALT_BYTES: usize = 32;

/// A piece of a stream of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Body<'a> {
    #[n(0)]
    pub id: MailId,
    #[n(1)]
    pub stream: u32,
    #[n(2)]
    pub offset: u64,
    #[b(3)]
    #[cbor(with = "minicbor::bytes")]
    pub octets: &'a [u8],
}

/// The commit point of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Acceptance<'a> {
    #[n(0)]
    pub id: MailId,
    #[n(1)]
    pub leaf: u64,
    #[b(2)]
    #[cbor(with = "minicbor::bytes")]
    pub mek: &'a [u8],
    #[n(3)]
    pub record_bytes: u64,
    #[b(4)]
    #[cbor(with = "minicbor::bytes")]
    pub record: Option<&'a [u8]>,
}

/// A message lives here from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Carrying<'a> {
    #[n(0)]
    pub id: MailId,
    #[n(1)]
    pub record_bytes: u64,
    #[b(2)]
    #[cbor(with = "minicbor::bytes")]
    pub record: Option<&'a [u8]>,
}

/// What happened to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Resulting<'a> {
    #[n(0)]
    pub id: MailId,
    #[n(1)]
    pub accept_index: u64,
    #[n(2)]
    pub leaf: Option<u64>,
    #[n(3)]
    pub ordinal: u64,
    #[b(4)]
    #[cbor(with = "minicbor::bytes")]
    pub record: &'a [u8],
}

/// Leaves of another operation: all of them or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Leafing<'a> {
    /// The index of the first.
    #[n(0)]
    pub first: u64,
    /// The form of `leaf::encode_group`.
    #[b(1)]
    #[cbor(with = "minicbor::bytes")]
    pub group: &'a [u8],
}

/// One record of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Body(Body<'a>),
    Accept(Acceptance<'a>),
    Result(Resulting<'a>),
    Abort(MailId),
    Leaves(Leafing<'a>),
    Retire(u64),
    Carry(Carrying<'a>),
}

/// Kind octet and record of a frame. An ACCEPT holds the message key and a CARRY blinds, so these are wiped on drop.
pub struct Plain(Vec<u8>);

impl std::ops::Deref for Plain {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if matches!(self.0.first(), Some(&(ACCEPT | CARRY))) {
            self.0.zeroize();
        }
    }
}

const BODY: u8 = 0;
const ACCEPT: u8 = 1;
const RESULT: u8 = 2;
const ABORT: u8 = 3;
const LEAVES: u8 = 4;
const RETIRE: u8 = 5;
const CARRY: u8 = 6;

impl<'a> Frame<'a> {
    /// Kind octet and record.
    pub fn encode(&self) -> Plain {
        let content = match self {
            Frame::Body(b) => b.octets.len(),
            Frame::Accept(a) => a.record.map_or(0, <[u8]>::len),
            Frame::Carry(c) => c.record.map_or(0, <[u8]>::len),
            Frame::Result(r) => r.record.len(),
            Frame::Leaves(l) => l.group.len(),
            Frame::Abort(_) | Frame::Retire(_) => 0,
        };
        // Room for all of it: a vector that grows leaves copies of the key behind.
        let mut out = Vec::with_capacity(content + 128);
        match self {
            Frame::Body(record) => append(&mut out, BODY, record),
            Frame::Accept(record) => append(&mut out, ACCEPT, record),
            Frame::Result(record) => append(&mut out, RESULT, record),
            Frame::Abort(id) => append(&mut out, ABORT, id),
            Frame::Leaves(record) => append(&mut out, LEAVES, record),
            Frame::Retire(ordinal) => append(&mut out, RETIRE, ordinal),
            Frame::Carry(record) => append(&mut out, CARRY, record),
        }
        Plain(out)
    }

    /// Reads what `encode` made; `None` for anything else.
    pub fn decode(octets: &'a [u8]) -> Option<Frame<'a>> {
        let (kind, record) = octets.split_first()?;
        let frame = match *kind {
            BODY => Frame::Body(whole(record)?),
            ACCEPT => Frame::Accept(whole(record)?),
            RESULT => Frame::Result(whole(record)?),
            ABORT => Frame::Abort(whole(record)?),
            LEAVES => Frame::Leaves(whole(record)?),
            RETIRE => Frame::Retire(whole(record)?),
            CARRY => Frame::Carry(whole(record)?),
            _ => return None,
        };
        Some(frame)
    }
}

fn append<T: Encode<()>>(out: &mut Vec<u8>, kind: u8, record: &T) {
    out.push(kind);
    minicbor::encode(record, out).unwrap_or_else(|_| unreachable!("encoding into memory cannot fail"));
}

/// A record that fills its octets exactly.
fn whole<'a, T: Decode<'a, ()>>(octets: &'a [u8]) -> Option<T> {
    let mut decoder = minicbor::Decoder::new(octets);
    let record = decoder.decode().ok()?;
    (decoder.position() == octets.len()).then_some(record)
}

/// Where a frame belongs: a frame moved elsewhere does not authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub incarnation: [u8; 16],
    pub sequence: u64,
    pub place: u32,
}

impl Position {
    fn aad(&self) -> [u8; 28] {
        let mut aad = [0; 28];
        aad[..16].copy_from_slice(&self.incarnation);
        aad[16..24].copy_from_slice(&self.sequence.to_be_bytes());
        aad[24..].copy_from_slice(&self.place.to_be_bytes());
        aad
    }
}

/// Appends the sealed frame to `out` and says how long its ciphertext is.
pub fn seal(jk: &Secret<32>, position: Position, plain: &[u8], out: &mut Vec<u8>) -> Result<u32, crypto::Error> {
    let salt = random::hedged("journal salt", &[&sha256(plain), &position.incarnation])?;
    let sealed = aead::seal(&key(jk, &position, salt.expose()), &aead::SINGLE_USE, &position.aad(), plain);
    let length = u32::try_from(sealed.len()).map_err(|_| crypto::Error::Malformed("frame too long"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&(!length).to_be_bytes());
    out.extend_from_slice(&position.sequence.to_be_bytes());
    out.extend_from_slice(&position.place.to_be_bytes());
    out.extend_from_slice(salt.expose());
    out.extend_from_slice(&sealed);
    Ok(length)
}

/// Opens a frame given from its salt on: the plaintext, if it authenticates at this position.
pub fn open(jk: &Secret<32>, position: Position, from_salt: &[u8]) -> Option<Plain> {
    let (salt, sealed) = from_salt.split_at_checked(SALT_BYTES)?;
    aead::open(&key(jk, &position, salt), &aead::SINGLE_USE, &position.aad(), sealed).ok().map(Plain)
}

/// One key, one frame.
fn key(jk: &Secret<32>, position: &Position, salt: &[u8]) -> Secret<32> {
    kdf::derive(jk.expose(), "journal frame", &[&position.incarnation, salt])
}

/// The lengths a frame at the start of `octets` may have: both copies, if they disagree one of them was hit.
pub fn lengths(octets: &[u8]) -> impl Iterator<Item = usize> {
    let word = |at: usize| octets.get(at..at + 4).and_then(|w| w.try_into().ok()).map(u32::from_be_bytes);
    let first = word(0).and_then(plausible);
    let second = word(4).map(|w| !w).and_then(plausible).filter(|s| Some(*s) != first);
    first.into_iter().chain(second)
}

/// Whether both copies of a length agree and are plausible: the mark a lost reader looks for. No plausible length has more than
/// 24 bits, which rules most places out at once.
pub fn looks_like_frame(octets: &[u8]) -> bool {
    let agree = |w: &[u8]| w[0] == 0 && w[4] == 255 && w[1] == !w[5] && w[2] == !w[6] && w[3] == !w[7];
    octets.get(..8).is_some_and(agree) && lengths(octets).next().is_some()
}

/// Where the frame at the start of `octets` says it belongs; only its authentication proves it.
pub fn claimed(octets: &[u8], incarnation: [u8; 16]) -> Option<Position> {
    let sequence = u64::from_be_bytes(octets.get(8..16)?.try_into().ok()?);
    let place = u32::from_be_bytes(octets.get(16..20)?.try_into().ok()?);
    Some(Position { incarnation, sequence, place })
}

fn plausible(length: u32) -> Option<usize> {
    let length = usize::try_from(length).ok()?;
    (aead::TAG_BYTES < length && length <= SEALED_BYTES_MAX + aead::TAG_BYTES).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: Frame<'_>) {
        let plain = frame.encode();
        assert_eq!(Frame::decode(&plain), Some(frame));
        assert_eq!(Frame::decode(&plain[..plain.len() - 1]), None);
        let longer = [&plain[..], &[0]].concat();
        assert_eq!(Frame::decode(&longer), None);
    }

    #[test]
    fn frames_read_back_whole_and_nothing_else_does() {
        let id = MailId::from_octets([7; 16]);
        check(Frame::Body(Body { id, stream: 1, offset: 1 << 40, octets: b"octets" }));
        check(Frame::Accept(Acceptance { id, leaf: 9, mek: &[1; 32], record_bytes: 3, record: Some(b"abc") }));
        check(Frame::Accept(Acceptance { id, leaf: 9, mek: &[1; 32], record_bytes: 3, record: None }));
        check(Frame::Result(Resulting { id, accept_index: 1, leaf: None, ordinal: 0, record: b"r" }));
        check(Frame::Abort(id));
        check(Frame::Leaves(Leafing { first: 2, group: b"\0\x02\x04\x01" }));
        check(Frame::Retire(5));
        check(Frame::Carry(Carrying { id, record_bytes: 3, record: Some(b"abc") }));
        check(Frame::Carry(Carrying { id, record_bytes: 3, record: None }));
        assert_eq!(Frame::decode(&[7, 0]), None);
        assert_eq!(Frame::decode(&[]), None);
    }

    #[test]
    fn a_frame_opens_only_where_it_was_put() {
        let jk = Secret::new([5; 32]);
        let position = Position { incarnation: [1; 16], sequence: 2, place: 3 };
        let mut out = Vec::new();
        let length = seal(&jk, position, b"plain", &mut out).expect("sealed");
        assert_eq!(out.len(), PREFIX_BYTES + SALT_BYTES + 5 + 16);
        assert_eq!(claimed(&out, [1; 16]), Some(position));
        assert_eq!(lengths(&out).collect::<Vec<_>>(), [usize::try_from(length).expect("small")]);
        assert_eq!(open(&jk, position, &out[20..]).as_deref(), Some(&b"plain"[..]));
        for other in [
            Position { incarnation: [2; 16], ..position },
            Position { sequence: 3, ..position },
            Position { place: 2, ..position },
        ] {
            assert!(open(&jk, other, &out[20..]).is_none());
        }
        assert!(open(&Secret::new([6; 32]), position, &out[20..]).is_none());
        assert!(open(&jk, position, &out[20..30]).is_none());
    }

    #[test]
    fn one_broken_length_leaves_the_other() {
        let mut head = [0, 0, 1, 0, 255, 255, 254, 255];
        assert!(looks_like_frame(&head));
        head[3] = 7;
        assert_eq!(lengths(&head).collect::<Vec<_>>(), [0x107, 0x100]);
        assert!(!looks_like_frame(&head));
        head[4] = 0;
        assert_eq!(lengths(&head).collect::<Vec<_>>(), [0x107], "the second is no longer plausible");
        assert_eq!(lengths(&[0; 4]).count(), 0);
    }

    #[test]
    fn salts_never_repeat_for_equal_frames() {
        // J6: with one key per (JK, salt) and nonce 0, a repeated salt would be a repeated (key, nonce).
        let position = Position { incarnation: [1; 16], sequence: 2, place: 3 };
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut out = Vec::new();
            seal(&Secret::new([5; 32]), position, b"plain", &mut out).expect("sealed");
            assert!(seen.insert(out[20..52].to_vec()));
        }
    }
}
