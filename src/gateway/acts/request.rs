//! What a command asks to be done to sealed mail, as it travels over the control socket.

use serde::{Deserialize, Serialize};

/// An act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActRequest {
    /// Put messages under a hold.
    Hold(HoldRequest),
    /// End a hold.
    Release {
        /// The hold.
        name: String,
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
    },
    /// Carry out an order.
    Erase(EraseRequest),
    /// Expire what is due.
    Expire(ExpireRequest),
}

/// Messages for a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// The hold.
    pub name: String,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// For a standing hold, its query.
    pub query: Option<String>,
    /// The SEAL leaf through which the query was answered.
    pub seen: Option<u64>,
    /// The messages.
    pub accepts: Accepts,
}

/// An order to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseRequest {
    /// The order as it was brought, in hexadecimal.
    pub order: String,
    /// Detached signatures, in hexadecimal.
    pub signatures: Vec<String>,
    /// Messages at most.
    pub limit: usize,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub by: String,
}

/// What is to expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireRequest {
    /// Only this class.
    pub class: Option<String>,
    /// Only buckets before this month (year * 12 + month - 1).
    pub before: Option<u32>,
    /// Messages at most.
    pub limit: u64,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub by: String,
}

/// ACCEPT indices: `[first, count, first, count, ...]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepts(Vec<u64>);

/// ACCEPT indices of one request at most.
pub const ACCEPTS_MAX: u64 = 10_000_000;

impl Accepts {
    /// Of indices in any order.
    pub fn of(indices: impl IntoIterator<Item = u64>) -> Accepts {
        let mut indices: Vec<u64> = indices.into_iter().collect();
        indices.sort_unstable();
        indices.dedup();
        let mut flat: Vec<u64> = Vec::new();
        for index in indices {
            match flat.as_mut_slice() {
                [.., first, count] if *first + *count == index => *count += 1,
                _ => flat.extend([index, 1]),
            }
        }
        Accepts(flat)
    }
    /// All indices, as far as the bound goes; what does not fit the form is left out.
    pub fn slots(&self) -> impl Iterator<Item = u64> + '_ {
        let ranges = self.0.chunks_exact(2).map(|pair| pair[0]..pair[0].saturating_add(pair[1].min(ACCEPTS_MAX)));
        ranges.flatten().take(usize::try_from(ACCEPTS_MAX).unwrap_or(usize::MAX))
    }
}

impl ActRequest {
    /// Who asks.
    pub fn by(&self) -> &str {
        match self {
            ActRequest::Hold(HoldRequest { by, .. })
            | ActRequest::Release { by, .. }
            | ActRequest::Erase(EraseRequest { by, .. })
            | ActRequest::Expire(ExpireRequest { by, .. }) => by,
        }
    }
    /// Its name.
    pub fn word(&self) -> &'static str {
        match self {
            ActRequest::Hold(_) => "hold",
            ActRequest::Release { .. } => "release",
            ActRequest::Erase(_) => "erase",
            ActRequest::Expire(_) => "expire",
        }
    }
    /// Whether it may leave something to be completed.
    pub fn takes(&self) -> bool {
        match self {
            ActRequest::Hold(_) | ActRequest::Release { .. } => false,
            ActRequest::Erase(EraseRequest { dry_run, .. }) | ActRequest::Expire(ExpireRequest { dry_run, .. }) => {
                !dry_run
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_travel_as_ranges() {
        let accepts = Accepts::of([9, 3, 4, 5, 4]);
        assert_eq!(accepts.0, [3, 3, 9, 1]);
        assert_eq!(accepts.slots().collect::<Vec<_>>(), [3, 4, 5, 9]);
        assert_eq!(Accepts(vec![7]).slots().count(), 0);
        assert_eq!(Accepts(vec![0, u64::MAX, 5, u64::MAX]).slots().count() as u64, ACCEPTS_MAX);
    }

    #[test]
    fn requests_read_back() {
        let hold = HoldRequest {
            name: "case".into(),
            by: "root".into(),
            reason: "r".into(),
            query: Some("from:a".into()),
            seen: None,
            accepts: Accepts::of([1]),
        };
        for request in
            [ActRequest::Hold(hold), ActRequest::Release { name: "case".into(), by: "root".into(), reason: "r".into() }]
        {
            let text = serde_json::to_string(&request).expect("JSON");
            assert_eq!(serde_json::from_str::<ActRequest>(&text).expect("read"), request);
        }
    }
}
