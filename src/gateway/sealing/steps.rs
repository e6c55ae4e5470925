//! The steps of the sealer, each of which waits for the disk and may fail.

use crate::clock::Timestamp;
use crate::gateway::acts::settle::Settled;
use crate::gateway::anchoring::memory;
use crate::gateway::observe::Event;
use crate::gateway::post::Post;
use crate::gateway::reading::Reading;
use serde_json::{Value, json};
use std::sync::Arc;

/// Leaves that are not sealed yet and call for a pass whatever their age: each message has a few, and a place in memory until then.
const UNSEALED_LEAVES_MAX: u64 = 3_000;

/// What the sealer does, in its order.
pub trait Steps: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Whether it is time to seal.
    fn is_due(&self) -> bool;
    /// Seals what is durable; a row for whoever asked.
    fn seal(&self) -> Result<Value, String>;
    /// Shows readers what is sealed.
    fn index(&self) -> Result<(), String>;
    /// Goes on with what follows erasures and expiries.
    fn settle(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Those of a running gateway.
pub struct Archiving {
    /// What is shared.
    pub post: Arc<Post>,
    /// The readers' side.
    pub reading: Arc<Reading>,
}

impl Steps for Archiving {
    fn now(&self) -> Timestamp {
        self.post.now()
    }

    /// By the age of the oldest unsealed message, or by the octets or the leaves that are not sealed.
    fn is_due(&self) -> bool {
        let config = self.post.config();
        let journal = self.post.journal();
        let age_s = i64::try_from(config.archive.seal_after_s).unwrap_or(i64::MAX);
        let is_old = journal.oldest_unsealed().is_some_and(|oldest| self.now() >= oldest.plus_s(age_s));
        let unsealed_leaves = journal.durable_leaves().saturating_sub(journal.sealed_through());
        is_old || journal.unsealed_bytes() >= config.archive.seal_bytes || unsealed_leaves >= UNSEALED_LEAVES_MAX
    }

    fn seal(&self) -> Result<Value, String> {
        let post = &self.post;
        // What an import has not marked yet stays in the journal.
        let marked = post.imports().all_marked();
        let target = post.journal().durable_leaves();
        drop(marked);
        let sealed = post.archive().seal_below(target, post.journal(), &**post.clock());
        let report = sealed.map_err(|e| e.to_string())?;
        if report.messages > 0 {
            let detail = format!("{} messages", report.messages);
            post.audit().write(&Event { detail: &detail, ..Event::new(post.now(), "sealed") });
        }
        Ok(json!({"messages": report.messages, "sealed_through": report.sealed_through}))
    }

    fn index(&self) -> Result<(), String> {
        // After every pass, and once it is told that sealing works.
        memory::remember(&**self.post.disk(), &self.post.config(), self.post.archive());
        self.reading.index()
    }

    fn settle(&self) -> Result<(), String> {
        match self.post.settle(|| self.reading.forget())? {
            Settled::All(_) => Ok(()),
            Settled::Waiting(why) => Err(why),
        }
    }
}
