//! Awkward messages, each seen in the field or in a tracker of a gateway.

/// A name and the octets.
pub type Sample = (&'static str, Vec<u8>);

const FROM: &str = "Received: from x by y;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\nTo: bob@partner.example\r\n";

fn with(header: &str, body: &[u8]) -> Vec<u8> {
    [FROM.as_bytes(), header.as_bytes(), b"\r\n", body].concat()
}

fn text(encoding: &str, body: &[u8]) -> Vec<u8> {
    let header = format!(
        "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    );
    with(&header, body)
}

/// All of them; every one can be signed.
pub fn samples() -> Vec<Sample> {
    [plain(), structured(), malformed()].concat()
}

fn plain() -> Vec<Sample> {
    let subject = |length: usize| format!("Subject: {}\r\n", "s".repeat(length));
    let mut all = vec![
        ("eight-bit text", text("8bit", "Grüße aus Köln\r\n".as_bytes())),
        ("no MIME at all", with("Subject: x\r\n", b"Hello\r\n")),
        ("no MIME, UTF-8", with("Subject: x\r\n", "Grüße\r\n".as_bytes())),
        ("no MIME, Latin-1", with("Subject: x\r\n", b"Gr\xfc\xdfe\r\n")),
        ("bare LF", b"From: a@b\nSubject: x\n y\nContent-Type: text/plain\n\nfirst\nsecond \n".to_vec()),
        ("trailing white space", text("7bit", b"format=flowed \r\ntab\t\r\n-- \r\nAlice\r\n")),
        ("From lines and dots", text("7bit", b"From here\r\n.\r\n..\r\n From there\r\nFrom the end")),
        ("long line", text("7bit", &[b'x'; 2000])),
        ("long line of words", text("7bit", &b"From -- . ".repeat(300))),
        ("empty body", text("7bit", b"")),
        ("only line ends", text("7bit", b"\r\n\r\n\r\n")),
        ("no line end at the end", text("7bit", b"end")),
        ("NUL", text("7bit", b"a\0b\r\n")),
        ("bare CR", text("7bit", b"a\rb\r\nc\r")),
        ("quoted-printable with trailing space", text("quoted-printable", b"a=20 \r\nb= \r\nc=C3=BC\r\n=\r\n")),
        ("quoted-printable with 8-bit", text("quoted-printable", "ü =3D=\r\n=C3=BC\r\n".as_bytes())),
        ("base64 in one line", text("base64", "QUJD".repeat(400).as_bytes())),
        ("safe base64", text("base64", b"QUJD\r\nREVG\r\n")),
        ("label without need", text("8bit", b"ascii only\r\n")),
        ("unknown encoding", text("8-bit", "ü\r\n".as_bytes())),
    ];
    all.extend((70..=77).map(|length| ("subject of 70 to 77", with(&subject(length), b"Hi\r\n"))));
    all
}

fn structured() -> Vec<Sample> {
    let multipart = |kind: &str, body: &str| {
        let header = format!(
            "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{kind};\r\n boundary=\"b 1\"\r\nContent-Transfer-Encoding: 8bit\r\n"
        );
        with(&header, body.as_bytes())
    };
    vec![
        (
            "nested with 8-bit parts",
            multipart(
                "mixed",
                "A preamble.\r\n--b 1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain; \
                 charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nä \r\n--b2\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n<b>safe</b>\r\n\
                 --b2--\r\n--b 1\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\nü\n\r\n--b 1--\r\nAn epilogue.\r\n",
            ),
        ),
        (
            "8-bit preamble and epilogue",
            multipart("mixed", "Präambel\r\n--b 1  \r\n\r\nplain\r\n--b 1--\r\nÉpilogue\r\n"),
        ),
        (
            "calendar",
            multipart(
                "alternative",
                "--b 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nEinladung für Bob\r\n--b 1\r\n\
                 Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\nContent-Transfer-Encoding: 8bit\r\n\r\nBEGIN:VCALENDAR\r\nSUMMARY:Grüße\r\n \
                 gefaltet \r\nEND:VCALENDAR\r\n--b 1--\r\n",
            ),
        ),
        (
            "forwarded with 8-bit inside",
            multipart(
                "mixed",
                "--b 1\r\n\r\nSee below.\r\n--b 1\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom: c@d\r\nSubject: Grüße \
                 an alle\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nschöne Grüße\r\n\r\n--b 1--\r\n",
            ),
        ),
        (
            "signed inside forwarded",
            multipart(
                "mixed",
                "--b 1\r\nContent-Type: message/rfc822\r\n\r\nFrom: c@d\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s; \
                 micalg=pgp-sha512;\r\n protocol=\"application/pgp-signature\"\r\n\r\n--s\r\n\r\n-- \r\nsigned \r\n--s\r\nContent-Type: \
                 application/pgp-signature\r\n\r\nx\r\n--s--\r\n\r\n--b 1--\r\n",
            ),
        ),
        (
            "digest",
            multipart(
                "digest",
                "--b 1\r\n\r\nFrom: a@b\r\n\r\none ü\r\n--b 1\r\n\r\nFrom: c@d\r\n\r\ntwo\r\n--b 1--\r\n",
            ),
        ),
        (
            "8-bit file name",
            multipart(
                "mixed",
                "--b 1\r\nContent-Disposition: attachment; filename=\"Übersicht 2024.txt\"\r\n\r\nx\r\n--b 1--\r\n",
            ),
        ),
    ]
}

fn malformed() -> Vec<Sample> {
    vec![
        ("nothing", Vec::new()),
        ("only an empty line", b"\r\n".to_vec()),
        ("header only", b"From: a@b\r\nSubject: x\r\n".to_vec()),
        ("header without line end", b"From: a@b\r\nSubject: x".to_vec()),
        ("body only", b"\r\nbody\r\n".to_vec()),
        ("mbox line", b"From a@b Mon Jan  1 00:00:00 2024\r\nFrom: a@b\r\n\r\nx\r\n".to_vec()),
        (
            "unclosed multipart",
            with(
                "Content-Type: multipart/mixed; boundary=u\r\n",
                b"--u\r\n\r\none \r\n--u\r\nContent-Type: text/html\r\n\r\n<p>",
            ),
        ),
        ("multipart without parts", with("Content-Type: multipart/mixed; boundary=u\r\n", b"no delimiter here\r\n")),
        (
            "fields twice",
            with(
                "mime-VERSION: 1.0 (x)\r\nMIME-Version: 1.0\r\nContent-Length: 99\r\nLines: 3\r\ncontent-type : text/plain;\r\n charset=utf-8\r\nX-After: y\r\n",
                b"x\r\n",
            ),
        ),
        (
            "part that ends with its header",
            with("Content-Type: multipart/mixed; boundary=u\r\n", b"--u\r\nContent-Type: text/plain\r\n--u--\r\n"),
        ),
    ]
}
