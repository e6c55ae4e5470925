//! A generated mixed corpus: deterministic, CRLF, every shape that has broken a gateway or an archive before.

/// Makes message number `n`; messages differ, and each names itself in `X-Number`.
pub fn message(n: usize) -> Vec<u8> {
    let shape = SHAPES[n % SHAPES.len()];
    let mut octets = format!("X-Number: {n}\r\n").into_bytes();
    octets.extend_from_slice(&shape(n));
    octets
}

/// A directory of `.eml` files given by `SEALPOST_CORPUS`, else nothing.
pub fn given() -> Vec<Vec<u8>> {
    let Some(dir) = std::env::var_os("SEALPOST_CORPUS") else { return Vec::new() };
    let mut paths: Vec<_> =
        std::fs::read_dir(&dir).expect("SEALPOST_CORPUS is a directory").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().filter(|p| p.is_file()).map(|p| std::fs::read(p).expect("readable")).collect()
}

/// Whether IMAP can show it unchanged: it carries no NUL.
pub fn is_without_nul(octets: &[u8]) -> bool {
    !octets.contains(&0)
}

type Shape = fn(usize) -> Vec<u8>;

const SHAPES: &[Shape] = &[
    plain,
    latin1,
    utf8,
    dots,
    empty_body,
    header_only,
    alternative,
    attachment,
    long_lines,
    forwarded,
    no_message_id,
    same_message_id,
    folded,
    nul,
    trailing_blanks,
    broken_multipart,
    html,
    signed_elsewhere,
    many_fields,
    large,
];

fn header(n: usize, subject: &str) -> String {
    format!(
        "From: Alice <alice@example.org>\r\nTo: bob@partner.example\r\nSubject: {subject} {n}\r\n\
         Date: Tue, 24 Nov 2026 17:03:42 +0000\r\nMessage-ID: <{n}.corpus@example.org>\r\n"
    )
}

fn plain(n: usize) -> Vec<u8> {
    format!("{}\r\nHello Bob,\r\n\r\nnumber {n}.\r\n", header(n, "plain")).into_bytes()
}

fn latin1(n: usize) -> Vec<u8> {
    let mut octets = header(n, "latin1").into_bytes();
    octets
        .extend_from_slice(b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    octets.extend_from_slice(b"Gr\xfc\xdfe aus M\xfcnchen\r\n");
    octets
}

fn utf8(n: usize) -> Vec<u8> {
    let head = header(n, "=?utf-8?q?gr=C3=BC=C3=9Fe?=");
    format!(
        "{head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nžluťoučký kůň 🐎\r\n"
    )
    .into_bytes()
}

fn dots(n: usize) -> Vec<u8> {
    format!("{}\r\n.\r\n..\r\n.dot at the start\r\n...\r\n", header(n, "dots")).into_bytes()
}

fn empty_body(n: usize) -> Vec<u8> {
    format!("{}\r\n", header(n, "empty")).into_bytes()
}

fn header_only(n: usize) -> Vec<u8> {
    header(n, "header only").into_bytes()
}

fn alternative(n: usize) -> Vec<u8> {
    let head = header(n, "alternative");
    format!(
        "{head}MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"a b\"\r\n\r\npreamble\r\n--a b\r\n\r\n\
         text {n}\r\n--a b\r\nContent-Type: text/html\r\n\r\n<p>text {n}</p>\r\n--a b--\r\nepilogue\r\n"
    )
    .into_bytes()
}

fn attachment(n: usize) -> Vec<u8> {
    let body: String = (0..40).map(|i| format!("{:0>76}\r\n", i * 7919 + n)).collect();
    let head = header(n, "attachment");
    format!(
        "{head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=mixed{n}\r\n\r\n--mixed{n}\r\n\
         Content-Type: text/plain\r\n\r\nattached\r\n--mixed{n}\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n\
         Content-Disposition: attachment; filename*=utf-8''%C3%A4.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}\
         --mixed{n}--\r\n"
    )
    .into_bytes()
}

fn long_lines(n: usize) -> Vec<u8> {
    format!("{}X-Long: {}\r\n\r\n{}\r\nshort\r\n", header(n, "long"), "h".repeat(1500), "x".repeat(5000 + n))
        .into_bytes()
}

fn forwarded(n: usize) -> Vec<u8> {
    let inner = String::from_utf8(alternative(n)).expect("ASCII");
    let head = header(n, "Fwd");
    format!(
        "{head}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n\
         Content-Type: message/rfc822\r\n\r\n{inner}\r\n--outer--\r\n"
    )
    .into_bytes()
}

fn no_message_id(n: usize) -> Vec<u8> {
    format!("From: alice@example.org\r\nSubject: none {n}\r\n\r\nno Message-ID\r\n").into_bytes()
}

fn same_message_id(n: usize) -> Vec<u8> {
    format!("From: alice@example.org\r\nMessage-ID: <same@example.org>\r\n\r\nbody {n}\r\n").into_bytes()
}

fn folded(n: usize) -> Vec<u8> {
    let head = header(n, "a subject that is\r\n folded\r\n\tover three lines");
    format!("{head}To: =?utf-8?q?B=C3=B6b?=\r\n <bob@partner.example>,\r\n carol@partner.example\r\n\r\nx\r\n")
        .into_bytes()
}

fn nul(n: usize) -> Vec<u8> {
    let mut octets = header(n, "nul").into_bytes();
    octets.extend_from_slice(b"\r\nbefore\0after\r\n");
    octets
}

fn trailing_blanks(n: usize) -> Vec<u8> {
    format!("{}\r\nline with blanks   \t \r\n   \r\n\r\n\r\n", header(n, "blanks")).into_bytes()
}

fn broken_multipart(n: usize) -> Vec<u8> {
    format!("{}Content-Type: multipart/mixed; boundary=never\r\n\r\nno boundary here\r\n", header(n, "broken"))
        .into_bytes()
}

fn html(n: usize) -> Vec<u8> {
    format!("{}Content-Type: text/html; charset=us-ascii\r\n\r\n<html><body>{n}</body></html>\r\n", header(n, "html"))
        .into_bytes()
}

fn signed_elsewhere(n: usize) -> Vec<u8> {
    let head = header(n, "signed");
    format!(
        "{head}MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s; micalg=pgp-sha256;\r\n\
         \tprotocol=\"application/pgp-signature\"\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\nsigned {n}\r\n--s\r\n\
         Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n\r\nAAAA\r\n\
         -----END PGP SIGNATURE-----\r\n--s--\r\n"
    )
    .into_bytes()
}

fn many_fields(n: usize) -> Vec<u8> {
    let more: String = (0..200).map(|i| format!("X-Field-{i}: value {i} of {n}\r\n")).collect();
    format!("{}{more}\r\nmany\r\n", header(n, "fields")).into_bytes()
}

fn large(n: usize) -> Vec<u8> {
    let line = "The quick brown fox jumps over the lazy dog, and says so at some length.\r\n";
    format!("{}\r\n{}", header(n, "large"), line.repeat(4000)).into_bytes()
}
