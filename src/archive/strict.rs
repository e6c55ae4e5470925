//! CBOR (RFC 8949) in one form only: what does not re-encode to the same octets is refused. Never decodes deep nesting.

use super::cursor::Malformed;
use minicbor::data::Type;
use minicbor::decode::Decoder;
use minicbor::{Decode, Encode};

/// Nesting beyond what a message of 100 nested parts makes (4 levels each); more would only exhaust the stack.
pub const DEPTH_MAX: usize = 512;

/// The one encoding of `value`.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let encoded = minicbor::encode(value, &mut out);
    debug_assert!(encoded.is_ok(), "writing to a Vec cannot fail");
    out
}

/// Reads what `encode` made, and nothing else.
pub fn decode<'a, T: Decode<'a, ()> + Encode<()>>(octets: &'a [u8]) -> Result<T, Malformed> {
    shallow(octets)?;
    let value = minicbor::decode(octets).map_err(|_| Malformed("not the CBOR expected"))?;
    if encode(&value) == octets { Ok(value) } else { Err(Malformed("CBOR in another form")) }
}

/// Walks the items and refuses nesting over `DEPTH_MAX` and indefinite lengths.
fn shallow(octets: &[u8]) -> Result<(), Malformed> {
    let mut decoder = Decoder::new(octets);
    // Items still to come at each level.
    let mut open: Vec<u64> = Vec::new();
    while decoder.position() < octets.len() {
        match inside(&mut decoder)? {
            0 => close(&mut open),
            items => open.push(items),
        }
        if open.len() > DEPTH_MAX {
            return Err(Malformed("CBOR nested too deep"));
        }
    }
    Ok(())
}

/// Steps over one item's head, and over the whole of it unless it holds items; how many it holds.
fn inside(decoder: &mut Decoder<'_>) -> Result<u64, Malformed> {
    let malformed = |_| Malformed("not CBOR");
    match decoder.datatype().map_err(malformed)? {
        Type::Array => decoder.array().map(Option::unwrap_or_default).map_err(malformed),
        Type::Map => decoder.map().map(|n| n.unwrap_or_default().saturating_mul(2)).map_err(malformed),
        Type::Tag => decoder.tag().map(|_| 1).map_err(malformed),
        Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Break => {
            Err(Malformed("CBOR of indefinite length"))
        }
        _ => decoder.skip().map(|()| 0).map_err(malformed),
    }
}

/// One item ended: so did every level whose last item it was.
fn close(open: &mut Vec<u64>) {
    while let Some(left) = open.last_mut() {
        *left -= 1;
        if *left > 0 {
            return;
        }
        open.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_is_read() {
        assert_eq!(decode::<Vec<u32>>(&encode(&vec![1u32, 300])), Ok(vec![1, 300]));
        for bad in [
            &[0x81, 0x18, 0x01][..],                                 // 1 in two octets
            &[0x9f, 0x01, 0xff],                                     // indefinite
            &[0x81, 0x01, 0x00],                                     // an octet behind
            &[0x82, 0x01],                                           // cut
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a huge length
        ] {
            assert!(decode::<Vec<u32>>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| [vec![0x81; n], vec![0x01]].concat();
        assert_eq!(shallow(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(shallow(&nested(DEPTH_MAX + 1)), Err(Malformed("CBOR nested too deep")));
        let wide = [vec![0x9a, 0, 0, 4, 0], vec![0x80; 1024]].concat();
        assert_eq!(shallow(&wide), Ok(()));
    }
}
