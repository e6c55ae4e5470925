//! Key derivation: HKDF-SHA-256 (RFC 5869) with a label and length-prefixed context. Never derives twice for two uses under
//! one label.

use super::Secret;
use aws_lc_rs::hkdf;

struct Length(usize);
impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Derives `N` octets (at most 8160) for the use named by `label`, bound to every item of `context`.
///
/// `info` is `"sealpost v1 "`, then for the label and each context item its length as u32 big-endian and its octets, so that no two
/// lists of items give one `info`. The salt is empty: every input key is uniformly random.
pub fn derive<const N: usize>(key: &[u8], label: &str, context: &[&[u8]]) -> Secret<N> {
    let info = info(label, context);
    let mut out = [0u8; N];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key);
    let filled = prk.expand(&[&info], Length(N)).and_then(|okm| okm.fill(&mut out));
    assert!(filled.is_ok(), "HKDF-SHA-256 gives at most 8160 octets");
    let secret = Secret::new(out);
    zeroize::Zeroize::zeroize(&mut out);
    secret
}

fn info(label: &str, context: &[&[u8]]) -> Vec<u8> {
    let mut info = b"sealpost v1 ".to_vec();
    append_item(&mut info, label.as_bytes());
    for item in context {
        append_item(&mut info, item);
    }
    info
}

/// Appends a u32 big-endian length and the item.
fn append_item(out: &mut Vec<u8>, item: &[u8]) {
    let length = u32::try_from(item.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_and_every_context_item_separate_keys() {
        let base = derive::<32>(&[7; 32], "a", &[b"xy"]);
        assert_eq!(base, derive::<32>(&[7; 32], "a", &[b"xy"]));
        for other in [
            derive::<32>(&[8; 32], "a", &[b"xy"]),
            derive::<32>(&[7; 32], "b", &[b"xy"]),
            derive::<32>(&[7; 32], "a", &[b"x", b"y"]),
            derive::<32>(&[7; 32], "a", &[]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn info_is_as_documented() {
        assert_eq!(info("k", &[b"id"]), b"sealpost v1 \0\0\0\x01k\0\0\0\x02id");
    }
}
