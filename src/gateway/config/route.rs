//! `[[route]]`: where mail goes, and how.

use super::value::{DomainPattern, NextHops};
use serde::Deserialize;
use std::path::PathBuf;

/// How a route does TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteTls {
    /// Never.
    None,
    /// When offered; any certificate.
    #[default]
    Opportunistic,
    /// Or nothing is sent; any certificate.
    Required,
    /// Or nothing is sent; the certificate must name the host and chain to `ca_file`.
    Verified,
}

/// `[[route]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Recipient domains, `*` for all.
    pub domains: Vec<DomainPattern>,
    /// Where to connect; several are tried in order.
    pub next_hop: NextHops,
    /// How to do TLS.
    #[serde(default)]
    pub tls: RouteTls,
    /// PEM file of the authorities that `verified` trusts.
    pub ca_file: Option<PathBuf>,
    /// Connections at once.
    #[serde(default = "connections")]
    pub connections: usize,
}

/// Without `connections`.
fn connections() -> usize {
    20
}
