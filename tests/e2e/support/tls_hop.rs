//! A next hop with TLS in Python: its `ssl` is OpenSSL, not the library the gateway uses. Demands a client certificate or a login
//! when told to, and writes down what it saw.

use super::peers;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const PROGRAM: &str = r#"
import base64, json, socket, ssl, sys, threading
cert, key, client_ca, mechanisms, user, password = sys.argv[1:7]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
if client_ca:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(client_ca)
def tell(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
def serve(sock):
    f = sock.makefile("rwb")
    def say(line):
        f.write(line.encode() + b"\r\n")
        f.flush()
    def hear():
        line = f.readline()
        if not line:
            raise EOFError
        return line.decode().rstrip("\r\n")
    say("220 tls.example ESMTP")
    secure, known = False, not user
    while True:
        line = hear()
        verb = line.split(" ")[0].upper()
        if verb == "EHLO":
            tell(ehlo=line[5:], secure=secure)
            say("250-tls.example")
            if secure and mechanisms:
                say("250-AUTH " + mechanisms)
            say("250 8BITMIME" if secure else "250 STARTTLS")
        elif verb == "STARTTLS":
            say("220 go")
            sock = context.wrap_socket(sock, server_side=True)
            certificate = sock.getpeercert()
            if certificate:
                tell(client=dict(pair[0] for pair in certificate["subject"]).get("commonName"))
            f, secure = sock.makefile("rwb"), True
        elif verb == "AUTH":
            tell(auth=line.split(" ")[1], secure=secure)
            if line.upper().startswith("AUTH PLAIN "):
                given = base64.b64decode(line[11:]).split(b"\0")[1:]
            else:
                say("334 VXNlcm5hbWU6")
                name = base64.b64decode(hear())
                say("334 UGFzc3dvcmQ6")
                given = [name, base64.b64decode(hear())]
            known = given == [user.encode(), password.encode()]
            say("235 2.7.0 welcome" if known else "535 5.7.8 wrong name or password")
        elif verb == "MAIL" and not known:
            say("530 5.7.0 log in first")
        elif verb == "DATA":
            say("354 go")
            while hear() != ".":
                pass
            tell(kept=True, secure=secure)
            say("250 2.0.0 kept")
        elif verb == "QUIT":
            say("221 2.0.0 bye")
            return
        else:
            say("250 2.0.0 ok")
def session(sock):
    try:
        serve(sock)
    except (EOFError, OSError):
        pass
listening = socket.create_server(("127.0.0.1", 0))
tell(port=listening.getsockname()[1])
while True:
    threading.Thread(target=session, args=(listening.accept()[0],), daemon=True).start()
"#;

/// What the next hop demands.
#[derive(Default)]
pub struct Demands<'a> {
    /// A client certificate of this authority.
    pub client_ca: Option<&'a Path>,
    /// Mechanisms offered.
    pub mechanisms: &'a str,
    /// Name and password.
    pub login: Option<(&'a str, &'a str)>,
}

/// A running next hop; its process ends with it.
pub struct TlsHop {
    child: Child,
    port: u16,
    told: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl TlsHop {
    /// Starts it with this certificate.
    pub fn start(identity: &Identity, demands: &Demands<'_>) -> TlsHop {
        let (user, password) = demands.login.unwrap_or_default();
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .args([&identity.certificate, &identity.key])
            .arg(demands.client_ca.unwrap_or(Path::new("")))
            .args([demands.mechanisms, user, password])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3; install the Debian package python3");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let read = |line: String| serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
        let first = read(lines.next().expect("a port").expect("a line"));
        let port = first["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let told: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
        let keep = told.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                keep.lock().expect("lock").push(read(line));
            }
        });
        TlsHop { child, port, told }
    }
    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// What it said about a thing so far.
    pub fn told(&self, key: &str) -> Vec<serde_json::Value> {
        self.told.lock().expect("lock").iter().filter(|one| !one[key].is_null()).cloned().collect()
    }
}

impl Drop for TlsHop {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A self-signed certificate and its key, made by OpenSSL.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Identity {
    /// For `name`, in files of this directory.
    pub fn make(dir: &Path, name: &str) -> Identity {
        let file = |kind: &str| dir.join(format!("{name}.{kind}.pem"));
        let (certificate, key) = (file("cert"), file("key"));
        peers::must("openssl", "openssl", |c| {
            c.args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
        });
        Identity { certificate, key }
    }
    /// The SHA-256 of its key, as OpenSSL computes it, in hex.
    pub fn pin(&self) -> String {
        let spki =
            peers::must("openssl", "openssl", |c| c.args(["x509", "-noout", "-pubkey", "-in"]).arg(&self.certificate));
        let public = self.certificate.with_extension("pub");
        std::fs::write(&public, spki).expect("write");
        let der = public.with_extension("der");
        peers::must("openssl", "openssl", |c| {
            c.args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(&public).arg("-out").arg(&der)
        });
        let digest = peers::must("openssl", "openssl", |c| c.args(["dgst", "-sha256", "-r"]).arg(&der));
        String::from_utf8(digest).expect("ASCII").split(' ').next().expect("a digest").to_owned()
    }
}
