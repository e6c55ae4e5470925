//! Results, as a table for people or as JSON Lines.

use super::arguments::Form;
use super::load::Connections;
use serde_json::json;
use std::time::Duration;

/// One measurement.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was under test.
    pub subject: &'static str,
    /// What was sent through it.
    pub course: String,
    /// Size of the messages in KB.
    pub kilobytes: usize,
    /// Connection habits of the senders.
    pub connections: Connections,
    /// Messages acknowledged.
    pub messages: usize,
    /// Messages not acknowledged, or not seen at the next hop.
    pub missing: usize,
    /// Until the last of them was at the next hop.
    pub elapsed: Duration,
    /// CPU time of what was under test.
    pub cpu: Duration,
    /// Its first process's largest resident set so far.
    pub peak_bytes: u64,
    /// Half of the replies came within this time.
    pub p50: Duration,
    /// 99 of 100 did.
    pub p99: Duration,
}

impl Row {
    /// Messages a second, end to end.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages.max(1) as f64
    }
    fn habit(&self) -> &'static str {
        match self.connections {
            Connections::PerMessage => "new",
            Connections::Reused => "reused",
        }
    }
}

/// Prints as it goes.
#[derive(Debug)]
pub struct Report {
    form: Form,
}

impl Report {
    /// Prints the head of the table.
    pub fn begin(form: Form) -> Report {
        if form == Form::Table {
            println!("machine: {}", machine());
            println!(
                "{:<10} {:<14} {:>6} {:<7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                "subject",
                "course",
                "KB",
                "conns",
                "messages",
                "missing",
                "msg/s",
                "us CPU",
                "MiB RSS",
                "p50 ms",
                "p99 ms"
            );
        }
        Report { form }
    }

    /// One measurement.
    pub fn row(&self, row: &Row) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mib = row.peak_bytes as f64 / 1_048_576.0;
        match self.form {
            Form::Table => println!(
                "{:<10} {:<14} {:>6} {:<7} {:>8} {:>8} {:>8.0} {:>8.0} {:>8.1} {:>8.2} {:>8.2}",
                row.subject,
                row.course,
                row.kilobytes,
                row.habit(),
                row.messages,
                row.missing,
                row.rate(),
                row.cpu_us(),
                mib,
                ms(row.p50),
                ms(row.p99)
            ),
            Form::Json => println!(
                "{}",
                json!({
                    "subject": row.subject, "course": row.course, "kilobytes": row.kilobytes, "connections": row.habit(),
                    "messages": row.messages, "missing": row.missing, "messages_per_s": row.rate(),
                    "cpu_us_per_message": row.cpu_us(), "peak_rss_bytes": row.peak_bytes,
                    "reply_p50_ms": ms(row.p50), "reply_p99_ms": ms(row.p99)
                })
            ),
        }
    }

    /// How many times faster the gateway is than Postfix.
    pub fn ratio(&self, gateway: &Row, postfix: &Row) {
        let (ratio, cpu) = (gateway.rate() / postfix.rate(), postfix.cpu_us() / gateway.cpu_us());
        match self.form {
            Form::Table => {
                println!("           = {ratio:.2} x Postfix in messages a second, {cpu:.2} x in messages a CPU second")
            }
            Form::Json => println!(
                "{}",
                json!({"subject": "ratio", "kilobytes": gateway.kilobytes, "connections": gateway.habit(),
                       "sealpost_to_postfix": ratio, "per_cpu_second": cpu})
            ),
        }
    }

    /// Anything else a reader must know.
    pub fn note(&self, text: &str) {
        match self.form {
            Form::Table => println!("{text}"),
            Form::Json => println!("{}", json!({"note": text})),
        }
    }
}

fn machine() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown CPU").to_owned();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} x {model}; load average at the start {}", load.split(' ').next().unwrap_or_default())
}
