//! What a process costs, from `/proc`: CPU time of it and all its descendants, ended ones included, and memory.

use std::time::Duration;

/// Ticks a second in `/proc`: USER_HZ, which is 100 on every architecture Debian builds for.
const TICKS_PER_S: u64 = 100;

/// CPU time of a process, its living descendants, and those it has waited for.
pub fn cpu_time(pid: u32) -> Duration {
    Duration::from_millis(cpu_ticks(pid) * 1000 / TICKS_PER_S)
}

/// The largest resident set a process has had, in octets; its descendants are not in it.
pub fn peak_memory(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

/// The resident set of a process, in octets.
pub fn resident_memory(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn cpu_ticks(pid: u32) -> u64 {
    let own = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0, |stat| ticks_in(&stat));
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_ticks).sum::<u64>()
}

/// utime, stime, cutime and cstime: fields 14 to 17 of proc_pid_stat(5). The name before them may hold spaces.
fn ticks_in(stat: &str) -> u64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}
