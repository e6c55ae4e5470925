//! A gateway in a directory of its own: the real program, started, killed and asked from outside.

use super::{eventually, free_port, peers};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");
/// How long a start may take in a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// What differs from `init`'s defaults.
#[derive(Default)]
pub struct Options {
    /// Port of the next hop.
    pub next_hop: u16,
    /// Replaces `policies/default.toml`.
    pub policy: Option<String>,
    /// Lines put at the end of `sealpost.toml`.
    pub more: String,
}

/// Ports of the listeners.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub outbound: u16,
    pub inbound: u16,
    pub imap: u16,
    pub imaps: u16,
    pub pop3: u16,
    pub pop3s: u16,
}

/// A gateway; its process ends with it.
pub struct Gateway {
    home: tempfile::TempDir,
    /// Where it listens.
    pub ports: Ports,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// `init` and configuration, nothing started.
    pub fn prepare(options: &Options) -> Gateway {
        let home = tempfile::tempdir().expect("a directory");
        let ports = Ports {
            outbound: free_port(),
            inbound: free_port(),
            imap: free_port(),
            imaps: free_port(),
            pop3: free_port(),
            pop3s: free_port(),
        };
        let gateway = Gateway { home, ports, child: None, log: Arc::default() };
        let next_hop = format!("127.0.0.1:{}", options.next_hop);
        let arguments = ["init", gateway.dir_text(), "--hostname", "gw.example.org", "--domain", "example.org"];
        let made = Command::new(PROGRAM).args(arguments).args(["--next-hop", &next_hop]).output().expect("init runs");
        assert!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
        gateway.edit_config(|text| {
            let defaults = [
                (2525, ports.outbound),
                (2524, ports.inbound),
                (1143, ports.imap),
                (1993, ports.imaps),
                (1110, ports.pop3),
                (1995, ports.pop3s),
            ];
            // With their quotes: another port may begin with these digits.
            let quoted = |port: u16| format!("\"127.0.0.1:{port}\"");
            let bound = |text: String, (default, port)| text.replace(&quoted(default), &quoted(port));
            let mut text = defaults.into_iter().fold(text, bound);
            text.push_str("\n[journal]\nfile_bytes = 4194304\nlow_space_bytes = 1048576\n");
            if !options.more.contains("[queue]") {
                text.push_str("\n[queue]\nretry_s = [1, 2]\n");
            }
            if !options.more.contains("[archive]") {
                text.push_str("\n[archive]\nseal_after_s = 1\n");
            }
            text + "\n" + &options.more + "\n"
        });
        if let Some(policy) = &options.policy {
            std::fs::write(gateway.dir().join("policies/default.toml"), policy).expect("policy");
        }
        gateway
    }

    /// Prepared and serving.
    pub fn start(options: &Options) -> Gateway {
        let mut gateway = Gateway::prepare(options);
        gateway.serve();
        gateway
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        // A directory below the temporary one, since `init` makes it.
        static NAME: &str = "gw";
        Box::leak(self.home.path().join(NAME).into_boxed_path())
    }
    fn dir_text(&self) -> &str {
        self.dir().to_str().expect("UTF-8")
    }
    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir().join("sealpost.toml")
    }
    /// The authority of its TLS certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir().join("tls/ca.pem")
    }
    /// Rewrites the configuration.
    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.config()).expect("configuration");
        std::fs::write(self.config(), edit(text)).expect("configuration");
    }

    /// Starts `serve` and waits for its "ready".
    pub fn serve(&mut self) {
        self.serve_by(Command::new(PROGRAM));
    }
    /// The same, and a file that may not grow is an error of the disk for it, as a full disk would be: `bound_files`.
    pub fn serve_bounded(&mut self) {
        let script = "import os, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
        let mut python = Command::new("python3");
        python.args(["-c", script, PROGRAM]);
        self.serve_by(python);
    }
    /// From now on it writes to no file beyond so many octets; `None` lifts that.
    pub fn bound_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("pid")).expect("pid");
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit");
    }
    fn serve_by(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "already running");
        let mut child = command
            .args(["serve", "--config"])
            .arg(self.config())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("serve runs");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let (log, (ready, is_ready)) = (self.log.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if line == "ready" {
                    // Nobody waits any more when the test has already failed.
                    let _waiting = ready.send(());
                }
                log.lock().expect("lock").push(line);
            }
        });
        self.child = Some(child);
        if is_ready.recv_timeout(START).is_err() {
            panic!("not ready:\n{}", self.log());
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("lock").join("\n")
    }
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }
    /// SIGKILL, as a power cut would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    /// SIGTERM; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.end(rustix::process::Signal::TERM)
    }
    /// SIGINT; its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        self.end(rustix::process::Signal::INT)
    }
    fn end(&mut self, signal: rustix::process::Signal) -> Option<i32> {
        self.signal(signal);
        self.wait()
    }
    /// Its exit code, when it ends of itself.
    pub fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("running");
        eventually("the gateway ends", Duration::from_secs(60), || child.try_wait().expect("wait")).code()
    }
    /// Any signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).expect("pid")).expect("pid");
        rustix::process::kill_process(pid, signal).expect("signal");
    }

    /// Runs a command of the program on this gateway.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }
    /// The same, and it must succeed; standard output.
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{stdout}\n{stderr}\n{}", output.status, self.log());
        stdout
    }
    /// Runs a command that must succeed with this on its standard input.
    pub fn tell(&self, arguments: &[&str], input: &str) {
        let script =
            "import subprocess, sys\nsys.exit(subprocess.run(sys.argv[2:], input=sys.argv[1].encode()).returncode)";
        let config = self.config();
        let line = [&[input, PROGRAM], arguments, &["--config", config.to_str().expect("UTF-8")]].concat();
        peers::python(script, &line);
    }
    /// The same with `--json`: one value a line.
    pub fn json(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.must(&all).lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect()
    }
    /// An officer's account.
    pub fn add_officer(&self, name: &str, password: &str) {
        let script = r#"
import subprocess, sys
program, config, name, password = sys.argv[1:]
done = subprocess.run([program, "user", "add", name, "--role", "officer", "--password-stdin", "--config", config],
                      input=password.encode() + b"\n", capture_output=True)
sys.exit(done.stderr.decode() if done.returncode else 0)
"#;
        let config = self.config();
        peers::python(script, &[PROGRAM, config.to_str().expect("UTF-8"), name, password]);
    }
    /// Seals everything accepted so far.
    pub fn seal(&self) {
        self.must(&["archive", "seal"]);
    }
    /// `archive verify` at a level, which must find nothing; its last line.
    pub fn verified(&self, level: &str) -> serde_json::Value {
        self.json(&["archive", "verify", "--level", level]).pop().expect("a summary")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already ended is as good.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log());
        }
    }
}

#[test]
fn any_port_can_be_a_next_hop() {
    let gateway = Gateway::prepare(&Options { next_hop: 25254, ..Options::default() });
    let text = std::fs::read_to_string(gateway.config()).expect("configuration");
    assert!(text.contains("\"127.0.0.1:25254\""), "{text}");
}
