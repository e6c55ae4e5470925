//! What is to be delivered when, and by how many connections. A data structure: no I/O, no clock, no tasks.
//!
//! A job is one rendition of one message to one route. A route that could not be reached is down until a moment: its jobs stay
//! ready, and one of them probes it then (a dead route is probed, not hammered). A route whose transactions are quick gets a few
//! connections only: more would not be faster, and each may leave one message in doubt when this process is killed.

use crate::clock::Timestamp;
use crate::mail::MailId;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Connections of a route, besides those whose transaction has become slow.
const QUICK_CONNECTIONS: usize = 6;
/// A transaction that takes longer is mostly waiting, and others can be made meanwhile. In milliseconds.
const QUICK_MS: i64 = 20;

/// One transaction to make, and to make again until every recipient is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Job {
    /// The message.
    pub id: MailId,
    /// Index of the rendition.
    pub rendition: u32,
    /// Index of the route.
    pub route: usize,
}

/// Whether the caller must start one more worker for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Workers {
    /// Those that run suffice.
    Suffice,
    /// Start one; it is already counted.
    StartOne,
}

/// All jobs.
#[derive(Debug, Default)]
pub struct Agenda {
    routes: Vec<RouteAgenda>,
    waiting: BTreeSet<(Timestamp, Job)>,
    /// Jobs that are ready, waiting or taken: each stands here once.
    known: HashSet<Job>,
    /// Jobs under way, and since when.
    taken: HashMap<Job, Timestamp>,
}

#[derive(Debug)]
struct RouteAgenda {
    ready: VecDeque<Job>,
    workers: usize,
    workers_max: usize,
    failures: u32,
    down: Option<Down>,
}

/// Why a route is not tried, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// When it is probed.
    pub until: Timestamp,
    /// What the last attempt got.
    pub reply: String,
}

/// Whether a route had been given up for a while before it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// No.
    AsEver,
    /// Yes.
    Again,
}

impl RouteAgenda {
    fn is_down(&self, now: Timestamp) -> bool {
        self.down.as_ref().is_some_and(|down| now < down.until)
    }
    /// How many workers it may have, when the transactions of so many take long. One that has failed gets the probe alone until it
    /// answers.
    fn places(&self, slow: usize, now: Timestamp) -> usize {
        match (self.is_down(now), self.failures) {
            (true, _) => 0,
            (false, 0) => self.workers_max.min(QUICK_CONNECTIONS + slow),
            (false, _) => 1,
        }
    }
}

impl Agenda {
    /// For routes with at most these many connections each.
    pub fn new(connections: impl IntoIterator<Item = usize>) -> Agenda {
        let route = |workers_max: usize| RouteAgenda {
            ready: VecDeque::new(),
            workers: 0,
            workers_max: workers_max.max(1),
            failures: 0,
            down: None,
        };
        Agenda { routes: connections.into_iter().map(route).collect(), ..Agenda::default() }
    }

    /// Adds a job that is due at `due`. One that is known already is left as it is.
    pub fn add(&mut self, job: Job, due: Timestamp, now: Timestamp) -> Workers {
        if !self.known.insert(job) {
            return Workers::Suffice;
        }
        self.schedule(job, due, now)
    }

    /// Puts back a job that was taken.
    pub fn again(&mut self, job: Job, due: Timestamp, now: Timestamp) -> Workers {
        self.taken.remove(&job);
        self.schedule(job, due, now)
    }

    fn schedule(&mut self, job: Job, due: Timestamp, now: Timestamp) -> Workers {
        if due > now {
            self.waiting.insert((due, job));
            return Workers::Suffice;
        }
        self.routes[job.route].ready.push_back(job);
        self.staff(job.route, now)
    }

    fn places(&self, route: usize, now: Timestamp) -> usize {
        let slow = self.slow_at(route).filter(|at| *at <= now).count();
        self.routes[route].places(slow, now)
    }

    /// When each transaction of a route becomes slow.
    fn slow_at(&self, route: usize) -> impl Iterator<Item = Timestamp> {
        let of_this = self.taken.iter().filter(move |(job, _)| job.route == route);
        of_this.map(|(_, since)| Timestamp::from_ms(since.ms() + QUICK_MS))
    }

    fn staff(&mut self, route: usize, now: Timestamp) -> Workers {
        let places = self.places(route, now);
        let this = &mut self.routes[route];
        if this.ready.is_empty() || this.workers >= places {
            return Workers::Suffice;
        }
        this.workers += 1;
        Workers::StartOne
    }

    /// The next job for a worker of this route; `None` when there is none, the route is down, or fewer workers suffice.
    pub fn take(&mut self, route: usize, now: Timestamp) -> Option<Job> {
        let places = self.places(route, now);
        let this = &mut self.routes[route];
        let job = if this.workers > places { None } else { this.ready.pop_front() };
        self.taken.extend(job.map(|job| (job, now)));
        job
    }

    /// Whether a transaction of this message is under way.
    pub fn is_under_way(&self, id: &MailId) -> bool {
        self.taken.keys().any(|job| job.id == *id)
    }

    /// A taken job is done for good.
    pub fn done(&mut self, job: Job) {
        self.taken.remove(&job);
        self.known.remove(&job);
    }

    /// A worker of this route ends. More may have become ready meanwhile.
    pub fn worker_ended(&mut self, route: usize, now: Timestamp) -> Workers {
        self.routes[route].workers -= 1;
        self.staff(route, now)
    }

    /// The route could not be reached: down until the moment that `until` says for this many failures in a row.
    pub fn unreachable(&mut self, route: usize, now: Timestamp, reply: &str, until: impl Fn(u32) -> Timestamp) {
        let this = &mut self.routes[route];
        if this.is_down(now) {
            // An attempt that was under way when the route went down says nothing new.
            return;
        }
        this.failures = this.failures.saturating_add(1);
        this.down = Some(Down { until: until(this.failures), reply: reply.to_owned() });
    }

    /// The route answered.
    pub fn reached(&mut self, route: usize, now: Timestamp) -> (Workers, Answered) {
        let this = &mut self.routes[route];
        let answered = if this.failures == 0 { Answered::AsEver } else { Answered::Again };
        (this.failures, this.down) = (0, None);
        (self.staff(route, now), answered)
    }

    /// Why a route is not tried, while it is not.
    pub fn down(&self, route: usize) -> Option<&Down> {
        self.routes.get(route)?.down.as_ref()
    }

    /// Makes ready what has become due; the routes that need more workers, each as often as it needs one.
    pub fn advance(&mut self, now: Timestamp) -> Vec<usize> {
        while let Some(&(due, job)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, job));
            self.routes[job.route].ready.push_back(job);
        }
        let mut needy = Vec::new();
        for route in 0..self.routes.len() {
            let places = self.places(route, now);
            let this = &mut self.routes[route];
            let more = places.saturating_sub(this.workers).min(this.ready.len());
            this.workers += more;
            needy.extend(std::iter::repeat_n(route, more));
        }
        needy
    }

    /// When `advance`, just called, next has something to do.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.waiting.first().map(|(due, _)| *due);
        let crowded = |route: &RouteAgenda| !route.ready.is_empty();
        let probes = self.routes.iter().filter(|r| crowded(r) && r.workers == 0).filter_map(|r| r.down.as_ref());
        // A transaction that becomes slow leaves its place to another.
        let is_full = |r: &RouteAgenda| crowded(r) && r.failures == 0 && (1..r.workers_max).contains(&r.workers);
        let full = (0..self.routes.len()).filter(|route| is_full(&self.routes[*route]));
        let slow = full.flat_map(|route| self.slow_at(route)).filter(|at| *at > now);
        waiting.into_iter().chain(probes.map(|down| down.until)).chain(slow).min()
    }

    /// Makes waiting jobs of these messages due now, and down routes worth a probe. Answers how many waited.
    pub fn hurry(&mut self, ids: &HashSet<MailId>, now: Timestamp) -> usize {
        let chosen = |job: &Job| ids.contains(&job.id);
        let hurried: Vec<_> = self.waiting.iter().filter(|(_, job)| chosen(job)).copied().collect();
        for entry in &hurried {
            self.waiting.remove(entry);
            self.waiting.insert((now, entry.1));
        }
        let wanted: HashSet<usize> = hurried.iter().map(|(_, job)| job.route).collect();
        let mut blocked = 0;
        for (index, route) in self.routes.iter_mut().enumerate() {
            let of_this = route.ready.iter().filter(|job| chosen(job)).count();
            if route.is_down(now) && (of_this > 0 || wanted.contains(&index)) {
                route.down = None;
                blocked += of_this;
            }
        }
        hurried.len() + blocked
    }

    /// Jobs of a route that are ready but cannot be taken while it is down.
    pub fn blocked(&self, route: usize) -> Vec<Job> {
        self.routes[route].ready.iter().copied().collect()
    }

    /// Takes a ready job out of its turn; whether it was there.
    pub fn pull(&mut self, job: Job, now: Timestamp) -> bool {
        let ready = &mut self.routes[job.route].ready;
        let at = ready.iter().position(|other| *other == job);
        let pulled = at.and_then(|at| ready.remove(at));
        self.taken.extend(pulled.map(|job| (job, now)));
        pulled.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u8, route: usize) -> Job {
        Job { id: MailId::from_octets([n; 16]), rendition: 0, route }
    }
    fn at(s: i64) -> Timestamp {
        Timestamp::from_s(s)
    }

    #[test]
    fn workers_are_bounded_and_jobs_come_in_order() {
        let mut agenda = Agenda::new([2]);
        assert_eq!(agenda.add(job(1, 0), at(0), at(0)), Workers::StartOne);
        assert_eq!(agenda.add(job(1, 0), at(0), at(0)), Workers::Suffice, "known");
        assert_eq!(agenda.add(job(2, 0), at(0), at(0)), Workers::StartOne);
        assert_eq!(agenda.add(job(3, 0), at(0), at(0)), Workers::Suffice, "two connections");
        for n in 1..=3 {
            assert_eq!(agenda.take(0, at(0)), Some(job(n, 0)));
        }
        assert!(agenda.is_under_way(&job(1, 0).id) && !agenda.is_under_way(&job(9, 0).id));
        assert_eq!(agenda.take(0, at(0)), None);
        agenda.done(job(1, 0));
        assert!(!agenda.is_under_way(&job(1, 0).id));
        assert_eq!(agenda.worker_ended(0, at(0)), Workers::Suffice);
        assert_eq!(agenda.add(job(1, 0), at(0), at(0)), Workers::StartOne, "done is forgotten");
    }

    #[test]
    fn slow_transactions_leave_their_place_to_others() {
        let mut agenda = Agenda::new([8, 3]);
        let later = |ms: i64| Timestamp::from_ms(at(0).ms() + ms);
        let started = |agenda: &mut Agenda, route: usize| {
            (0..20).filter(|n| agenda.add(job(*n, route), at(0), at(0)) == Workers::StartOne).count()
        };
        assert_eq!([started(&mut agenda, 0), started(&mut agenda, 1)], [QUICK_CONNECTIONS, 3]);
        let taken: Vec<Job> = (0..QUICK_CONNECTIONS).filter_map(|_| agenda.take(0, at(0))).collect();
        assert_eq!(agenda.next_due(at(0)), Some(later(QUICK_MS)));
        assert!(agenda.advance(later(QUICK_MS - 1)).is_empty());
        assert_eq!(agenda.advance(later(QUICK_MS)), [0, 0], "eight is the most");
        assert_eq!(agenda.next_due(later(QUICK_MS)), None, "and there is nothing more to do");
        // Those that were slow are done: the others suffice.
        taken.into_iter().for_each(|job| agenda.done(job));
        let now = later(QUICK_MS);
        assert_eq!(agenda.take(0, now), None);
        assert_eq!(agenda.worker_ended(0, now), Workers::Suffice);
        assert_eq!(agenda.take(0, now), None, "one more is to end");
        assert_eq!(agenda.worker_ended(0, now), Workers::Suffice);
        assert!(agenda.take(0, now).is_some());
    }

    #[test]
    fn what_waits_becomes_ready_in_time() {
        let mut agenda = Agenda::new([1, 1]);
        assert_eq!(agenda.add(job(1, 1), at(10), at(0)), Workers::Suffice);
        assert_eq!(agenda.next_due(at(0)), Some(at(10)));
        assert!(agenda.advance(at(9)).is_empty());
        assert_eq!(agenda.advance(at(10)), [1]);
        assert_eq!(agenda.take(1, at(10)), Some(job(1, 1)));
        assert_eq!(agenda.again(job(1, 1), at(20), at(10)), Workers::Suffice);
        assert_eq!(agenda.worker_ended(1, at(10)), Workers::Suffice);
        assert_eq!(agenda.hurry(&HashSet::from([job(1, 1).id]), at(11)), 1);
        assert_eq!(agenda.advance(at(11)), [1]);
    }

    #[test]
    fn a_dead_route_is_probed_by_one_with_growing_waits() {
        let mut agenda = Agenda::new([5]);
        let until = |now: i64| move |failures: u32| at(now + i64::from(failures) * 10);
        for n in 1..=3 {
            let _ = agenda.add(job(n, 0), at(0), at(0));
        }
        let probe = agenda.take(0, at(0)).expect("a job");
        agenda.unreachable(0, at(0), "refused", until(0));
        assert_eq!(agenda.take(0, at(0)), None, "others do not hammer");
        let _ = agenda.again(probe, at(10), at(0));
        for _ in 0..3 {
            assert_eq!(agenda.worker_ended(0, at(0)), Workers::Suffice);
        }
        assert_eq!(agenda.next_due(at(0)), Some(at(10)));
        assert_eq!(agenda.advance(at(10)), [0]);
        assert!(agenda.advance(at(10)).is_empty(), "one probe");
        assert!(agenda.take(0, at(10)).is_some());
        agenda.unreachable(0, at(10), "refused", until(10));
        assert_eq!(agenda.worker_ended(0, at(10)), Workers::Suffice);
        assert_eq!(agenda.next_due(at(0)), Some(at(30)), "the second wait is longer");
        assert_eq!(agenda.advance(at(30)), [0]);
        assert!(agenda.take(0, at(30)).is_some());
        assert_eq!(agenda.down(0).map(|down| down.reply.as_str()), Some("refused"));
        assert_eq!(agenda.reached(0, at(30)), (Workers::StartOne, Answered::Again), "it answers: more may work");
        assert_eq!(agenda.reached(0, at(30)).1, Answered::AsEver);
        assert_eq!(agenda.down(0), None);
    }

    #[test]
    fn attempts_that_fail_together_are_one_failure() {
        let mut agenda = Agenda::new([3]);
        for n in 1..=3 {
            let _ = agenda.add(job(n, 0), at(0), at(0));
            assert!(agenda.take(0, at(0)).is_some());
        }
        for _ in 0..3 {
            agenda.unreachable(0, at(1), "refused", |failures| at(i64::from(failures) * 60));
        }
        assert_eq!(agenda.down(0).map(|down| down.until), Some(at(60)), "the first wait, not the third");
    }

    #[test]
    fn hurry_frees_a_down_route() {
        let mut agenda = Agenda::new([1]);
        let _ = agenda.add(job(1, 0), at(0), at(0));
        let _ = agenda.add(job(2, 0), at(0), at(0));
        let first = agenda.take(0, at(0)).expect("a job");
        agenda.unreachable(0, at(0), "refused", |_| at(1000));
        let _ = agenda.again(first, at(1000), at(0));
        let _ = agenda.worker_ended(0, at(0));
        assert_eq!(agenda.blocked(0), [job(2, 0)]);
        assert_eq!(agenda.hurry(&HashSet::from([job(2, 0).id]), at(1)), 1);
        assert_eq!(agenda.advance(at(1)), [0]);
        let probe = agenda.take(0, at(1)).expect("the probe");
        agenda.unreachable(0, at(1), "refused", |_| at(1000));
        let _ = agenda.again(probe, at(1000), at(1));
        let _ = agenda.worker_ended(0, at(1));
        assert_eq!(agenda.hurry(&HashSet::from([first.id]), at(2)), 1, "one that waits for its own time, too");
        assert_eq!(agenda.advance(at(2)), [0]);
        let _ = agenda.hurry(&HashSet::from([job(2, 0).id]), at(2));
        let _ = agenda.advance(at(2));
        assert!(agenda.pull(job(2, 0), at(2)) && !agenda.pull(job(2, 0), at(2)));
        assert!(agenda.is_under_way(&job(2, 0).id), "whoever pulls it brings it to an end");
    }
}
