//! Brings one transaction to the next hops of a route: which of them in which order, and what is left for the next one. An outcome
//! for every recipient comes of it, or word that nobody could be spoken to.
//!
//! `mx` asks DNS for next hops, `greet` opens a session with one, `session` speaks in it, `standing` is what came of it for a
//! recipient, `marker` finishes the octets, `surroundings` remembers who was silent.

mod greet;
mod marker;
mod mx;
mod session;
mod standing;
mod surroundings;

use super::settle::Fate;
use crate::gateway::config::{HostPort, NextHops, Route};
use crate::gateway::observe::Event;
use crate::gateway::post::Post;
use crate::journal::Entry;
use crate::mail::Envelope;
use crate::smtp::client::{Chunking, Next, Outcome, Progress, Report, Survey, Verdict};
use greet::Way;
pub use greet::credentials;
use mx::Routing;
pub use session::Connection;
use standing::Standing;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
pub use surroundings::Surroundings;

/// Hosts of one domain that are spoken with in one attempt; those who said "later" keep the others for the next one. Who lacks
/// something is not among them: else the others would never be asked.
const MX_SESSIONS_MAX: usize = 2;

/// What is sent: one rendition to some of its recipients.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// The message.
    pub entry: &'a Entry,
    /// Indices into its envelope's recipients.
    pub recipients: &'a [u32],
    /// The rendition's octets.
    pub octets: &'a [u8],
}

/// No next hop of a route could be spoken to.
#[derive(Debug)]
pub struct Unreachable {
    /// What went wrong with the last one tried.
    pub reply: String,
    /// Its `host:port`.
    pub next_hop: String,
}

/// Fates and next hops in the order of the transaction's recipients, and the connection if it can be used again.
type Sent = (Vec<Fate>, Vec<String>, Option<Connection>);

/// Opens a session with one next hop, for a command that sends mail besides the queue's.
pub async fn open_for_command(
    config: &crate::gateway::config::Config,
    route: &Route,
    hop: &HostPort,
    chunking: Chunking,
) -> Result<Connection, String> {
    let surroundings = Surroundings::default();
    let way = Way { config, route, surroundings: &surroundings, resolver: None, sessions_max: 1, domain: None };
    greet::open(&way, hop, chunking).await
}

/// Sends over a connection that is open already, or over new ones.
pub async fn send(
    post: &Arc<Post>,
    surroundings: &Surroundings,
    route: &Route,
    reused: Option<Connection>,
    transaction: &Transaction<'_>,
) -> Result<Sent, Unreachable> {
    let config = post.config();
    let octets = marker::finish(transaction.octets, route.marker.as_ref());
    let mut trip = Trip::new(post, transaction, octets);
    let everybody = (0..transaction.recipients.len()).collect();
    match &route.next_hop {
        NextHops::Listed(hops) => {
            let hops = surroundings.sorted(hops.clone());
            let sessions_max = hops.len();
            let way = Way { config: &config, route, surroundings, resolver: None, sessions_max, domain: None };
            let connection = trip.tour(&way, &hops, reused, everybody).await?;
            Ok(trip.over(connection))
        }
        NextHops::Mx => {
            let connection = trip.by_domain(&config, surroundings, route, reused).await;
            Ok(trip.over(connection))
        }
    }
}

/// A transaction under way.
struct Trip<'t> {
    post: &'t Arc<Post>,
    transaction: &'t Transaction<'t>,
    octets: Cow<'t, [u8]>,
    survey: Survey,
    /// In the order of the transaction's recipients.
    standings: Vec<Standing>,
}

/// What came of speaking with one next hop.
struct Visit {
    /// Recipients that another next hop may take.
    left: Vec<usize>,
    /// If it can be used again.
    connection: Option<Connection>,
    reached: Reached,
}

/// Whether a connection has carried a transaction of this visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Fresh,
    Used,
}

/// Whether a next hop said anything about this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    No,
    /// It was spoken with, and lacks what this message needs.
    InVain,
    Yes,
}

impl<'t> Trip<'t> {
    fn new(post: &'t Arc<Post>, transaction: &'t Transaction<'t>, octets: Cow<'t, [u8]>) -> Trip<'t> {
        let survey = Survey::of(&octets);
        let standings = vec![Standing::untried(); transaction.recipients.len()];
        Trip { post, transaction, octets, survey, standings }
    }

    fn over(self, connection: Option<Connection>) -> Sent {
        let (fates, next_hops) = self.standings.into_iter().map(|one| (one.fate, one.next_hop)).unzip();
        (fates, next_hops, connection)
    }

    /// Recipients of one domain after those of another; one that cannot be reached delays no other.
    async fn by_domain(
        &mut self,
        config: &crate::gateway::config::Config,
        surroundings: &Surroundings,
        route: &Route,
        reused: Option<Connection>,
    ) -> Option<Connection> {
        let mut kept = reused;
        for (domain, members) in self.domains() {
            let key = format!("mx:{domain}");
            if surroundings.is_failing(&key) || surroundings.is_slow(&domain) {
                let reply = format!("{domain}: its mail hosts do not answer just now");
                self.settle(&members, &Fate::Deferred { reply });
                continue;
            }
            let (reused, other) = match kept.take() {
                Some(connection) if connection.is_for(&domain) => (Some(connection), None),
                other => (None, other),
            };
            quit(other);
            let resolver = match surroundings.resolver(&route.resolver) {
                Ok(resolver) => resolver,
                Err(reply) => {
                    self.settle(&members, &Fate::Deferred { reply });
                    continue;
                }
            };
            let hops = match mx::hosts(&resolver, &domain, config.hostname.as_str(), route.mx_port).await {
                Routing::Hosts(hops) => surroundings.sorted(hops),
                Routing::Never { status, reply } => {
                    self.settle(&members, &Fate::Failed { status: status.to_owned(), reply });
                    continue;
                }
                Routing::Later { reply } => {
                    self.settle(&members, &Fate::Deferred { reply });
                    continue;
                }
            };
            let way = Way {
                config,
                route,
                surroundings,
                resolver: Some(&resolver),
                sessions_max: MX_SESSIONS_MAX,
                domain: Some(&domain),
            };
            match self.tour(&way, &hops, reused, members).await {
                Ok(connection) => kept = connection,
                Err(Unreachable { reply, .. }) => {
                    tracing::warn!("{domain}: {reply}");
                    surroundings.fails(&key, config);
                }
            }
        }
        kept
    }

    fn domains(&self) -> BTreeMap<String, Vec<usize>> {
        let mut domains: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for at in 0..self.transaction.recipients.len() {
            // An index that names nobody stays untried, and is deferred.
            let Some(recipient) = self.recipient(at) else { continue };
            domains.entry(recipient.address.domain().to_ascii_lowercase()).or_default().push(at);
        }
        domains
    }

    fn settle(&mut self, members: &[usize], fate: &Fate) {
        for &at in members {
            self.standings[at] = Standing::ours(fate.clone());
        }
    }

    /// From one next hop to the other until nobody is left. The first connection that can be used again is kept.
    async fn tour(
        &mut self,
        way: &Way<'_>,
        hops: &[HostPort],
        reused: Option<Connection>,
        open: Vec<usize>,
    ) -> Result<Option<Connection>, Unreachable> {
        let (mut left, mut kept, mut reached) = (open, None, Reached::No);
        let mut last = String::new();
        let mut visited = None;
        if let Some(connection) = reused {
            let hop = connection.hop().clone();
            let visit = self.visit(way, &hop, Some(connection), left).await;
            (left, kept, reached) = (visit.left, visit.connection, visit.reached);
            last = hop.to_string();
            // A connection that had died meanwhile says nothing about the next hop.
            visited = kept.as_ref().map(|_| hop);
        }
        let mut sessions = 0;
        for hop in hops.iter().filter(|hop| visited.as_ref() != Some(hop)) {
            if left.is_empty() || sessions == way.sessions_max {
                break;
            }
            let visit = self.visit(way, hop, None, left).await;
            left = visit.left;
            last = hop.to_string();
            reached = reached.max(visit.reached);
            sessions += usize::from(visit.reached == Reached::Yes);
            match kept {
                None => kept = visit.connection,
                Some(_) => quit(visit.connection),
            }
        }
        match reached {
            Reached::Yes | Reached::InVain => Ok(kept),
            Reached::No => {
                quit(kept);
                Err(Unreachable { reply: self.last_word(&left), next_hop: last })
            }
        }
    }

    fn last_word(&self, left: &[usize]) -> String {
        match left.first().map(|&at| &self.standings[at].fate) {
            Some(Fate::Deferred { reply }) => reply.clone(),
            _ => "no next hop could be reached".to_owned(),
        }
    }

    /// Speaks with one next hop. What it could not take in one go is offered again at once.
    async fn visit(&mut self, way: &Way<'_>, hop: &HostPort, reused: Option<Connection>, open: Vec<usize>) -> Visit {
        let (mut todo, mut left, mut reached) = (open, Vec::new(), Reached::No);
        let mut age = Age::Fresh;
        let (mut connection, mut chunking) = (reused, Chunking::Fine);
        loop {
            let opened = match connection.take() {
                Some(connection) => Ok(connection),
                None => {
                    age = Age::Fresh;
                    greet::open(way, hop, chunking).await
                }
            };
            let mut spoken = match opened {
                Ok(connection) => connection,
                Err(reply) => {
                    way.surroundings.fails(&hop.to_string(), way.config);
                    todo.iter().for_each(|&at| self.standings[at].silent(&hop.to_string(), &reply));
                    left.extend(todo);
                    return Visit { left, connection: None, reached };
                }
            };
            let envelope = self.envelope(&todo);
            let report = spoken.deliver(envelope, self.survey, &self.octets, &way.config.timeouts).await;
            match reached_by(&report) {
                // It takes one message in each session.
                Reached::No if age == Age::Used => continue,
                Reached::No => {}
                so_far => {
                    reached = reached.max(so_far);
                    way.surroundings.answers(&hop.to_string());
                }
            }
            age = Age::Used;
            let again = self.take(&todo, &report, &spoken, &mut left);
            if report.chunking == Chunking::Refused {
                chunking = Chunking::Refused;
            } else if again.len() == todo.len() {
                // No progress: it may make some another time.
                left.extend(&again);
                todo = Vec::new();
            }
            connection = match report.next {
                Next::Reuse => Some(spoken),
                Next::Close => None,
            };
            todo = if todo.is_empty() { todo } else { again };
            if todo.is_empty() {
                return Visit { left, connection, reached };
            }
        }
    }

    /// Keeps what a report says. Who was deferred, or is too much for this next hop, is left for another one; who is to be offered
    /// again at once, is answered.
    fn take(&mut self, todo: &[usize], report: &Report, spoken: &Connection, left: &mut Vec<usize>) -> Vec<usize> {
        let (mut again, hop, reports) = (Vec::new(), spoken.hop().to_string(), spoken.reports());
        for (&at, outcome) in todo.iter().zip(&report.outcomes) {
            self.standings[at].hear(&hop, outcome, reports);
            match outcome.verdict {
                Verdict::Deferred | Verdict::Unfit => left.push(at),
                Verdict::NextTransaction => again.push(at),
                Verdict::InDoubt => self.tell_of_doubt(at, outcome),
                Verdict::Delivered | Verdict::Failed => {}
            }
        }
        again
    }

    /// A recipient who perhaps gets the message twice: it stands in the audit trail, so that duplicates can be explained.
    fn tell_of_doubt(&self, at: usize, outcome: &Outcome) {
        let id = Some(self.transaction.entry.accept.id.to_string());
        let recipient = self.recipient(at).map(|recipient| recipient.address.to_string());
        let event = Event::new(self.post.now(), "in-doubt");
        self.post.audit().write(&Event { id, recipient, detail: &outcome.text, ..event });
    }

    fn recipient(&self, at: usize) -> Option<&crate::mail::Recipient> {
        self.transaction.entry.recipient(*self.transaction.recipients.get(at)?)
    }

    fn envelope(&self, members: &[usize]) -> Envelope {
        let recipients = members.iter().filter_map(|&at| self.recipient(at).cloned()).collect();
        Envelope { recipients, ..self.transaction.entry.accept.envelope.clone() }
    }
}

/// A next hop that hangs up or says 421 before it takes MAIL has a trouble of its own.
fn reached_by(report: &Report) -> Reached {
    let all = |verdict| report.outcomes.iter().all(|outcome| outcome.verdict == verdict);
    match (report.progress, report.next) {
        (Progress::Nothing, _) if all(Verdict::Unfit) => Reached::InVain,
        (Progress::Nothing, Next::Close) if all(Verdict::Deferred) => Reached::No,
        _ => Reached::Yes,
    }
}

/// Says goodbye to a connection that is not kept, without waiting for it.
fn quit(connection: Option<Connection>) {
    if let Some(connection) = connection {
        tokio::spawn(connection.quit());
    }
}
