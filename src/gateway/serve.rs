//! `sealpost serve`: opens everything, says "ready", runs until a signal. SIGTERM drains, SIGINT ends, SIGHUP reloads.

use super::anchoring::Anchoring;
use super::control;
use super::control::desk::Desk;
use super::delivery::Delivery;
use super::door::listen::Places;
use super::door::rates::Rates;
use super::door::{self, House};
use super::drills;
use super::ending::{stopping, until};
use super::error::Error;
use super::post::{self, Post, Rooms};
use super::read_audit;
use super::reading::Reading;
use super::scrubbing::Scrubbing;
use super::sealing::Sealing;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long sessions and transactions under way may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

/// How often it is looked whether the view is to be locked.
const OFFICERS_WATCHED: Duration = Duration::from_millis(500);
/// How often it is looked whether a drill is overdue.
const DRILLS_WATCHED: Duration = Duration::from_secs(24 * 3600);

/// Runs a gateway in the foreground.
pub fn serve(config: &Path) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Error::of("runtime", e))?.block_on(run(config))
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Drain,
    End,
    Reload,
}

/// How it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// When what is under way has ended.
    Drained,
    /// Without waiting for anybody.
    AtOnce,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Error> {
        let on = |kind| signal(kind).map_err(|e| Error::of("signals", e));
        Ok(Signals {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hup: on(SignalKind::hangup())?,
        })
    }
    async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.term.recv() => Ask::Drain,
            _ = self.int.recv() => Ask::End,
            _ = self.hup.recv() => Ask::Reload,
        }
    }
}

async fn run(config: &Path) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let (post, accepted) = tokio::task::block_in_place(|| Post::open(config, Rooms::default()))?;
    let post = Arc::new(post);
    let (close, closing) = watch::channel(false);
    let reading = Arc::new(tokio::task::block_in_place(|| Reading::open(&post)));
    let delivery = Delivery::new(post.clone(), closing.clone());
    let sealing = Sealing::start(post.clone(), reading.clone(), closing.clone());
    let anchoring = Anchoring::start(post.clone(), closing.clone());
    let scrubbing = Scrubbing::start(post.clone(), closing.clone());
    let doors = door::open(&post)?;
    let house = House {
        post: post.clone(),
        rates: Arc::new(Rates::new(&post.config().limits)),
        reading: reading.clone(),
        closing: closing.clone(),
        sessions: watch::channel(0).0,
    };
    tokio::spawn(watch_officers(post.clone(), reading.clone(), closing.clone()));
    let desk = Desk {
        post: post.clone(),
        delivery: delivery.clone(),
        sealing: sealing.clone(),
        reading,
        anchoring,
        scrubbing,
        closing: closing.clone(),
    };
    open_control(&post, desk)?;
    let places = Places::new(&post.config().limits);
    for (door, socket) in doors {
        tokio::spawn(door::attend(house.clone(), door, socket, places.clone()));
    }
    tokio::spawn(delivery.clone().run(accepted));
    tokio::spawn(read_audit::anchor(post.clone(), closing.clone()));
    ready();
    let ending = until_stopped(&mut signals, &post).await;
    // The readers of this channel may all have ended already.
    let _told = close.send(true);
    match ending {
        Ending::AtOnce => tracing::info!("SIGINT: ending at once"),
        Ending::Drained => {
            tracing::info!("SIGTERM: no new connections; ending when what is under way has ended");
            drain(&mut signals, &house, &delivery, &sealing).await;
        }
    }
    stop(&post)?;
    tracing::info!("ended; what is not delivered or sealed waits in the journal");
    Ok(())
}

/// Locks the view when its time is over, and tells at the start and once a day when a drill is overdue.
async fn watch_officers(post: Arc<Post>, reading: Arc<Reading>, closing: watch::Receiver<bool>) {
    let mut drill_at = Instant::now();
    loop {
        tokio::task::block_in_place(|| {
            reading.expire(Instant::now());
            if drill_at <= Instant::now() {
                let path = post::Places::of(&post.config()).drills;
                drills::watch(&**post.disk(), &path, &post.archive().generation(), post.now());
                drill_at += DRILLS_WATCHED;
            }
        });
        tokio::select! {
            () = stopping(&closing) => return,
            () = tokio::time::sleep(OFFICERS_WATCHED) => {}
        }
    }
}

fn ready() {
    eprintln!("ready");
    if let Err(e) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!("sd-notify: {e}");
    }
}

fn open_control(post: &Arc<Post>, desk: Desk) -> Result<(), Error> {
    let path = post::Places::of(&post.config()).control;
    let fault = |e: std::io::Error| Error::io(&path, &e);
    if let Some(run) = path.parent() {
        post.disk().create_dir(run).map_err(fault)?;
    }
    let listener = control::bind(&path).map_err(fault)?;
    tokio::spawn(desk.attend(listener));
    Ok(())
}

async fn until_stopped(signals: &mut Signals, post: &Arc<Post>) -> Ending {
    loop {
        match signals.next().await {
            // A reload that fails has been logged, and the gateway goes on as before.
            Ask::Reload => drop(reload(post)),
            Ask::Drain => return Ending::Drained,
            Ask::End => return Ending::AtOnce,
        }
    }
}

/// Takes the new version of everything, or keeps the old and says why.
pub fn reload(post: &Arc<Post>) -> Result<(), Error> {
    tokio::task::block_in_place(|| post.reload())
        .inspect_err(|e| tracing::error!("not reloaded, everything stays as it was: {}", e.line()))
}

/// Lets what is under way end: until it has, or for so long, or until a second signal.
async fn drain(signals: &mut Signals, house: &House, delivery: &Delivery, sealing: &Sealing) {
    let ended = async {
        until(&house.sessions, |sessions| *sessions == 0).await;
        delivery.drained().await;
        sealing.ended().await;
    };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("ending with sessions still open"),
        _ = signals.next() => tracing::warn!("ending at once"),
    }
}

/// What is queued in the journal becomes durable, and its threads end. Commands that come now find nobody.
fn stop(post: &Arc<Post>) -> Result<(), Error> {
    let control = post::Places::of(&post.config()).control;
    tokio::task::block_in_place(|| {
        post.read_audit().close(post.journal());
        post.journal().clone().close();
        match std::fs::remove_file(&control) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&control, &e)),
            _ => Ok(()),
        }
    })
}
