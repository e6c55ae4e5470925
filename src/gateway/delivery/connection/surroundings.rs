//! Surroundings: resolvers, and a short memory of which next hops were silent. Forgetting all of it costs time, never mail.

use crate::gateway::config::{Config, HostPort};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Next hops and domains that are remembered as silent; more, and the memory begins anew.
const FAILING_MAX: usize = 10_000;
/// How long they are remembered at most.
const FAILING: Duration = Duration::from_secs(60);
/// A domain that takes longer than this to answer is tried by one connection alone, so that those who wait for it do not take all of
/// a route's connections.
const SLOW: Duration = Duration::from_secs(10);

/// What is known of the world outside: resolvers with what they remember, and next hops that were silent a moment ago.
#[derive(Default)]
pub struct Surroundings {
    resolvers: Mutex<HashMap<Vec<SocketAddr>, TokioResolver>>,
    failing: Mutex<HashMap<String, Instant>>,
    /// Domains whose hosts are being connected to, and since when each connection tries.
    trying: Mutex<HashMap<String, Vec<Instant>>>,
}

/// Connecting to a domain's hosts; over when it is dropped.
pub struct Trying<'a> {
    surroundings: &'a Surroundings,
    domain: String,
    since: Instant,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let mut trying = self.surroundings.trying();
        let Some(others) = trying.get_mut(&self.domain) else { return };
        if let Some(at) = others.iter().position(|since| *since == self.since) {
            others.swap_remove(at);
        }
        if others.is_empty() {
            trying.remove(&self.domain);
        }
    }
}

impl Surroundings {
    /// Notes that this domain's hosts are being connected to.
    pub fn try_domain(&self, domain: &str) -> Trying<'_> {
        let (domain, since) = (domain.to_owned(), Instant::now());
        self.trying().entry(domain.clone()).or_default().push(since);
        Trying { surroundings: self, domain, since }
    }
    /// Whether somebody has been trying for long.
    pub fn is_slow(&self, domain: &str) -> bool {
        self.trying().get(domain).is_some_and(|all| all.iter().any(|since| since.elapsed() > SLOW))
    }
    fn trying(&self) -> MutexGuard<'_, HashMap<String, Vec<Instant>>> {
        self.trying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resolver that asks these servers, or those of the system.
    pub fn resolver(&self, servers: &[SocketAddr]) -> Result<TokioResolver, String> {
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = resolvers.get(servers) {
            return Ok(resolver.clone());
        }
        let resolver = build(servers).map_err(|e| format!("DNS cannot be asked: {e}"))?;
        resolvers.insert(servers.to_owned(), resolver.clone());
        Ok(resolver)
    }

    /// Next hops in the order to try: those that were silent a moment ago come last.
    pub fn sorted(&self, mut hops: Vec<HostPort>) -> Vec<HostPort> {
        hops.sort_by_key(|hop| self.is_failing(&hop.to_string()));
        hops
    }
    /// Whether this next hop or domain was silent a moment ago.
    pub fn is_failing(&self, key: &str) -> bool {
        self.failing().get(key).is_some_and(|until| Instant::now() < *until)
    }
    /// It was silent. It is remembered for less than a message waits for its next try.
    pub fn fails(&self, key: &str, config: &Config) {
        let wait = Duration::from_secs(config.queue.retry_s.wait_s(1)) / 2;
        let mut failing = self.failing();
        if failing.len() >= FAILING_MAX {
            failing.clear();
        }
        failing.insert(key.to_owned(), Instant::now() + wait.min(FAILING));
    }
    /// It spoke.
    pub fn answers(&self, key: &str) {
        self.failing().remove(key);
    }
    fn failing(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    if servers.is_empty() {
        return TokioResolver::builder_tokio()?.build();
    }
    let server = |address: &SocketAddr| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = address.port());
        NameServerConfig::new(address.ip(), true, connections)
    };
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_being_tried_until_the_last_has_ended() {
        let surroundings = Surroundings::default();
        let (one, two) = (surroundings.try_domain("d.example"), surroundings.try_domain("d.example"));
        drop(one);
        assert!(surroundings.trying().contains_key("d.example") && !surroundings.is_slow("d.example"));
        drop(two);
        assert!(surroundings.trying().is_empty());
    }
}
