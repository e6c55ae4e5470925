//! What scan() finds in small messages, one deviation each. Written as nested lists: `subtype(body|lines)` of a leaf, the body
//! with its line breaks escaped, and `subtype[parts]`.

use crate::mail::structure::Content;
use crate::mail::structure::Part;
use crate::mail::structure::scan;

fn shown(message: &[u8], part: &Part) -> String {
    let octets = |span: crate::mail::structure::Span| span.of(message).escape_ascii().to_string();
    let inside = match &part.content {
        Content::Leaf => return format!("{}({}|{})", part.subtype, octets(part.body), part.lines),
        Content::Multipart(parts) => parts.iter().map(|p| shown(message, p)).collect::<Vec<_>>().join(" "),
        Content::Message(inner, _) => shown(message, inner),
    };
    format!("{}[{inside}]", part.subtype)
}

/// Lines of `message` are joined by CRLF, then by LF: the same parts must be found.
fn check(message: &str, expected: &str) {
    let crlf = message.replace('\n', "\r\n");
    assert_eq!(shown(crlf.as_bytes(), &scan(crlf.as_bytes())).replace("\\r\\n", "\\n"), expected, "CRLF {message:?}");
    assert_eq!(shown(message.as_bytes(), &scan(message.as_bytes())), expected, "LF {message:?}");
}

/// The same as the body of a multipart/mixed with boundary `a`.
fn check_mixed(body: &str, expected: &str) {
    check(&format!("Content-Type: multipart/mixed; boundary=a\n\n{body}"), expected);
}

#[test]
fn plain_messages() {
    check("", "plain(|0)");
    check("\n", "plain(|0)");
    check("\nbody", "plain(body|1)");
    check("A: b", "plain(|0)");
    check("A: b\n\n", "plain(|0)");
    check("A: b\n\nx\n\ny\n", "plain(x\\n\\ny\\n|3)");
    check("A: b\n\n\n", "plain(\\n|1)");
    check("no field\n--a\n\nx", "plain(x|1)");
    check("Content-Type: text/html\nContent-Type: text/x\n\nx", "html(x|1)");
}

#[test]
fn delimiter_lines() {
    check_mixed("--a\n\none\n--a\n\ntwo\n--a--\n", "mixed[plain(one|1) plain(two|1)]");
    check_mixed("--a\n\none\n\n--a--", "mixed[plain(one\\n|1)]");
    check_mixed("pre\n--a\n\none\n--a--\nepi\n--a\n\nno\n", "mixed[plain(one|1)]");
    check_mixed("--a \t\n\none\n--a-- \n", "mixed[plain(one|1)]");
    check_mixed(
        "--a\n\none\n--ab\n--a x\n-a\n --a\n--a-\n--a--x\n--A\n--a--\n",
        "mixed[plain(one\\n--ab\\n--a x\\n-a\\n --a\\n--a-\\n--a--x\\n--A|8)]",
    );
    check("Content-Type: multipart/x; boundary=\"a \"\n\n--a\n\none\n--a--", "x[plain(one|1)]");
    check("Content-Type: multipart/x; boundary=\"a--\"\n\n--a--\n\none\n--a----", "x[plain(one|1)]");
}

#[test]
fn parts_that_lack_something() {
    check_mixed("--a\n\none\n", "mixed[plain(one\\n|1)]");
    check_mixed("--a\n\none", "mixed[plain(one|1)]");
    check_mixed("--a", "mixed[plain(|0)]");
    check_mixed("--a\n--a\n--a--\n", "mixed[plain(|0) plain(|0)]");
    check_mixed("--a\n\n--a--", "mixed[plain(|0)]");
    check_mixed("--a\n\n\n--a--", "mixed[plain(|0)]");
    check_mixed("--a\nContent-Type: text/html\n--a--", "mixed[html(|0)]");
    check_mixed("--a\nContent-Type: text/html\n\n--a--", "mixed[html(|0)]");
    check_mixed("--a--\n", "mixed(--a--\\n|1)");
    check_mixed("", "mixed(|0)");
    check_mixed("nothing\n", "mixed(nothing\\n|1)");
    check("Content-Type: multipart/mixed\n\n--\n\nx\n", "mixed(--\\n\\nx\\n|3)");
    check("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n", "mixed(--\\n\\nx\\n|3)");
    check("Content-Type: multipart/mixed; boundary=a\n", "mixed(|0)");
}

#[test]
fn nesting() {
    let inner = "Content-Type: multipart/alternative; boundary=ab\n\n";
    check_mixed(
        &format!("--a\n{inner}--ab\n\none\n--ab\n\ntwo\n--ab--\nepi\n--a\n\nthree\n--a--\n"),
        "mixed[alternative[plain(one|1) plain(two|1)] plain(three|1)]",
    );
    check_mixed(
        &format!("--a\n{inner}--ab\n\none\n--a\n\ntwo\n--a--\n"),
        "mixed[alternative[plain(one|1)] plain(two|1)]",
    );
    check_mixed(&format!("--a\n{inner}--ab\n\none\n--a--\n"), "mixed[alternative[plain(one|1)]]");
    check_mixed(&format!("--a\n{inner}--ab\n--a--\n"), "mixed[alternative[plain(|0)]]");
    check_mixed(&format!("--a\n{inner}--a--\n"), "mixed[alternative(|0)]");
    // The same boundary again: the innermost listens first.
    let same = "Content-Type: multipart/alternative; boundary=a\n\n";
    check_mixed(
        &format!("--a\n{same}--a\n\none\n--a--\n--a\n\ntwo\n--a--\n"),
        "mixed[alternative[plain(one|1)] plain(two|1)]",
    );
}

#[test]
fn messages_in_messages() {
    let message = "Content-Type: message/rfc822\n";
    check(&format!("{message}\nA: b\n\nx\n"), "rfc822[plain(x\\n|1)]");
    check(&format!("{message}\n"), "rfc822[plain(|0)]");
    check(&format!("{message}Content-Transfer-Encoding: 8BIT\n\n\nx"), "rfc822[plain(x|1)]");
    check(&format!("{message}Content-Transfer-Encoding: base64\n\nQTog\n"), "rfc822(QTog\\n|1)");
    check(&format!("{message}Content-Transfer-Encoding: x\n\nA: b\n"), "rfc822(A: b\\n|1)");
    check_mixed(&format!("--a\n{message}\nA: b\n\nx\n--a\n\ny\n--a--"), "mixed[rfc822[plain(x|1)] plain(y|1)]");
    check_mixed(&format!("--a\n{message}\nA: b\n--a--"), "mixed[rfc822[plain(|0)]]");
    check_mixed(&format!("--a\n{message}\n--a--"), "mixed[rfc822[plain(|0)]]");
    check_mixed(&format!("--a\n{message}--a--"), "mixed[rfc822[plain(|0)]]");
    check_mixed(&format!("--a\n{message}\n\n--a--"), "mixed[rfc822[plain(|0)]]");
    check_mixed(
        &format!("--a\n{message}\nContent-Type: multipart/x; boundary=b\n\n--b\n\nx\n--a\n\ny"),
        "mixed[rfc822[x[plain(x|1)]] plain(y|1)]",
    );
    check(
        "Content-Type: multipart/digest; boundary=a\n\n--a\n\nA: b\n\nx\n--a\nContent-Type: text/x\n\ny\n--a--\n",
        "digest[rfc822[plain(x|1)] x(y|1)]",
    );
}

#[test]
fn spans_are_exact() {
    let message = b"A: b\r\nContent-Type: multipart/signed; boundary=a\r\n\r\n--a\r\nC: d\r\n\r\ntext \r\n\r\n--a\nE: f\n\nsig\n--a--\n";
    let part = scan(message);
    let Content::Multipart(parts) = &part.content else { panic!("a multipart") };
    assert_eq!(parts[0].whole().of(message), b"C: d\r\n\r\ntext \r\n");
    assert_eq!(parts[0].header.of(message), b"C: d\r\n");
    assert_eq!(parts[1].whole().of(message), b"E: f\n\nsig");
    let bare = b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\nC: d\r\n--a--";
    let part = scan(bare);
    let Content::Multipart(parts) = &part.content else { panic!("a multipart") };
    assert_eq!(parts[0].whole().of(bare), b"C: d");
    // A CR before the delimiter's LF belongs to it; one more CR does not.
    let crs = b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n\r\nx\r\r\n--a--";
    let part = scan(crs);
    let Content::Multipart(parts) = &part.content else { panic!("a multipart") };
    assert_eq!(parts[0].body.of(crs), b"x\r");
}

#[test]
fn parameters_of_a_part() {
    let part =
        scan(b"Content-Type: a/b; name*0=x; name*1=y\r\nContent-Disposition: inline; filename*=utf-8''%C3%A9\r\n\r\n");
    assert_eq!((part.parameter("name"), part.file_name()), (Some("xy".into()), Some("é".into())));
    assert_eq!(part.parameter("charset"), None);
    assert_eq!(scan(b"Content-Type: a/b; name=n\r\n\r\n").file_name().as_deref(), Some("n"));
    assert_eq!(scan(b"").file_name(), None);
}
