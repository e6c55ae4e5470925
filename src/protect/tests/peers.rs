//! The programs that judge what we write: GnuPG and OpenSSL. Keys are made by them too.

use crate::crypto::SecretBytes;
use crate::keyring::{OpenPgpCertificate, OpenPgpSigner, POLICY, SmimeCertificate, SmimeSigner, SubkeySigner};
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::parse::Parse;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn run(program: &str, package: &str, args: &[&str], input: &[u8]) -> Output {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}; install it: apt-get install {package}"));
    let mut child = child;
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A peer may answer before it has read all, or end without reading.
    let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().expect("output");
    writer.join().expect("the writer");
    output
}

fn must(what: &str, output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// GnuPG with a home of its own.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Gpg {
        let private = fs::Permissions::from_mode(0o700);
        Gpg { home: tempfile::Builder::new().prefix("gpg").permissions(private).tempdir().expect("a directory") }
    }
    fn gpg(&self, args: &[&str], input: &[u8]) -> Output {
        let home = self.home.path().to_str().expect("UTF-8");
        let fixed =
            ["--homedir", home, "--batch", "--no-tty", "--trust-model", "always", "--pinentry-mode", "loopback"];
        let all: Vec<&str> = fixed.iter().chain(["--passphrase", ""].iter()).chain(args).copied().collect();
        run("gpg", "gnupg", &all, input)
    }
    /// Makes a key and gives certificate and signer as the keyring would.
    pub fn generate(&self, address: &str, algorithm: &str, encryption: &str) -> (OpenPgpCertificate, OpenPgpSigner) {
        must("gpg key", self.gpg(&["--quick-gen-key", address, algorithm, "sign,cert", "0"], b""));
        let listing = must("gpg list", self.gpg(&["--with-colons", "--list-keys", address], b""));
        let listing = String::from_utf8(listing).expect("UTF-8");
        let fingerprint = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("a fingerprint");
        let fingerprint = fingerprint.trim_end_matches(':');
        must("gpg subkey", self.gpg(&["--quick-add-key", fingerprint, encryption, "encr", "0"], b""));
        let secret = must("gpg export", self.gpg(&["--export-secret-keys", address], b""));
        signer(&Cert::from_bytes(&secret).expect("a key"))
    }
    pub fn import(&self, octets: &[u8]) {
        must("gpg import", self.gpg(&["--import"], octets));
    }
    pub fn verify(&self, content: &[u8], signature: &[u8]) -> Result<(), String> {
        let (data, detached) = (self.home.path().join("data"), self.home.path().join("data.asc"));
        fs::write(&data, content).expect("written");
        fs::write(&detached, signature).expect("written");
        let (data, detached) = (data.to_str().expect("UTF-8"), detached.to_str().expect("UTF-8"));
        let output = self.gpg(&["--status-fd", "1", "--verify", detached, data], b"");
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && status.contains("GOODSIG") { Ok(()) } else { Err(status) }
    }
    /// The plain text and GnuPG's status lines.
    pub fn decrypt(&self, message: &[u8]) -> (Vec<u8>, String) {
        let output = self.gpg(&["--status-fd", "2", "--decrypt"], message);
        let status = String::from_utf8_lossy(&output.stderr).into_owned();
        (must("gpg decrypt", output), status)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // The agent of this home alone.
        let home = self.home.path().to_str().expect("UTF-8").to_owned();
        run("gpgconf", "gpgconf", &["--homedir", &home, "--kill", "all"], b"");
    }
}

/// Certificate and signer from a transferable secret key.
pub fn signer(key: &Cert) -> (OpenPgpCertificate, OpenPgpSigner) {
    let certificate = OpenPgpCertificate::new(key.clone());
    let secret =
        key.keys().unencrypted_secret().with_policy(&POLICY, None).for_signing().next().expect("a signing key");
    let subkey = SubkeySigner::new(secret.key().clone().role_into_unspecified()).expect("a signer");
    (certificate.clone(), OpenPgpSigner::new(certificate, subkey))
}

/// A certification authority of OpenSSL with an intermediate, and the end-entity certificates it issued.
pub struct OpenSsl {
    dir: TempDir,
}

impl OpenSsl {
    pub fn new() -> OpenSsl {
        let made = OpenSsl { dir: tempfile::tempdir().expect("a directory") };
        made.key("root", "EC");
        let root = ["req", "-x509", "-new", "-key", "root.key", "-out", "root.pem", "-days", "10", "-subj", "/CN=Root"];
        made.must(&[&root[..], &["-addext", "keyUsage=keyCertSign"]].concat());
        made.key("middle", "EC");
        made.issue("middle", "root", "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n");
        made
    }
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    fn openssl(&self, args: &[&str], input: &[u8]) -> Output {
        let paths: Vec<String> = args.iter().map(|arg| self.placed(arg)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        run("openssl", "openssl", &paths, input)
    }
    /// Names of files are in our directory.
    fn placed(&self, arg: &str) -> String {
        const ENDINGS: [&str; 5] = ["key", "pem", "csr", "ext", "out"];
        let is_file = Path::new(arg).extension().is_some_and(|e| ENDINGS.iter().any(|known| e == *known));
        if is_file { self.path(arg).display().to_string() } else { arg.to_owned() }
    }
    fn must(&self, args: &[&str]) -> Vec<u8> {
        must(&format!("openssl {args:?}"), self.openssl(args, b""))
    }
    fn key(&self, name: &str, algorithm: &str) {
        let option = match algorithm {
            "EC" => "ec_paramgen_curve:P-256",
            bits => &format!("rsa_keygen_bits:{bits}"),
        };
        let family = if algorithm == "EC" { "EC" } else { "RSA" };
        let file = format!("{name}.key");
        self.must(&["genpkey", "-algorithm", family, "-pkeyopt", option, "-out", &file]);
    }
    fn issue(&self, name: &str, by: &str, extensions: &str) {
        let file = |ending: &str| format!("{name}.{ending}");
        fs::write(self.path(&file("ext")), extensions).expect("written");
        let subject = format!("/CN={name}");
        self.must(&["req", "-new", "-key", &file("key"), "-subj", &subject, "-out", &file("csr")]);
        let (ca, ca_key) = (format!("{by}.pem"), format!("{by}.key"));
        let request = ["x509", "-req", "-in", &file("csr"), "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        self.must(&[&request[..], &["-days", "9", "-extfile", &file("ext"), "-out", &file("pem")]].concat());
    }
    fn der(&self, name: &str) -> Vec<u8> {
        self.must(&["x509", "-in", &format!("{name}.pem"), "-outform", "DER"])
    }
    /// A key with a certificate of the intermediate: `EC` or the bits of an RSA modulus.
    pub fn generate(&self, name: &str, algorithm: &str) -> (SmimeCertificate, SmimeSigner) {
        self.key(name, algorithm);
        let usage = "keyUsage=digitalSignature,keyEncipherment,keyAgreement\nextendedKeyUsage=emailProtection\n";
        self.issue(name, "middle", &format!("{usage}subjectAltName=email:{name}@example.org\n"));
        let certificate = SmimeCertificate::from_der(&self.der(name)).expect("a certificate");
        let pkcs8 = self.must(&["pkcs8", "-topk8", "-nocrypt", "-in", &format!("{name}.key"), "-outform", "DER"]);
        let signer =
            SmimeSigner::new(certificate.clone(), &[self.der("middle")], SecretBytes::new(pkcs8)).expect("a signer");
        (certificate, signer)
    }
    /// Verifies a whole S/MIME message against the root alone; the answer is the signed entity.
    pub fn verify(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let args = ["cms", "-verify", "-CAfile", "root.pem", "-purpose", "smimesign"];
        let output = self.openssl(&args, message);
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
    /// Decrypts a whole S/MIME message as `name`; the answer is the inner entity.
    pub fn decrypt(&self, message: &[u8], name: &str) -> Vec<u8> {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        must("openssl decrypt", self.openssl(&["cms", "-decrypt", "-recip", &certificate, "-inkey", &key], message))
    }
    /// What `openssl cms -cmsout -print` has to say of a message.
    pub fn print(&self, message: &[u8]) -> String {
        let output = must("openssl print", self.openssl(&["cms", "-cmsout", "-print"], message));
        String::from_utf8_lossy(&output).into_owned()
    }
}
