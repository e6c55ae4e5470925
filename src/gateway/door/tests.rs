//! A door with all that stands behind it until the reply, in one process: for bounds that no configuration changes.

use super::*;
use crate::gateway::cli::args;
use crate::gateway::config::{Domain, HostPort, Hostname};
use crate::gateway::init;
use crate::gateway::post::{AcceptedIds, Rooms};
use crate::gateway::room::Room;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// How long the gateway may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// The whole of a room, whatever its size.
const ALL: u64 = u64::MAX;

/// A gateway that takes mail and delivers none.
struct Running {
    post: Arc<Post>,
    address: SocketAddr,
    _accepted: AcceptedIds,
    _close: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

/// Makes it with `init`'s configuration; its messages wait for room as long as `wait`.
fn start(wait: Duration) -> Running {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("gw");
    made(&home);
    let rooms = Rooms { wait, ..Rooms::default() };
    let (post, accepted) = Post::open(&home.join("sealpost.toml"), rooms).expect("a gateway");
    let post = Arc::new(post);
    let (close, closing) = watch::channel(false);
    let (rates, reading) = (Arc::new(Rates::new(&post.config().limits)), Arc::new(Reading::open(&post)));
    let house = House { post: post.clone(), rates, reading, closing, sessions: watch::channel(0).0 };
    let (door, socket) = open(&post).expect("doors").swap_remove(0);
    let address = socket.local_addr().expect("an address");
    tokio::spawn(attend(house, door, socket, Places::new(&post.config().limits)));
    Running { post, address, _accepted: accepted, _close: close, _dir: dir }
}

/// A directory with one door, and a journal that is small.
fn made(home: &Path) {
    let wishes = args::Init {
        dir: home.to_owned(),
        hostname: Hostname::try_from("gw.example.org".to_owned()).expect("a name"),
        domains: vec![Domain::try_from("example.org".to_owned()).expect("a domain")],
        next_hop: HostPort::parse("127.0.0.1:9").expect("a next hop"),
        organization: "Test".to_owned(),
        officer_certs: Vec::new(),
    };
    init::init(&wishes.into()).expect("init");
    let file = home.join("sealpost.toml");
    let text = std::fs::read_to_string(&file).expect("configuration");
    // Any port will do, but no two listeners may have the same address.
    let ports = (1..).zip(["2525", "2524", "1143", "1993", "1110", "1995"]);
    let text =
        ports.fold(text, |text, (n, port)| text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.{n}:0")));
    let journal = "\n[journal]\nfile_bytes = 4194304\nlow_space_bytes = 1048576\n";
    std::fs::write(&file, text + journal).expect("configuration");
}

struct Visitor(BufReader<TcpStream>);

impl Visitor {
    async fn come(running: &Running) -> Visitor {
        let mut visitor = Visitor(BufReader::new(TcpStream::connect(running.address).await.expect("connect")));
        assert!(visitor.reply().await.starts_with("220 "));
        assert!(visitor.say("EHLO client.example.org").await.starts_with("250"));
        visitor
    }
    /// A command, or the end of a message; the last line of its reply.
    async fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.expect("send");
        self.reply().await
    }
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await;
            assert!(read.expect("a reply in time").expect("a reply") > 0, "the connection ended");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
    /// Everything up to the final dot, and what is said to that.
    async fn send(&mut self, message: &str) -> String {
        for line in ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@partner.example>", "DATA"] {
            let reply = self.say(line).await;
            assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
        }
        self.say(&format!("{message}\r\n.")).await
    }
}

const PLAIN: &str = "From: alice@example.org\r\nSubject: x\r\n\r\nbody";

/// Not small: it is looked at in a room of its own kind.
fn large() -> String {
    let lines = crate::journal::DRAFT_MEMORY_BYTES / 64;
    format!("{PLAIN}\r\n{}", format!("{}\r\n", "x".repeat(62)).repeat(lines))
}

/// Its mark is none of ours, so it gets a rendition without.
fn marked() -> String {
    format!("X-Sealpost-Loop: not ours\r\n{PLAIN}")
}

/// The one message that the journal holds, and nothing else.
fn only_pending(running: &Running) -> String {
    let pending = running.post.journal().pending();
    assert_eq!(pending.len(), 1, "one is kept");
    pending[0].accept.id.to_string()
}

async fn is_told_to_come_later(room_of: fn(&Rooms) -> &Room, message: &str) {
    let wait = Duration::from_millis(700);
    let running = start(wait);
    let mut visitor = Visitor::come(&running).await;
    let full = room_of(running.post.rooms()).take(ALL).await;
    let begun = Instant::now();
    let reply = visitor.send(message).await;
    assert_eq!(reply, "452 4.3.1 Too many large messages at once, try again later");
    assert!(begun.elapsed() >= wait, "it has waited");
    assert!(running.post.journal().pending().is_empty(), "what is refused is not kept");
    // Small mail passes by, over the same connection.
    assert!(visitor.say("NOOP").await.starts_with("250 "));
    let reply = visitor.send(PLAIN).await;
    assert_eq!(reply, format!("250 2.0.0 Accepted {}", only_pending(&running)));
    drop(full);
    let reply = visitor.send(message).await;
    assert!(reply.starts_with("250 2.0.0 Accepted "), "there is room again: {reply}");
    assert_eq!(running.post.journal().pending().len(), 2, "the refused one has not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_to_be_looked_at_is_told_to_come_later() {
    is_told_to_come_later(|rooms| &rooms.incoming, &large()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_to_be_rendered_is_told_to_come_later() {
    is_told_to_come_later(|rooms| &rooms.renditions, &marked()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_less_is_accepted() {
    let running = start(PATIENCE);
    let mut visitor = Visitor::come(&running).await;
    let full = running.post.rooms().renditions.take(ALL).await;
    let message = marked();
    let sending = tokio::spawn(async move { visitor.send(&message).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!sending.is_finished() && running.post.journal().pending().is_empty(), "it waits");
    drop(full);
    let reply = sending.await.expect("a reply");
    assert_eq!(reply, format!("250 2.0.0 Accepted {}", only_pending(&running)));
}

#[test]
fn all_waits_end_before_a_client_gives_up() {
    assert!(Rooms::default().wait * 3 < crate::smtp::limits::DATA_DONE);
}
