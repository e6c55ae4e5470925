//! How fast mail is imported and exported, and in how much memory: `cargo bench --bench transfer -- [MESSAGES] [OCTETS]`. The aims are
//! 3,000 messages of 4 KB a second into a running gateway on two cores, sealed and indexed; and 150 MB/s out of it on one.

#![allow(clippy::expect_used, reason = "a bench ends where something fails")]
#![allow(clippy::disallowed_methods, reason = "a bench plays the administrator")]

#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "process.rs"]
mod process;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealpost");
const MESSAGES: u64 = 200_000;
const OCTETS: u64 = 4096;

fn argument(at: usize, default: u64) -> u64 {
    // cargo bench adds `--bench`.
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    given.get(at).copied().unwrap_or(default)
}

/// Words that compress as mail does, different in each message; lines of 72 octets.
fn body(n: u64, octets: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(usize::try_from(octets).expect("fits") + 80);
    while (text.len() as u64) < octets {
        let start = text.len();
        while text.len() < start + 64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(
                ["report", "meeting", "invoice", "the", "and", "tomorrow", "of", "please"][(state % 8) as usize],
            );
            text.push_str(&format!("{:x} ", state >> 52));
        }
        text.push('\n');
    }
    text
}

fn write_mbox(path: &Path, messages: u64, octets: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for n in 0..messages {
        let (day, month) = (n % 28 + 1, ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul"][(n % 7) as usize]);
        let year = 2010 + n % 15;
        write!(
            file,
            "From a{n}@example.org Tue {month} {day:>2} 17:03:42 {year}\nReceived: from a.example by b.example; {day} {month} {year} \
             17:03:42 +0000\nFrom: A {n} <a{n}@example.org>\nTo: b{n}@example.com, c@example.com\nSubject: message {n}\n\
             Message-ID: <{n}@example.org>\nDate: {day} {month} {year} 17:03:42 +0000\n\n{}\n",
            body(n, octets - 300)
        )
        .expect("written");
    }
    file.flush().expect("written");
}

struct Gateway {
    root: std::path::PathBuf,
    child: Child,
}

impl Gateway {
    fn start(dir: &Path) -> Gateway {
        let root = dir.join("gw");
        let made = Command::new(PROGRAM).arg("init").arg(&root).args(["--hostname", "gw.example.org"]).output();
        assert!(made.expect("init runs").status.success(), "init");
        let path = root.join("sealpost.toml");
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
        let text = std::fs::read_to_string(&path).expect("configuration");
        let text = [2525, 2524, 1143, 1993, 1110, 1995].into_iter().fold(text, |text, port| {
            text.replace(&format!("\"127.0.0.1:{port}\""), &format!("\"127.0.0.1:{}\"", free()))
        });
        std::fs::write(&path, text).expect("configuration");
        let mut serve = Command::new(PROGRAM);
        serve.args(["serve", "--config"]).arg(&path).stderr(Stdio::piped());
        let mut child = serve.spawn().expect("serve runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let mut line = String::new();
        while line.trim_end() != "ready" {
            line.clear();
            assert!(stderr.read_line(&mut line).expect("stderr") > 0, "not ready");
        }
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok).filter(|line| !line.contains(" INFO ")) {
                eprintln!("gateway: {line}");
            }
        });
        Gateway { root, child }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.root.join("sealpost.toml")).stdout(Stdio::piped());
        command
    }

    /// Runs a command to its end: time it took, its processor time, its most memory in MB.
    fn run(&self, arguments: &[&str]) -> (Duration, Duration, u64) {
        let begun = Instant::now();
        let mut child = self.command(arguments).spawn().expect("runs");
        let (mut processor, mut memory) = (Duration::ZERO, 0);
        let status = loop {
            if let Some(status) = child.try_wait().expect("waited") {
                break status;
            }
            processor = process::cpu_time(child.id()).max(processor);
            memory = peak_mb(child.id()).max(memory);
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{arguments:?}: {status}");
        (begun.elapsed(), processor, memory)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The most memory a process had, in MB.
fn peak_mb(pid: u32) -> u64 {
    process::peak_memory(pid) / 1_000_000
}

fn main() {
    let (messages, octets) = (argument(0, MESSAGES), argument(1, OCTETS));
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mbox = dir.path().join("old.mbox");
    write_mbox(&mbox, messages, octets);
    let bytes = std::fs::metadata(&mbox).expect("a file").len();
    println!("{messages} messages, {} MB", bytes / 1_000_000);
    let gateway = Gateway::start(dir.path());
    let name = mbox.to_str().expect("UTF-8");
    let server = || process::cpu_time(gateway.child.id());
    let (begun, before) = (Instant::now(), server());
    let (took, processor, memory) = gateway.run(&["archive", "import", name]);
    gateway.run(&["archive", "seal"]);
    let (whole, of_server) = (begun.elapsed(), server() - before);
    println!(
        "import: {took:.1?}, {:.0} messages/s; sealed and indexed after {whole:.1?}, {:.0} messages/s; processor {processor:.1?} of the \
         command, {of_server:.1?} of the server; memory {memory} MB, server {} MB",
        messages as f64 / took.as_secs_f64(),
        messages as f64 / whole.as_secs_f64(),
        peak_mb(gateway.child.id())
    );
    let (again, _, memory) = gateway.run(&["archive", "import", name]);
    println!("import again, all skipped: {again:.1?}; memory {memory} MB, server {} MB", peak_mb(gateway.child.id()));
    for format in ["mbox", "zip", "eml", "maildir"] {
        let output = dir.path().join(format!("out.{format}"));
        let output = output.to_str().expect("UTF-8");
        let (took, processor, memory) = gateway.run(&["archive", "export", "--format", format, "--output", output]);
        println!(
            "export {format}: {took:.1?}, {:.0} messages/s, {:.0} MB/s; processor {processor:.1?}, {:.0} MB a second of it; memory {memory} MB",
            messages as f64 / took.as_secs_f64(),
            bytes as f64 / 1e6 / took.as_secs_f64(),
            bytes as f64 / 1e6 / processor.as_secs_f64()
        );
    }
}
