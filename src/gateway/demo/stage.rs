//! The stage: a temporary directory with a gateway made by `init`, free ports, and the real program serving on them.

use super::Unlike;
use super::next_hop::NextHop;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long the gateway may take to say "ready".
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(60);
/// The reader's account.
pub const OFFICER: (&str, &str) = ("officer", "correct horse battery staple");

/// Ports of the gateway's listeners.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// SMTP from our users.
    pub outbound: u16,
    /// SMTP from the world.
    pub inbound: u16,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP inside TLS.
    pub imaps: u16,
    /// POP3 with STLS.
    pub pop3: u16,
    /// POP3 inside TLS.
    pub pop3s: u16,
}

/// Everything the story needs.
pub struct Stage {
    directory: tempfile::TempDir,
    program: PathBuf,
    gateway: Child,
    /// Where the gateway listens.
    pub ports: Ports,
    /// Where its mail arrives.
    pub next_hop: NextHop,
}

impl Stage {
    /// Makes and starts everything.
    pub fn build() -> Result<Stage, Unlike> {
        let directory = tempfile::Builder::new()
            .prefix("sealpost-demo-")
            .tempdir()
            .map_err(|e| Unlike::of("temporary directory", e))?;
        let program = std::env::current_exe().map_err(|e| Unlike::of("this program", e))?;
        let next_hop = NextHop::start().map_err(|e| Unlike::of("next hop", e))?;
        let [outbound, inbound, imap, imaps, pop3, pop3s] = free_ports()?;
        let ports = Ports { outbound, inbound, imap, imaps, pop3, pop3s };
        let dir = directory.path().join("gateway");
        let hop = format!("127.0.0.1:{}", next_hop.port());
        let text = |path: &Path| path.display().to_string();
        run(
            &program,
            &["init", &text(&dir), "--hostname", "gw.example.org", "--domain", "example.org", "--next-hop", &hop],
        )?;
        configure(&dir, ports)?;
        let gateway = serve(&program, &dir)?;
        Ok(Stage { directory, program, gateway, ports, next_hop })
    }

    /// The gateway's directory.
    pub fn dir(&self) -> PathBuf {
        self.directory.path().join("gateway")
    }
    /// A place for files of the story.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    /// The gateway's TLS authority.
    pub fn ca(&self) -> PathBuf {
        self.dir().join("tls/ca.pem")
    }
    /// Runs one of the program's commands on this gateway; its standard output.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Unlike> {
        let config = self.dir().join("sealpost.toml").display().to_string();
        run(&self.program, &[arguments, &["--config", &config]].concat())
    }
    /// The same with something on standard input.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Result<(), Unlike> {
        let failed = |e: std::io::Error| Unlike::of(arguments.join(" "), e);
        let mut child = Command::new(&self.program)
            .args(arguments)
            .arg("--config")
            .arg(self.dir().join("sealpost.toml"))
            .stdin(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        match child.wait().map_err(failed)?.success() {
            true => Ok(()),
            false => Err(Unlike::because(format!("`sealpost {}` failed", arguments.join(" ")))),
        }
    }

    /// Ends the gateway as an administrator would, and removes everything.
    pub fn strike(mut self) -> Result<(), Unlike> {
        self.terminate();
        let end = std::time::Instant::now() + END;
        while std::time::Instant::now() < end {
            match self.gateway.try_wait().map_err(|e| Unlike::of("gateway", e))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Unlike::of("the gateway ended with", status)),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(Unlike::because("the gateway does not end after SIGTERM"))
    }

    /// Leaves it running until the user ends it.
    pub fn keep(mut self) -> Result<(), Unlike> {
        let Ports { outbound, inbound, imap, imaps, pop3, pop3s } = self.ports;
        let (name, password) = OFFICER;
        println!("\nIt stays. Directory: {}", self.dir().display());
        println!("  mail from users   127.0.0.1:{outbound} (SMTP, STARTTLS)     from the world  127.0.0.1:{inbound}");
        println!(
            "  read by IMAP      127.0.0.1:{imaps} (TLS), {imap} (STARTTLS)  POP3  127.0.0.1:{pop3s} (TLS), {pop3} (STLS)"
        );
        println!("  account           {name} / {password}     authority of the certificates  {}", self.ca().display());
        println!("End it with Ctrl-C.");
        // Ctrl-C reaches the gateway too, since it is in our process group.
        let status = self.gateway.wait().map_err(|e| Unlike::of("gateway", e))?;
        if status.success() { Ok(()) } else { Err(Unlike::of("the gateway ended with", status)) }
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.gateway.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && let Err(e) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        {
            tracing::debug!("ending the gateway: {e}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if matches!(self.gateway.try_wait(), Ok(None)) {
            // Nothing is left to tell the user; the directory goes anyway.
            let _killed = self.gateway.kill();
            let _reaped = self.gateway.wait();
        }
    }
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, Unlike> {
    let what = || format!("sealpost {}", arguments.join(" "));
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|e| Unlike::of(what(), e))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Unlike::of(what(), String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Ports that were free a moment ago; all are held until the last is found, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N], Unlike> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let socket = TcpListener::bind("127.0.0.1:0").map_err(|e| Unlike::of("no free port", e))?;
        *port = socket.local_addr().map_err(|e| Unlike::of("no free port", e))?.port();
        held.push(socket);
    }
    Ok(ports)
}

fn configure(dir: &Path, ports: Ports) -> Result<(), Unlike> {
    let path = dir.join("sealpost.toml");
    let failed = |e| Unlike::of(path.display(), e);
    let mut text = std::fs::read_to_string(&path).map_err(failed)?;
    for (default, port) in [
        (2525, ports.outbound),
        (2524, ports.inbound),
        (1143, ports.imap),
        (1993, ports.imaps),
        (1110, ports.pop3),
        (1995, ports.pop3s),
    ] {
        text = text.replace(&format!("\"127.0.0.1:{default}\""), &format!("\"127.0.0.1:{port}\""));
    }
    text.push_str("\n[journal]\nfile_bytes = 8388608\nlow_space_bytes = 16777216\ndanger_volatile_filesystem = true   # a demonstration in /tmp\n");
    std::fs::write(&path, text).map_err(failed)?;
    std::fs::write(dir.join("policies/default.toml"), POLICY).map_err(|e| Unlike::of("policy", e))
}

/// What the story's company has decided.
const POLICY: &str = r#"[[rule]]
name = "secrets go nowhere without encryption"
when = { direction = "outbound", subject = "*[secure]*" }
then = { encrypt = "required", sign = "if-possible", format = ["openpgp", "smime"], no_key = "refuse" }

[[rule]]
name = "partners get signed ciphertext"
when = { direction = "outbound", recipient = ["*@pgp.example", "*@smime.example"] }
then = { encrypt = "required", sign = "required", format = ["openpgp", "smime"] }
"#;

fn serve(program: &Path, dir: &Path) -> Result<Child, Unlike> {
    let failed = |e| Unlike::of("sealpost serve", e);
    let mut child = Command::new(program)
        .args(["serve", "--config"])
        .arg(dir.join("sealpost.toml"))
        .env("SEALPOST_LOG", "warn")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (ready, is_ready) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line == "ready" {
                    // The story goes on as soon as it hears the first.
                    let _told = ready.send(());
                } else {
                    eprintln!("gateway: {line}");
                }
            }
        });
    }
    match is_ready.recv_timeout(START) {
        Ok(()) => Ok(child),
        Err(_) => {
            let _killed = child.kill();
            let _reaped = child.wait();
            Err(Unlike::because("the gateway does not get ready"))
        }
    }
}
