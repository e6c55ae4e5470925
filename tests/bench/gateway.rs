//! The gateway under test: the release program in a directory of its own on a real disk, sealing on, the view locked.

use super::keys::{self, Half};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");

/// Sealing passes come often enough to be part of every measurement.
const ARCHIVE: &str = "\n[archive]\nseal_after_s = 2\n";

/// One rule for each treatment, chosen by the subject.
const POLICY: &str = r#"
[[rule]]
name = "sign"
when = { subject = "*[sign]*" }
then = { sign = "required", format = ["openpgp", "smime"] }
[[rule]]
name = "sign, S/MIME"
when = { subject = "*[sign smime]*" }
then = { sign = "required", format = ["smime"] }
[[rule]]
name = "encrypt"
when = { subject = "*[encrypt]*" }
then = { encrypt = "required", format = ["openpgp", "smime"] }
[[rule]]
name = "both"
when = { subject = "*[both]*" }
then = { sign = "required", encrypt = "required", format = ["openpgp", "smime"] }
"#;

/// A running gateway; its process and directory go with it.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
}

impl Gateway {
    /// Makes one below `dir` that delivers to `next_hop`, and waits until it is ready.
    pub fn start(dir: &Path, next_hop: u16) -> Gateway {
        let home = tempfile::Builder::new().prefix("throughput-").tempdir_in(dir).expect("a directory");
        let root = home.path().join("gw");
        let hop = format!("127.0.0.1:{next_hop}");
        must(
            program()
                .arg("init")
                .arg(&root)
                .args(["--hostname", "gw.example.org", "--domain", "example.org"])
                .args(["--next-hop", &hop]),
        );
        let port = free_port();
        configure(&root, port);
        import_keys(&root);
        Gateway { child: serve(&root), port, home }
    }

    /// Where it takes mail.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("ended");
    }
    /// Starts it again after a kill, and waits until it is ready.
    pub fn serve(&mut self) {
        self.child = serve(&self.home.path().join("gw"));
    }
    /// A command on it that must succeed; its standard output.
    pub fn must(&self, arguments: &[&str]) -> Vec<u8> {
        must(program().args(arguments).arg("--config").arg(self.home.path().join("gw/sealpost.toml")))
    }
    /// What it has archived, as `archive status` says.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.must(&["archive", "status", "--json"])).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    command.stdin(Stdio::null());
    command
}

fn must(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Only the outbound listener stays, and the officer's key goes: the view is locked.
fn configure(root: &Path, port: u16) {
    let path = root.join("sealpost.toml");
    let text = std::fs::read_to_string(&path).expect("configuration");
    let (head, rest) = text.split_once("[[listener]]").expect("a listener");
    let outbound = rest.split("[[listener]]").next().expect("a listener").replace("2525", &port.to_string());
    let (_, routes) = rest.split_once("[[route]]").expect("a route");
    let routes = routes.split("\n[view]").next().expect("text");
    std::fs::write(&path, format!("{head}[[listener]]{outbound}[[route]]{routes}{ARCHIVE}")).expect("configuration");
    std::fs::remove_dir_all(root.join("officer")).expect("officer");
    std::fs::write(root.join("policies/default.toml"), POLICY).expect("policy");
}

fn import_keys(root: &Path) {
    let files = [
        ("alice.asc", keys::openpgp("alice@example.org", Half::Private)),
        ("alice.pem", keys::smime("alice@example.org", Half::Private)),
        ("paul.asc", keys::openpgp("paul@pgp.example", Half::Public)),
        ("simone.pem", keys::smime("simone@smime.example", Half::Public)),
    ];
    let mut import = program();
    import.args(["key", "import", "--config"]).arg(root.join("sealpost.toml"));
    for (name, octets) in files {
        let path = root.join(name);
        std::fs::write(&path, octets).expect("a key file");
        import.arg(path);
    }
    must(&mut import);
}

fn serve(root: &Path) -> Child {
    let mut command = program();
    command.args(["serve", "--config"]).arg(root.join("sealpost.toml")).stderr(Stdio::piped());
    let mut child = command.spawn().expect("serve runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    while line.trim_end() != "ready" {
        line.clear();
        let count = stderr.read_line(&mut line).expect("stderr");
        assert!(count > 0, "the gateway ended before it was ready");
    }
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok).filter(|line| !line.contains(" INFO ")) {
            eprintln!("gateway: {line}");
        }
    });
    child
}
