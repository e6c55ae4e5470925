//! A storm of `kill -9`: twenty sessions send numbered mail while the gateway is killed and started again and again. Says how
//! much acknowledged mail was lost, how much came twice, and how long it takes to accept again.
//!
//! ```text
//! cargo bench --bench storm -- [--messages N] [--kills N] [--size BYTES] [--backlog N] [--dir DIR] [--json]
//! ```
//!
//! `--backlog N`: before the storm N messages are queued for a next hop that is down, and one more kill measures the restart.
//! Exit status 1 when anything was lost, missing in the archive, or not whole.

#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "../gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "shared with the throughput benchmark")]
#[path = "../keys.rs"]
mod keys;
#[path = "../options.rs"]
mod options;
mod senders;
mod sink;

use gateway::Gateway;
use options::Options;
use senders::Senders;
use sink::Sink;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long the rest may take to arrive when the storm is over.
const DRAIN: Duration = Duration::from_secs(300);

/// The command line.
#[derive(Debug)]
struct Arguments {
    messages: usize,
    kills: usize,
    size: usize,
    backlog: usize,
    dir: PathBuf,
    json: bool,
}

fn arguments() -> Result<Arguments, String> {
    let given = Options::read(&["--messages", "--kills", "--size", "--backlog"], &["--json"])?;
    Ok(Arguments {
        messages: given.number("--messages", 100_000)?,
        kills: given.number("--kills", 100)?,
        size: given.number("--size", 2000)?,
        backlog: given.number("--backlog", 0)?,
        dir: given.dir(),
        json: given.has("--json"),
    })
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(fault) => {
            eprintln!("storm: {fault}");
            return ExitCode::from(2);
        }
    };
    let outcome = storm(&arguments);
    outcome.print(arguments.json);
    if outcome.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the storm brought.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: usize,
    lost: usize,
    spoilt: usize,
    duplicates: usize,
    duplicates_max: usize,
    kills: usize,
    restart_ms_max: u128,
    backlog: usize,
    backlog_restart_ms: u128,
    not_archived: i64,
    verified: bool,
}

impl Outcome {
    fn is_sound(&self) -> bool {
        self.lost == 0 && self.spoilt == 0 && self.not_archived <= 0 && self.verified
    }

    fn print(&self, json: bool) {
        let fields = [
            ("acknowledged", self.acknowledged.to_string()),
            ("lost", self.lost.to_string()),
            ("spoilt", self.spoilt.to_string()),
            ("kills", self.kills.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("duplicates_per_kill_max", self.duplicates_max.to_string()),
            ("restart_ms_max", self.restart_ms_max.to_string()),
            ("backlog", self.backlog.to_string()),
            ("backlog_restart_ms", self.backlog_restart_ms.to_string()),
            ("not_archived", self.not_archived.to_string()),
            ("verified", self.verified.to_string()),
        ];
        match json {
            true => {
                let members: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                println!("{{{}}}", members.join(","));
            }
            false => fields.iter().for_each(|(name, value)| println!("{name:24} {value}")),
        }
    }
}

fn storm(arguments: &Arguments) -> Outcome {
    let mut sink = Sink::reserve();
    let mut gateway = Gateway::start(&arguments.dir, sink.port());
    let senders = Senders::new(gateway.port(), arguments.size);
    let mut outcome = Outcome { backlog: arguments.backlog, ..Outcome::default() };
    if arguments.backlog > 0 {
        senders.send_until(arguments.backlog);
        gateway.kill();
        outcome.backlog_restart_ms = restart(&mut gateway, &senders);
    }
    sink.listen();
    if arguments.backlog > 0 {
        gateway.must(&["queue", "retry", "--all"]);
    }
    let wanted = arguments.backlog + arguments.messages;
    senders.during(|acknowledged| {
        while outcome.kills < arguments.kills || acknowledged() < wanted {
            // Uneven pauses, the same in every run: kills meet every phase.
            let pause_ms = 150 + (outcome.kills as u64 * 7919) % 1100;
            std::thread::sleep(Duration::from_millis(pause_ms));
            if outcome.kills < arguments.kills {
                gateway.kill();
                sink.next_epoch();
                outcome.kills += 1;
                outcome.restart_ms_max = outcome.restart_ms_max.max(restart(&mut gateway, &senders));
            }
        }
    });
    let acknowledged = senders.acknowledged();
    outcome.acknowledged = acknowledged.len();
    let end = Instant::now() + DRAIN;
    while Instant::now() < end && acknowledged.iter().any(|number| !sink.has(*number)) {
        std::thread::sleep(Duration::from_millis(200));
    }
    outcome.lost = acknowledged.iter().filter(|number| !sink.has(**number)).count();
    let arrived = sink.arrived();
    outcome.spoilt = arrived.values().filter(|one| !one.is_whole).count();
    let mut by_epoch: HashMap<usize, usize> = HashMap::new();
    for epoch in arrived.values().flat_map(|one| one.epochs.iter().skip(1)) {
        *by_epoch.entry(*epoch).or_default() += 1;
    }
    outcome.duplicates = by_epoch.values().sum();
    outcome.duplicates_max = by_epoch.values().copied().max().unwrap_or_default();
    gateway.must(&["archive", "seal"]);
    let archived = gateway.status()["messages"].as_i64().unwrap_or_default();
    outcome.not_archived = i64::try_from(outcome.acknowledged).unwrap_or(i64::MAX) - archived;
    let verified = String::from_utf8_lossy(&gateway.must(&["archive", "verify", "--json"])).into_owned();
    outcome.verified = verified.lines().last().is_some_and(|line| line.contains("\"ok\":true"));
    outcome
}

/// Starts it again; milliseconds until a message was accepted.
fn restart(gateway: &mut Gateway, senders: &Senders) -> u128 {
    let began = Instant::now();
    gateway.serve();
    senders.probe();
    began.elapsed().as_millis()
}
