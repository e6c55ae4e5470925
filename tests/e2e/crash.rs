//! `kill -9` under load: everything that got a 250 arrives and is in the archive. At worst a message arrives twice.

use crate::support::{Client, Gateway, Options, Sink};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: usize = 10;
const SENDERS: usize = 4;

/// What the senders share.
struct Load {
    port: u16,
    stop: AtomicBool,
    next: AtomicUsize,
    acknowledged: Mutex<Vec<usize>>,
}

impl Load {
    /// Sends until told to stop; a broken connection is tried again.
    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let Ok(mut client) = Client::try_connect(self.port) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            // A gateway that is killed meanwhile breaks off anywhere: what was not acknowledged does not count.
            let _broken = self.converse(&mut client);
        }
    }
    fn converse(&self, client: &mut Client) -> std::io::Result<()> {
        client.try_reply()?;
        client.try_send(b"EHLO client.example.org\r\n")?;
        client.try_reply()?;
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let reply = client.try_deliver("alice@example.org", &["bob@partner.example"], &message(number))?;
            if reply.starts_with("250 2.0.0 Accepted") {
                self.acknowledged.lock().expect("lock").push(number);
            }
        }
        Ok(())
    }
}

fn message(number: usize) -> Vec<u8> {
    let filler = "filler ".repeat(number % 500);
    format!("From: alice@example.org\r\nSubject: load\r\nX-Number: {number}\r\n\r\n{filler}\r\n").into_bytes()
}

fn number_of(octets: &[u8]) -> usize {
    let text = String::from_utf8_lossy(octets);
    let line = text.lines().find_map(|line| line.strip_prefix("X-Number: ")).expect("a number");
    line.parse().expect("a number")
}

#[test]
fn nothing_acknowledged_is_lost_when_killed_ten_times() {
    let sink = Sink::start();
    let more = "[archive]\nseal_after_s = 1\n".to_owned();
    let mut gateway = Gateway::start(&Options { next_hop: sink.port(), more, ..Options::default() });
    let load = Arc::new(Load {
        port: gateway.ports.outbound,
        stop: AtomicBool::new(false),
        next: AtomicUsize::new(0),
        acknowledged: Mutex::default(),
    });
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let load = load.clone();
            std::thread::spawn(move || load.run())
        })
        .collect();
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_millis(300 + 130 * round as u64));
        gateway.kill();
        gateway.serve();
    }
    std::thread::sleep(Duration::from_millis(500));
    load.stop.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.join().expect("a sender");
    }
    let acknowledged: HashSet<usize> = load.acknowledged.lock().expect("lock").iter().copied().collect();
    assert!(acknowledged.len() > 50, "there was load: {}", acknowledged.len());

    everything_arrives(&sink, &acknowledged);
    everything_is_archived(&gateway, &acknowledged);
    assert_eq!(gateway.verified("2")["missing"], 0);
}

fn everything_arrives(sink: &Sink, acknowledged: &HashSet<usize>) {
    crate::support::eventually("all acknowledged mail is at the next hop", Duration::from_secs(60), || {
        let arrived: HashSet<usize> = sink.all().iter().map(|one| number_of(&one.octets)).collect();
        acknowledged.is_subset(&arrived).then_some(())
    });
    for one in sink.all() {
        let number = number_of(&one.octets);
        assert_eq!(one.below_received(), message(number), "message {number} is whole");
    }
}

fn everything_is_archived(gateway: &Gateway, acknowledged: &HashSet<usize>) {
    gateway.seal();
    let out = gateway.dir().join("exported");
    gateway.must(&["archive", "export", "--format", "eml", "--output", out.to_str().expect("UTF-8")]);
    let mut archived = HashSet::new();
    for entry in std::fs::read_dir(&out).expect("exported") {
        let octets = std::fs::read(entry.expect("an entry").path()).expect("readable");
        let number = number_of(&octets);
        assert_eq!(octets, message(number), "message {number} is archived octet for octet");
        archived.insert(number);
    }
    let missing: Vec<_> = acknowledged.difference(&archived).collect();
    assert!(missing.is_empty(), "acknowledged and not archived: {missing:?}");
}

/// Deliveries whose results had no time to become durable are not repeated: the kill comes within the moment that results wait
/// for company.
#[test]
fn what_was_delivered_just_before_a_kill_does_not_come_twice() {
    const MESSAGES: usize = 200;
    let port = crate::support::free_port();
    let more = "[queue]\nretry_s = [1]\n".to_owned();
    let mut gateway = Gateway::start(&Options { next_hop: port, more, ..Options::default() });
    let mut client = Client::connect(gateway.ports.outbound);
    client.command("EHLO client.example.org");
    for number in 0..MESSAGES {
        let reply = client.deliver("alice@example.org", &["bob@partner.example"], &message(number));
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let sink = Sink::on_port(port);
    gateway.must(&["queue", "retry", "--all"]);
    sink.wait_for(MESSAGES, Duration::from_secs(60));
    // The last ones may still be on their way from the reply to the ring.
    std::thread::sleep(Duration::from_millis(20));
    gateway.kill();
    gateway.serve();
    std::thread::sleep(Duration::from_secs(2));
    assert!(sink.count() <= MESSAGES + 1, "{} came for {MESSAGES}", sink.count());
    assert!(gateway.json(&["queue", "list"]).is_empty());
    gateway.seal();
    gateway.verified("2");
}
