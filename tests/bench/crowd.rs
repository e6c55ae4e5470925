//! A crowd of large uploads at once: how much memory the gateway takes, and whether every one of them is accepted.
//!
//! ```text
//! cargo bench --bench crowd -- [--uploads N] [--megabytes N] [--most MEGABYTES] [--dir DIR]
//! ```
//!
//! Exit status 1 when an upload was not accepted, or the resident set was ever larger than `--most` (600).

#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "keys.rs"]
mod keys;
#[allow(dead_code, reason = "shared with the storm")]
#[path = "options.rs"]
mod options;
#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "process.rs"]
mod process;

use gateway::Gateway;
use options::Options;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MEGABYTE: u64 = 1024 * 1024;
/// Lines that do not compress away.
const LINE_BYTES: usize = 76;
/// How long a client waits for a reply (RFC 5321 section 4.5.3.2.6).
const PATIENCE: Duration = Duration::from_secs(600);

/// The command line.
#[derive(Debug)]
struct Arguments {
    uploads: usize,
    megabytes: usize,
    most: u64,
    dir: PathBuf,
}

fn arguments() -> Result<Arguments, String> {
    let given = Options::read(&["--uploads", "--megabytes", "--most"], &[])?;
    Ok(Arguments {
        uploads: given.number("--uploads", 100)?,
        megabytes: given.number("--megabytes", 50)?,
        most: u64::try_from(given.number("--most", 600)?).map_err(|e| e.to_string())?,
        dir: given.dir(),
    })
}

/// A megabyte of lines, of letters from a generator of the simplest kind.
fn block() -> Vec<u8> {
    let (mut state, mut out) = (1u32, Vec::new());
    while u64::try_from(out.len()).is_ok_and(|length| length < MEGABYTE) {
        for _ in 0..LINE_BYTES {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            out.push(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state >> 26) as usize]);
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// One client; the last reply it heard.
fn upload(port: u16, megabytes: usize, block: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut reply = move || {
        let mut line = String::new();
        while line.is_empty() || line.as_bytes().get(3) == Some(&b'-') {
            line.clear();
            reader.read_line(&mut line)?;
        }
        std::io::Result::Ok(line)
    };
    reply()?;
    for command in ["EHLO crowd.example.org", "MAIL FROM:<alice@example.org>", "RCPT TO:<bob@partner.example>", "DATA"]
    {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let line = reply()?;
        if !line.starts_with(['2', '3']) {
            return Ok(line);
        }
    }
    stream.write_all(b"From: alice@example.org\r\nSubject: large\r\n\r\n")?;
    for _ in 0..megabytes {
        stream.write_all(block)?;
    }
    stream.write_all(b".\r\n")?;
    reply()
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    // The next hop refuses connections: what is measured is taking mail in, and sealing it.
    let gateway = Gateway::start(&arguments.dir, 1);
    let (before, began, block) = (process::peak_memory(gateway.pid()), Instant::now(), block());
    let replies: Vec<_> = std::thread::scope(|scope| {
        let upload = || upload(gateway.port(), arguments.megabytes, &block);
        let clients: Vec<_> = (0..arguments.uploads).map(|_| scope.spawn(upload)).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    let elapsed = began.elapsed();
    let is_accepted = |reply: &std::io::Result<String>| reply.as_ref().is_ok_and(|line| line.starts_with("250 "));
    for reply in replies.iter().filter(|reply| !is_accepted(reply)) {
        println!("not accepted: {reply:?}");
    }
    let accepted = replies.iter().filter(|reply| is_accepted(reply)).count();
    let peak = process::peak_memory(gateway.pid());
    println!(
        "{accepted} of {} uploads of {} MB accepted in {:.1} s; resident at most {} MB, {} MB before",
        arguments.uploads,
        arguments.megabytes,
        elapsed.as_secs_f64(),
        peak / MEGABYTE,
        before / MEGABYTE
    );
    let is_good = accepted == arguments.uploads && peak <= arguments.most * MEGABYTE;
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
