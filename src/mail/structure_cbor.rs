//! Reading parts from CBOR as the derived encoder writes them. By hand, because the derived decoder's frames (35 KB for each
//! level, unoptimised) overflow a thread's stack before `DEPTH_MAX`. Never accepts what is deeper than that.

use super::structure::Content;
use super::structure::DEPTH_MAX;
use super::structure::Part;
use minicbor::decode::Error;
use minicbor::{Decode, Decoder};

/// Index of the last field of a part.
const PART_INDEX_MAX: u64 = 13;

impl<'b, C> Decode<'b, C> for Part {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Part, Error> {
        part(d, DEPTH_MAX).map(|part| *part)
    }
}

/// Boxed, so that only a pointer passes through the frames of each level.
fn part(d: &mut Decoder, levels: usize) -> Result<Box<Part>, Error> {
    let levels = levels.checked_sub(1).ok_or_else(|| Error::message("parts nested too deep"))?;
    let count = array(d)?;
    if count <= PART_INDEX_MAX {
        return Err(Error::message("not all fields of a part"));
    }
    let mut part = Box::<Part>::default();
    for index in 0..count {
        field(&mut part, index, d, levels)?;
    }
    Ok(part)
}

fn field(part: &mut Part, index: u64, d: &mut Decoder, levels: usize) -> Result<(), Error> {
    match index {
        0 => read(&mut part.header, d),
        1 => read(&mut part.body, d),
        2 => read(&mut part.media_type, d),
        3 => read(&mut part.subtype, d),
        4 => read(&mut part.parameters, d),
        5 => read(&mut part.transfer_encoding, d),
        6 => read(&mut part.content_id, d),
        7 => read(&mut part.description, d),
        8 => read(&mut part.disposition, d),
        9 => read(&mut part.md5, d),
        10 => read(&mut part.language, d),
        11 => read(&mut part.location, d),
        12 => read(&mut part.lines, d),
        PART_INDEX_MAX => content(&mut part.content, d, levels),
        // A field of a later version.
        _ => d.skip(),
    }
}

fn read<'b, T: Decode<'b, ()>>(slot: &mut T, d: &mut Decoder<'b>) -> Result<(), Error> {
    *slot = d.decode()?;
    Ok(())
}

/// `[variant, [fields]]`.
fn content(slot: &mut Content, d: &mut Decoder, levels: usize) -> Result<(), Error> {
    let (outer, variant) = (array(d)?, d.u32()?);
    *slot = match (outer, variant, array(d)?) {
        (2, 0, 0) => Content::Leaf,
        (2, 1, 1) => Content::Multipart(parts(d, levels)?),
        (2, 2, 2) => Content::Message(part(d, levels)?, d.decode()?),
        _ => return Err(Error::message("no content of a part")),
    };
    Ok(())
}

fn parts(d: &mut Decoder, levels: usize) -> Result<Vec<Part>, Error> {
    let count = array(d)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push(*part(d, levels)?);
    }
    Ok(parts)
}

fn array(d: &mut Decoder) -> Result<u64, Error> {
    d.array()?.ok_or_else(|| Error::message("an array without length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::scan;

    fn check(message: &str) {
        let part = scan(message.as_bytes());
        let octets = minicbor::to_vec(&part).expect("encode");
        assert_eq!(minicbor::decode::<Part>(&octets).expect("decode"), part);
        for end in 0..octets.len() {
            assert!(minicbor::decode::<Part>(&octets[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn reads_what_is_written() {
        check("");
        check(
            "Content-Type: multipart/x; boundary=a; b=c\nContent-ID: i\nContent-Description: d\nContent-MD5: m\n\
             Content-Language: l, m\nContent-Location: o\nContent-Disposition: p; q=r\nContent-Transfer-Encoding: s\n\n\
             --a\nContent-Type: message/rfc822\n\nTo: t@u\nSubject: v\n\nw\n--a\n\nx",
        );
    }

    #[test]
    fn refuses_what_is_deeper_or_shorter() {
        let nested = |levels: usize| {
            let mut part = Part::default();
            for _ in 1..levels {
                part = Part { content: Content::Multipart(vec![part]), ..Part::default() };
            }
            minicbor::to_vec(&part).expect("encode")
        };
        assert!(minicbor::decode::<Part>(&nested(DEPTH_MAX)).is_ok());
        assert!(minicbor::decode::<Part>(&nested(DEPTH_MAX + 1)).is_err());
        let mut short = nested(1);
        assert_eq!(short[0], 0x8e, "an array of 14");
        short[0] = 0x8d;
        assert!(minicbor::decode::<Part>(&short).is_err());
        let mut longer = nested(1);
        longer[0] = 0x8f;
        longer.push(0x07);
        assert_eq!(minicbor::decode::<Part>(&longer).expect("a later version"), Part::default());
    }
}
