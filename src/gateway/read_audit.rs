//! The read audit of a running gateway: waits until a record is durable, and lets the evidence log vouch for the chain's head.

use super::ending::stopping;
use super::ledger::{LOCAL, Ledger};
use super::post::Post;
use crate::access::audit::{AuditLog, Head, Record};
use crate::archive::leaf::Anchor;
use crate::catalog::Recorded;
use crate::clock::Clock;
use crate::crypto::hpke::PublicKey;
use crate::crypto::{self, hash};
use crate::durable::Disk;
use crate::journal::Journal;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// A head that moved is anchored after so long at the latest.
const ANCHOR_AFTER: Duration = Duration::from_secs(3600);
/// Logouts anchor it sooner, but never two within this time.
const ANCHOR_PAUSE: Duration = Duration::from_secs(60);

/// The read audit.
#[derive(Debug)]
pub struct ReadAudit {
    log: AuditLog,
    ended: Notify,
    anchored: Mutex<Option<Head>>,
}

impl ReadAudit {
    /// Starts it in `dir`.
    pub fn start(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<ReadAudit> {
        Ok(ReadAudit { log: AuditLog::start(disk, dir)?, ended: Notify::new(), anchored: Mutex::new(None) })
    }

    /// Waits until a record is durable, or cannot be.
    pub async fn keep(&self, record: Record) -> Recorded {
        let (sender, receiver) = oneshot::channel();
        // Whoever has gone away meanwhile is shown nothing.
        self.log.record(record, Box::new(move |result| drop(sender.send(result))));
        match receiver.await {
            Ok(Ok(_)) => Recorded::Durable,
            Ok(Err(why)) => {
                tracing::warn!("a read is refused: {why}");
                Recorded::Failed
            }
            Err(_) => Recorded::Failed,
        }
    }

    /// The record of a command of this machine, as its `Ledger` made it.
    pub async fn keep_local(&self, record: &str) -> Result<(), String> {
        let record = hash::unhex(record).as_deref().and_then(Record::decode);
        let record = record.filter(|record| record.client == LOCAL).ok_or("no record of a command")?;
        match self.keep(record).await {
            Recorded::Durable => Ok(()),
            Recorded::Failed => Err(self.trouble().unwrap_or_else(|| "the read audit is closed".to_owned())),
        }
    }

    /// A session ends: nobody waits for that to be durable, and the head is anchored soon.
    pub fn end(&self, record: Record) {
        let told = |result: Result<Head, _>| {
            result.map_or_else(|why| tracing::warn!("the end of a session is not recorded: {why}"), drop);
        };
        self.log.record(record, Box::new(told));
        self.ended.notify_one();
    }

    /// Why nobody can read, if so.
    pub fn trouble(&self) -> Option<String> {
        self.log.trouble()
    }

    /// Puts the head into the evidence log, if it moved since the last time. Blocks until that is durable.
    fn anchor(&self, journal: &Journal) -> Result<(), String> {
        let mut anchored = self.anchored.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = self.log.head().filter(|head| head.records > 0 && Some(*head) != *anchored) else {
            return Ok(());
        };
        let leaf = Anchor::AuditHead { records: head.records, chain: head.chain }.to_leaf();
        let leaf = leaf.ok_or("bug: an ANCHOR leaf is too long")?;
        let (sender, receiver) = mpsc::channel();
        journal.append_leaf(leaf, Box::new(move |result| drop(sender.send(result))));
        let index = receiver.recv().map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        tracing::info!("read audit: leaf {index} anchors record {}", head.records);
        *anchored = Some(head);
        Ok(())
    }

    /// Writes what waits, and anchors the last head.
    pub fn close(&self, journal: &Journal) {
        self.log.close();
        self.anchor(journal).unwrap_or_else(|why| tracing::warn!("the head of the read audit is not anchored: {why}"));
    }
}

/// Records of one client's session.
pub fn ledger(post: &Post, client: String) -> Result<Ledger, crypto::Error> {
    let clock: Arc<dyn Clock> = post.clock().clone();
    let public: PublicKey = post.archive().public_key();
    Ledger::new(clock, public, client)
}

/// Anchors the head when the gateway starts, within a minute of a logout, and every hour, until `closing`.
pub async fn anchor(post: Arc<Post>, closing: watch::Receiver<bool>) {
    loop {
        let anchored = tokio::task::block_in_place(|| post.read_audit().anchor(post.journal()));
        anchored.unwrap_or_else(|why| tracing::warn!("the head of the read audit is not anchored: {why}"));
        tokio::select! {
            () = stopping(&closing) => return,
            () = tokio::time::sleep(ANCHOR_PAUSE) => {}
        }
        tokio::select! {
            () = stopping(&closing) => return,
            () = post.read_audit().ended.notified() => {}
            () = tokio::time::sleep(ANCHOR_AFTER - ANCHOR_PAUSE) => {}
        }
    }
}
