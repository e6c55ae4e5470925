//! The course: what is measured, in which order. Subjects that are compared run one right after the other.

use super::arguments::{Arguments, Part};
use super::gateway::Gateway;
use super::load::{self, Connections, Load, SESSIONS, Sent};
use super::postfix::Postfix;
use super::process;
use super::report::{Report, Row};
use super::sink::Sink;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sent before a subject is measured: files are preallocated, processes forked, pools filled.
const WARM_UP: Duration = Duration::from_secs(1);
/// Size of protected messages and of the half load.
const TYPICAL_KB: usize = 20;
/// A recipient without keys.
const PLAIN: &str = "bob@partner.example";

/// Course, recipient, what the subject says.
const TREATMENTS: &[(&str, &str, &str)] = &[
    ("sign smime", "simone@smime.example", "[sign smime]"),
    ("encrypt smime", "simone@smime.example", "[encrypt]"),
    ("both smime", "simone@smime.example", "[both]"),
    ("sign pgp", "paul@pgp.example", "[sign]"),
    ("encrypt pgp", "paul@pgp.example", "[encrypt]"),
    ("both pgp", "paul@pgp.example", "[both]"),
];

/// Something that carries mail to the sink.
struct Subject<'a> {
    name: &'static str,
    port: u16,
    /// Its process, or the ancestor of its processes.
    pid: Option<u32>,
    sink: &'a Sink,
}

/// What is sent in one measurement.
struct Course<'a> {
    name: &'a str,
    kilobytes: usize,
    recipient: &'a str,
    subject: &'a str,
    connections: Connections,
    /// For all sessions together; `None`: as fast as it goes.
    rate: Option<f64>,
}

impl Course<'_> {
    fn plain(kilobytes: usize, connections: Connections) -> Course<'static> {
        Course { name: "pass-through", kilobytes, recipient: PLAIN, subject: "throughput", connections, rate: None }
    }

    fn load(&self, port: u16, duration: Duration) -> Load {
        Load {
            port,
            recipient: self.recipient.to_owned(),
            content: load::content(self.kilobytes, self.recipient, self.subject),
            connections: self.connections,
            duration,
            interval: self.rate.map(|rate| Duration::from_secs_f64(SESSIONS as f64 / rate)),
        }
    }
}

/// Runs what is asked for.
pub fn run(arguments: &Arguments) {
    std::fs::create_dir_all(&arguments.dir).expect("the directory");
    refuse_memory(&arguments.dir);
    let report = Report::begin(arguments.form);
    for &kilobytes in &arguments.sizes_kb {
        pass_through(arguments, &report, kilobytes);
    }
    if arguments.wants(Part::Protected) {
        protected(arguments, &report);
    }
}

/// A disk in memory syncs for nothing: figures from it would be wrong.
fn refuse_memory(dir: &Path) {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let kind = rustix::fs::statfs(dir).expect("the directory").f_type;
    assert!(kind != TMPFS_MAGIC, "{} is in memory: give --dir on a disk", dir.display());
}

fn pass_through(arguments: &Arguments, report: &Report, kilobytes: usize) {
    let sink = Sink::start();
    let gateway = arguments.wants(Part::PassThrough).then(|| Gateway::start(&arguments.dir, sink.port()));
    let postfix = match arguments.wants(Part::Postfix).then(|| Postfix::start(&arguments.dir, sink.port())) {
        Some(Ok(postfix)) => Some(postfix),
        Some(Err(why)) => {
            report.note(&format!("no comparison: {why}"));
            None
        }
        None => None,
    };
    let harness = arguments.wants(Part::Harness).then_some(Subject {
        name: "harness",
        port: sink.port(),
        pid: None,
        sink: &sink,
    });
    let gateway = gateway.as_ref();
    let gateway = gateway.map(|g| Subject { name: "sealpost", port: g.port(), pid: Some(g.pid()), sink: &sink });
    let postfix = postfix.as_ref();
    let postfix = postfix.map(|p| Subject { name: "postfix", port: p.port(), pid: Some(p.pid()), sink: &sink });
    let mut rate = None;
    for connections in [Connections::PerMessage, Connections::Reused] {
        let course = Course::plain(kilobytes, connections);
        let measured = |subject: &Subject<'_>| {
            let row = measure(arguments, subject, &course);
            report.row(&row);
            row
        };
        harness.as_ref().map(measured);
        let ours = gateway.as_ref().map(measured);
        let theirs = postfix.as_ref().map(measured);
        if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
            report.ratio(ours, theirs);
        }
        rate = rate.or(ours.map(|row| row.rate()));
    }
    if let (Some(gateway), Some(rate), true) =
        (&gateway, rate, arguments.wants(Part::HalfLoad) && kilobytes == TYPICAL_KB)
    {
        let half =
            Course { name: "half load", rate: Some(rate / 2.0), ..Course::plain(kilobytes, Connections::PerMessage) };
        report.row(&measure(arguments, gateway, &half));
    }
}

fn protected(arguments: &Arguments, report: &Report) {
    let sink = Sink::start();
    let gateway = Gateway::start(&arguments.dir, sink.port());
    let subject = Subject { name: "sealpost", port: gateway.port(), pid: Some(gateway.pid()), sink: &sink };
    for (name, recipient, words) in TREATMENTS {
        let connections = Connections::Reused;
        let course = Course { name, kilobytes: TYPICAL_KB, recipient, subject: words, connections, rate: None };
        report.row(&measure(arguments, &subject, &course));
    }
    report.note(&format!("archive of the protected course: {}", gateway.status()));
}

fn measure(arguments: &Arguments, subject: &Subject<'_>, course: &Course<'_>) -> Row {
    deliver(subject, &course.load(subject.port, WARM_UP));
    let cpu_before = subject.pid.map(process::cpu_time).unwrap_or_default();
    let began = Instant::now();
    let (sent, missing) = deliver(subject, &course.load(subject.port, arguments.duration));
    let elapsed = began.elapsed();
    let cpu = subject.pid.map(process::cpu_time).unwrap_or_default().saturating_sub(cpu_before);
    Row {
        subject: subject.name,
        course: course.name.to_owned(),
        kilobytes: course.kilobytes,
        connections: course.connections,
        messages: sent.replies.len(),
        missing: missing + sent.refused,
        elapsed,
        cpu,
        peak_bytes: subject.pid.map(process::peak_memory).unwrap_or_default(),
        p50: sent.percentile(50),
        p99: sent.percentile(99),
    }
}

/// Sends a load and waits until all of it is at the next hop; how many did not come.
fn deliver(subject: &Subject<'_>, load: &Load) -> (Sent, usize) {
    let before = subject.sink.messages();
    let sent = load::send(load);
    let expected = before + sent.replies.len();
    let missing = expected.saturating_sub(subject.sink.wait_for(expected));
    (sent, missing)
}
