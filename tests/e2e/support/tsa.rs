//! A time stamping authority: `openssl ts` with a certificate of its own, and just enough HTTP before it.
#![allow(dead_code, reason = "shared by tests with different needs")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What is special about its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it may make time stamps.
    Proper,
    /// It may not.
    ForMail,
}

/// Whether signed attributes name the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// They do (RFC 5816).
    ByTheCertificate,
    /// They do not.
    ToNothing,
}

/// An authority in a directory of its own.
pub struct Tsa {
    dir: tempfile::TempDir,
}

const CONFIG: &str = "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\ncrypto_device = builtin\nsigner_cert = tsa.pem\n\
    certs = ca.pem\nsigner_key = tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\ndigests = sha256\n\
    accuracy = secs:1\nordering = yes\ntsa_name = yes\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n";
const STAMPS: &str = "extendedKeyUsage = critical, timeStamping\nkeyUsage = critical, digitalSignature\n";
const MAIL: &str = "extendedKeyUsage = critical, emailProtection\nkeyUsage = critical, digitalSignature\n";

impl Tsa {
    /// Makes keys and certificates. `new_key` are arguments of `openssl genpkey`.
    pub fn new(kind: Kind, new_key: &[&str]) -> Tsa {
        let tsa = Tsa { dir: tempfile::tempdir().expect("a directory") };
        let write = |name: &str, text: &str| std::fs::write(tsa.dir.path().join(name), text).expect("written");
        write("tsa.cnf", CONFIG);
        write("serial", "01\n");
        // `openssl ts` refuses to sign with one that is not for time stamps; `resigned` does not.
        write("ext.cnf", if kind == Kind::Proper { STAMPS } else { MAIL });
        tsa.openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ca.key"]);
        tsa.openssl(&words("req -x509 -new -key ca.key -subj /CN=Authority -days 30 -out ca.pem"));
        tsa.openssl(&[&["genpkey"], new_key, &["-out", "tsa.key"]].concat());
        tsa.openssl(&["req", "-new", "-key", "tsa.key", "-subj", "/O=Example/CN=Stamper", "-out", "tsa.csr"]);
        let sign =
            "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext.cnf -out tsa.pem";
        tsa.openssl(&words(sign));
        tsa
    }
    /// With a key on P-256.
    pub fn proper() -> Tsa {
        Tsa::new(Kind::Proper, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    }

    fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(self.dir.path())
            .output()
            .expect("openssl is installed");
        assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    /// The certificate of its authority.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
    /// Answers a query.
    pub fn reply(&self, query: &[u8]) -> Vec<u8> {
        std::fs::write(self.dir.path().join("query"), query).expect("written");
        self.openssl(&["ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"]);
        std::fs::read(self.dir.path().join("reply")).expect("a reply")
    }
    /// The time stamp of another, signed by this one as `openssl cms` does, which does not ask what its certificate is for.
    pub fn resigned(&self, reply: &[u8], bound: Bound) -> Vec<u8> {
        std::fs::write(self.dir.path().join("other"), reply).expect("written");
        self.openssl(&["ts", "-reply", "-in", "other", "-token_out", "-out", "token"]);
        self.openssl(&["cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", "token", "-out", "content"]);
        let sign = "cms -sign -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.4 -signer tsa.pem -inkey tsa.key -outform DER \
                    -in content -out resigned";
        let cades = (bound == Bound::ByTheCertificate).then_some("-cades");
        self.openssl(&words(sign).into_iter().chain(cades).collect::<Vec<_>>());
        let token = std::fs::read(self.dir.path().join("resigned")).expect("a token");
        let inner = [&[0x30, 3, 2, 1, 0][..], &token].concat();
        let length = u16::try_from(inner.len()).expect("short").to_be_bytes();
        [&[0x30, 0x82][..], &length, &inner].concat()
    }
    /// Whether OpenSSL believes a response on these octets.
    pub fn believes(&self, response: &Path, data: &Path) -> bool {
        let mut verify = Command::new("openssl");
        verify.args(["ts", "-verify", "-CAfile"]).arg(self.ca()).arg("-in").arg(response).arg("-data").arg(data);
        verify.output().expect("openssl is installed").status.success()
    }
    /// Answers on this port of loopback for as long as the test runs.
    pub fn serve(self: &Arc<Tsa>, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("bind");
        let tsa = self.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (mut octets, mut piece) = (Vec::new(), [0; 4096]);
                let query = loop {
                    let count = stream.read(&mut piece).expect("read");
                    assert!(count > 0, "a whole request");
                    octets.extend_from_slice(&piece[..count]);
                    if let Some(query) = body(&octets) {
                        break query;
                    }
                };
                let reply = tsa.reply(&query);
                // In chunks, as servers do that do not know the length before.
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nTransfer-Encoding: chunked\r\n\r\n";
                let (one, two) = reply.split_at(100);
                let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
                let answer = [head.as_bytes(), &chunk(one), &chunk(two), b"0\r\n\r\n"].concat();
                stream.write_all(&answer).expect("written");
            }
        });
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn body(octets: &[u8]) -> Option<Vec<u8>> {
    let end = octets.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&octets[..end]).to_lowercase();
    let length: usize = head.split("content-length:").nth(1)?.lines().next()?.trim().parse().ok()?;
    octets.get(end + 4..end + 4 + length).map(<[u8]>::to_vec)
}
