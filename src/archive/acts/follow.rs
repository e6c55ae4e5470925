//! The acts as the catalog follows them: which messages came under holds, which are gone. Needs no key.

use super::leaves::Act;
use super::locate::Covers;
use super::locate::Place;
use super::slots::Ranges;
use crate::archive::Error;
use crate::archive::layout::HoldId;
use crate::archive::layout::SegmentId;
use crate::archive::open::Archive;

/// One act, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Messages, by ACCEPT index, came under a hold.
    Held(HoldId, Vec<u64>),
    /// A hold ended.
    Released(HoldId),
    /// Slots of a segment are gone.
    Gone(SegmentId, Ranges),
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
                    let covers = match &mut covers {
                        Some(covers) => covers,
                        none => none.insert(Covers::new(self)?),
                    };
                    let mut accepts = Vec::new();
                    for (segment, ranges) in hold.slots.segments() {
                        // A segment lost to damage has its own finding.
                        let Some(number) = covers.number(&segment) else { continue };
                        let messages = covers.seal(number)?.messages;
                        for slot in ranges.slots().filter(|slot| *slot < messages) {
                            accepts.push(covers.accept_index(Place { segment: number, slot })?);
                        }
                    }
                    followed.push(Followed::Held(hold.hold, accepts));
                }
                Act::Erase(_) | Act::Expire(_) => {
                    let gone = act.gone().into_iter().flat_map(|slots| slots.segments());
                    followed.extend(gone.map(|(segment, ranges)| Followed::Gone(segment, ranges.clone())));
                }
            }
        }
        Ok((followed, registry.newest()))
    }
}
