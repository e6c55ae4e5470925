//! Just enough of HTTP/1.1 (RFC 9112) to post one request and read one bounded answer. Octets in, values out.

use crate::gateway::config::AuthorityUrl;

/// Octets of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Octets of an answer in all, so many are read and no more.
pub const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 is what one hopes for.
    pub status: u16,
    /// Its content.
    pub body: Vec<u8>,
}

/// What has been read so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The whole of it.
    Whole(Answer),
    /// More is to come.
    Unfinished,
}

/// The octets of a POST. The connection is for it alone.
pub fn request(url: &AuthorityUrl, content_type: &str, body: &[u8]) -> Vec<u8> {
    let (path, host, length) = (url.path(), url.peer(), body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Accept: application/timestamp-reply\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Reads an answer from all that came; `has_ended` when nothing more will.
pub fn parse(octets: &[u8], has_ended: bool) -> Result<Read, &'static str> {
    let mut rest = octets;
    loop {
        let Some(end) = find(rest, b"\r\n\r\n") else {
            let is_over = has_ended || rest.len() > HEAD_BYTES_MAX;
            return if is_over { Err("no HTTP answer") } else { Ok(Read::Unfinished) };
        };
        let head = std::str::from_utf8(&rest[..end.min(HEAD_BYTES_MAX)]).map_err(|_| "a head that is not text")?;
        let status = status(head)?;
        rest = &rest[end + 4..];
        // An interim answer goes before the one that counts (RFC 9110 section 15.2).
        if !(100..200).contains(&status) {
            let body = body(head, rest, has_ended)?;
            return Ok(body.map_or(Read::Unfinished, |body| Read::Whole(Answer { status, body })));
        }
    }
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

fn status(head: &str) -> Result<u16, &'static str> {
    let line = head.split("\r\n").next().unwrap_or_default();
    let rest = line.strip_prefix("HTTP/1.").ok_or("no HTTP/1 answer")?;
    let code = rest.get(1..).and_then(|rest| rest.strip_prefix(' ')).and_then(|rest| rest.get(..3));
    let code = code.filter(|code| code.bytes().all(|b| b.is_ascii_digit())).ok_or("no status")?;
    code.parse().map_err(|_| "no status")
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).last()
}

/// RFC 9112 section 6.3: chunked, of a stated length, or until the end.
fn body(head: &str, rest: &[u8], has_ended: bool) -> Result<Option<Vec<u8>>, &'static str> {
    let unfinished = |what| if has_ended { Err(what) } else { Ok(None) };
    if let Some(coding) = field(head, "Transfer-Encoding") {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err("a transfer coding other than chunked");
        }
        return match chunks(rest)? {
            Some(body) => Ok(Some(body)),
            None => unfinished("the answer ends within a chunk"),
        };
    }
    match field(head, "Content-Length") {
        None if has_ended => Ok(Some(rest.to_vec())),
        None => Ok(None),
        Some(length) => {
            let length = length.parse::<usize>().ok().filter(|length| *length <= ANSWER_BYTES_MAX);
            let length = length.ok_or("a length that cannot be")?;
            match rest.get(..length) {
                Some(body) => Ok(Some(body.to_vec())),
                None => unfinished("the answer is cut short"),
            }
        }
    }
}

/// RFC 9112 section 7.1, extensions and trailers left out; `None` while the last chunk is missing.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| "a chunk without a size")?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(digits, 16).ok().filter(|size| is_hex && *size <= ANSWER_BYTES_MAX);
        let size = size.ok_or("a chunk without a size")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(Some(body));
        }
        let Some((chunk, behind)) = rest.split_at_checked(size) else { return Ok(None) };
        if body.len() + size > ANSWER_BYTES_MAX {
            return Err("the answer is too long");
        }
        body.extend_from_slice(chunk);
        rest = match behind {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', behind @ ..] => behind,
            _ => return Err("a chunk longer than its size"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(status: u16, body: &[u8]) -> Result<Read, &'static str> {
        Ok(Read::Whole(Answer { status, body: body.to_vec() }))
    }

    #[test]
    fn answers_end_as_they_say() {
        let lengths = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{lengths}");
        for text in [lengths, chunked, &interim] {
            assert_eq!(parse(text.as_bytes(), false), whole(200, b"abc"), "{text}");
            let cuts = text.len() - if text == chunked { 2 } else { 0 };
            for cut in 0..cuts {
                assert_eq!(parse(&text.as_bytes()[..cut], false), Ok(Read::Unfinished), "{cut} of {text}");
                assert!(parse(&text.as_bytes()[..cut], true).is_err(), "{cut} of {text}");
            }
        }
        let until_the_end = b"HTTP/1.0 404 Not Found\r\n\r\nabc";
        assert_eq!(parse(until_the_end, false), Ok(Read::Unfinished));
        assert_eq!(parse(until_the_end, true), whole(404, b"abc"));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            assert!(parse(text.as_bytes(), false).is_err(), "{text}");
        }
        assert!(parse(&[b'x'; HEAD_BYTES_MAX + 1], false).is_err(), "a head without an end");
    }
}
