//! The marker: a field with a secret on top, by which a next hop knows that mail came through us. Mail that carries one already,
//! ours or an imitation, loses it, so that the secret never leaves on another route.

use crate::gateway::config::Marker;
use crate::mail::header;
use std::borrow::Cow;

/// The field's name.
const FIELD: &str = "X-Sealpost-Marker";

/// The octets as a route sends them.
pub fn finish<'a>(octets: &'a [u8], marker: Option<&Marker>) -> Cow<'a, [u8]> {
    let below = without(octets);
    let Some(marker) = marker else { return below };
    let mut whole = format!("{FIELD}: {}\r\n", marker.as_str()).into_bytes();
    whole.extend_from_slice(&below);
    Cow::Owned(whole)
}

fn without(octets: &[u8]) -> Cow<'_, [u8]> {
    let (span, _) = header::split(octets);
    let end = usize::try_from(span.end).unwrap_or(usize::MAX).min(octets.len());
    let (head, rest) = octets.split_at(end);
    if header::named(head, FIELD).next().is_none() {
        return Cow::Borrowed(octets);
    }
    let mut kept: Vec<u8> =
        header::fields(head).filter(|field| !field.is(FIELD)).flat_map(|field| field.raw).copied().collect();
    kept.extend_from_slice(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_marker_or_none() {
        let marker = Marker::try_from("0123456789abcdef".to_owned()).expect("a marker");
        let check = |octets: &[u8], marker: Option<&Marker>, expected: &[u8]| {
            assert_eq!(&*finish(octets, marker), expected, "{:?}", String::from_utf8_lossy(octets));
        };
        check(b"A: b\r\n\r\nX-Sealpost-Marker: x\r\n", None, b"A: b\r\n\r\nX-Sealpost-Marker: x\r\n");
        check(b"x-sealpost-marker : x\r\n y\r\nA: b\r\n\r\nc", None, b"A: b\r\n\r\nc");
        check(b"A: b\r\n\r\nc", Some(&marker), b"X-Sealpost-Marker: 0123456789abcdef\r\nA: b\r\n\r\nc");
        let twice = finish(b"A: b\r\n\r\nc", Some(&marker)).into_owned();
        check(&twice, Some(&marker), &twice);
        check(b"", None, b"");
        check(b"\r\nX-Sealpost-Marker: x\r\n", None, b"\r\nX-Sealpost-Marker: x\r\n");
    }
}
