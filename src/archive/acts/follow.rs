//! The acts as the catalog follows them: which messages came under holds, which are gone. Needs no key.

use super::leaves::{Act, Erase, Expire};
use super::locate::Covers;
use super::locate::Place;
use super::slots::Slots;
use crate::archive::Error;
use crate::archive::layout::HoldId;
use crate::archive::open::Archive;

/// One act, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Messages, by ACCEPT index, came under a hold.
    Held(HoldId, Vec<u64>),
    /// A hold ended.
    Released(HoldId),
    /// Messages, by ACCEPT index, are gone.
    Gone(Vec<u64>),
}

impl Archive {
    /// The acts behind a leaf, all for `None`, in order; and the newest act leaf there is.
    pub fn followed(&self, after: Option<u64>) -> Result<(Vec<Followed>, Option<u64>), Error> {
        let registry = self.acts()?;
        let mut covers = None;
        let mut followed = Vec::new();
        for (_, act) in registry.acts_after(after) {
            match act {
                Act::Release(release) => followed.push(Followed::Released(release.hold)),
                Act::Hold(hold) => {
                    followed.push(Followed::Held(hold.hold, messages(self, &mut covers, &hold.slots)?));
                }
                Act::Erase(Erase { slots, .. }) | Act::Expire(Expire { slots, .. }) => {
                    followed.push(Followed::Gone(messages(self, &mut covers, slots)?));
                }
            }
        }
        Ok((followed, registry.newest()))
    }
}

/// The messages among slots.
fn messages<'a>(archive: &'a Archive, covers: &mut Option<Covers<'a>>, slots: &Slots) -> Result<Vec<u64>, Error> {
    let covers = match covers {
        Some(covers) => covers,
        none => none.insert(Covers::new(archive)?),
    };
    let mut accepts = Vec::new();
    for (segment, ranges) in slots.segments() {
        // A segment lost to damage has its own finding.
        let Some(number) = covers.number(&segment) else { continue };
        let below = covers.seal(number)?.messages;
        for slot in ranges.slots().filter(|slot| *slot < below) {
            accepts.push(covers.accept_index(Place { segment: number, slot })?);
        }
    }
    Ok(accepts)
}
