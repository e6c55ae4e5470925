//! Standing: what holds for one recipient after the next hops that were asked so far. Pure.
//!
//! Each next hop's word takes the place of the former one's, with one exception: that a next hop lacks something undoes no deferral
//! by another one, who may yet carry the message.

use super::super::settle::{Fate, Reports};
use crate::smtp::client::{Outcome, Verdict};

/// Where a recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What is to be recorded.
    pub fate: Fate,
    /// By whose word, `host:port`; empty when nobody's.
    pub next_hop: String,
}

impl Standing {
    /// Before anybody was asked.
    pub fn untried() -> Standing {
        Standing::ours(Fate::Deferred { reply: "no next hop was tried".to_owned() })
    }
    /// By nobody's word but ours.
    pub fn ours(fate: Fate) -> Standing {
        Standing { fate, next_hop: String::new() }
    }
    /// A next hop could not be spoken to.
    pub fn silent(&mut self, next_hop: &str, reply: &str) {
        let fate = Fate::Deferred { reply: format!("{next_hop}: {reply}") };
        *self = Standing { fate, next_hop: next_hop.to_owned() };
    }
    /// A transaction with a next hop came to this; `reports` says who tells the sender of more.
    pub fn hear(&mut self, next_hop: &str, outcome: &Outcome, reports: Reports) {
        if outcome.verdict != Verdict::Unfit || !self.waits_for_another(next_hop) {
            *self = Standing { fate: fate(outcome, reports), next_hop: next_hop.to_owned() };
        }
    }

    fn waits_for_another(&self, next_hop: &str) -> bool {
        matches!(self.fate, Fate::Deferred { .. }) && !self.next_hop.is_empty() && self.next_hop != next_hop
    }
}

fn fate(outcome: &Outcome, reports: Reports) -> Fate {
    let reply = outcome.text.clone();
    match outcome.verdict {
        Verdict::Delivered => Fate::Delivered { reply, reports },
        Verdict::Deferred | Verdict::NextTransaction => Fate::Deferred { reply },
        Verdict::InDoubt => Fate::Deferred { reply: format!("perhaps delivered: {reply}") },
        Verdict::Failed | Verdict::Unfit => Fate::Failed { status: outcome.status.clone(), reply },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::client::Origin;
    use Verdict::{Deferred, Delivered, Failed, InDoubt, Unfit};

    /// A word of a next hop; nothing when it is silent.
    type Word = (&'static str, Option<Verdict>);

    /// Next hops are asked in this order; then the fate is of this kind and by the word of this one.
    fn check(words: &[Word], kind: &str, by: &str) {
        let mut standing = Standing::untried();
        for (next_hop, verdict) in words {
            let Some(verdict) = *verdict else {
                standing.silent(next_hop, "refused");
                continue;
            };
            let (status, text) = ("5.6.3".to_owned(), format!("{verdict:?} of {next_hop}"));
            standing.hear(next_hop, &Outcome { verdict, status, text, origin: Origin::Here }, Reports::Nobody);
        }
        let found = match &standing.fate {
            Fate::Delivered { .. } => "delivered",
            Fate::Deferred { .. } => "deferred",
            Fate::Failed { .. } => "failed",
            Fate::Parked { .. } => "parked",
        };
        assert_eq!((found, standing.next_hop.as_str()), (kind, by), "{words:?}");
        let (Fate::Delivered { reply, .. } | Fate::Deferred { reply } | Fate::Failed { reply, .. }) = standing.fate
        else {
            panic!("nothing is parked");
        };
        assert!(reply.contains(by), "{words:?}: {reply}");
    }

    #[test]
    fn what_one_next_hop_lacks_another_may_have() {
        check(&[], "deferred", "");
        check(&[("a", Some(Unfit))], "failed", "a");
        check(&[("a", Some(Unfit)), ("b", Some(Unfit))], "failed", "b");
        check(&[("a", Some(Unfit)), ("b", Some(Delivered))], "delivered", "b");
        check(&[("a", Some(Unfit)), ("b", Some(Failed))], "failed", "b");
        check(&[("a", Some(Unfit)), ("b", Some(InDoubt))], "deferred", "b");
    }

    #[test]
    fn who_was_silent_or_busy_may_have_it_later() {
        for later in [None, Some(Deferred)] {
            check(&[("a", Some(Unfit)), ("b", later)], "deferred", "b");
            check(&[("a", later), ("b", Some(Unfit))], "deferred", "a");
            check(&[("a", Some(Unfit)), ("b", later), ("c", Some(Unfit))], "deferred", "b");
            check(&[("a", later), ("b", Some(Unfit)), ("c", Some(Delivered))], "delivered", "c");
            check(&[("a", later), ("b", Some(Unfit)), ("c", Some(Failed))], "failed", "c");
        }
    }

    /// A connection that was open is dead, and the same next hop is asked over a new one.
    #[test]
    fn a_next_hop_takes_its_own_word_back() {
        check(&[("a", Some(Deferred)), ("a", Some(Unfit))], "failed", "a");
        check(&[("a", None), ("a", Some(Unfit)), ("b", Some(Unfit))], "failed", "b");
        check(&[("a", None), ("b", None), ("a", Some(Unfit))], "deferred", "b");
    }
}
