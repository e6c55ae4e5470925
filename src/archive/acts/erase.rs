//! Erasure by order: signatures, then everything that forbids it, then the leaves that decide it. Never opens a message.

use super::deed::ORDER_DAYS;
use super::deed::Obstacles;
use super::deed::Run;
use super::deed::Tools;
use super::deed::few;
use super::deed::is_current;
use super::deed::month_text;
use super::deed::slots_of;
use super::leaves::Act;
use super::leaves::Erase;
use super::locate::Covers;
use super::locate::Place;
use super::order::Named;
use super::order::Order;
use super::order::SignedOrder;
use super::signature;
use super::slots::Ranges;
use super::slots::Slots;
use crate::archive::Error;
use crate::archive::files;
use crate::archive::open::Archive;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::sha256;
use std::collections::{BTreeMap, BTreeSet};

/// What an erasure may be.
#[derive(Clone, Copy, Debug)]
pub struct EraseTerms {
    /// Officers who must have signed.
    pub signatures: usize,
    /// Messages at most.
    pub messages_max: usize,
    /// Whether to do it.
    pub run: Run,
}

/// What was erased, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Index of the first ERASE leaf; `None` when there was nothing to do or it was only tried.
    pub act: Option<u64>,
    /// SHA-256 of the order's file.
    pub order: Digest,
    /// Fingerprints of the officers who signed.
    pub signers: Vec<String>,
    /// Messages that go.
    pub messages: Vec<Named>,
    /// Messages of the order that were gone before.
    pub already: usize,
    /// Slots that go: messages and later results.
    pub slots: u64,
}

impl Archive {
    /// Starts an order, to be signed.
    pub fn order(&self, messages: Vec<Named>, reason: &str, now: Timestamp) -> Result<Order, Error> {
        let mut messages = messages;
        messages.sort_unstable();
        messages.dedup();
        let order =
            Order { archive: self.id(), dated: Timestamp::from_s(now.s()), reason: reason.to_owned(), messages };
        // What nobody could read back must not be signed.
        Order::parse(&order.text()).map_err(|what| Error::Order(what.to_string()))?;
        Ok(order)
    }

    /// Carries out an order. The tombs follow at once; should that fail, `settle` goes on with it.
    pub fn erase(&self, tools: &Tools<'_>, signed: &SignedOrder, terms: &EraseTerms) -> Result<Erased, Error> {
        let now = tools.clock.now();
        let order = self.acceptable(signed, now)?;
        let signers = self.signers(signed, terms.signatures, now)?;
        let _pass = self.settled(tools)?;
        let registry = self.acts()?;
        let mut covers = Covers::new(self)?;
        let plan = plan(&mut covers, &order)?;
        let obstacles = Obstacles::now(self, &registry, tools)?;
        let gone = |covers: &Covers<'_>, place: &Place| -> Result<bool, Error> {
            Ok(registry.gone_by(&covers.seal(place.segment)?.segment, place.slot).is_some())
        };
        let (mut messages, mut places) = (Vec::new(), BTreeSet::new());
        for named in &order.messages {
            let units = plan.get(&named.accept_index).ok_or(Error::Bug("a message of the order without a place"))?;
            let mut left = Vec::new();
            for place in units {
                if !gone(&covers, place)? {
                    left.push(*place);
                }
            }
            if !left.is_empty() {
                messages.push(*named);
                places.extend(left);
            }
        }
        if messages.len() > terms.messages_max {
            let (count, most) = (messages.len(), terms.messages_max);
            return Err(Error::Refused(format!("the order is about {count} messages, more than the limit of {most}")));
        }
        self.refuse(&obstacles, &mut covers, &messages, &places)?;
        let octets = signed.encode();
        let order_hash = sha256(&octets);
        let slots = slots_of(&covers, &places)?;
        let slots = Slots::of(slots.into_iter().map(|(segment, slots)| (segment, Ranges::of(slots))).collect());
        let mut erased = Erased {
            act: None,
            order: order_hash,
            signers,
            already: order.messages.len() - messages.len(),
            messages,
            slots: slots.count(),
        };
        if terms.run == Run::Dry || slots.is_empty() {
            return Ok(erased);
        }
        let layout = &self.inner.layout;
        let path = layout.order(&order_hash);
        let file = [(path.clone(), octets)];
        files::write_new(self.inner.disk.as_ref(), &file).map_err(|e| Error::io(layout.name(&path), e))?;
        // Without a leaf that names it an order means nothing.
        let leaf =
            |(part, slots)| Act::Erase(Erase { previous: self.last_act(), part, order: order_hash, at: now, slots });
        let acts: Vec<Act> = (0u32..).zip(slots.parts()).map(leaf).collect();
        erased.act = Some(self.append_acts(tools.journal, &acts)?);
        self.bury_or_later(&slots);
        Ok(erased)
    }

    fn acceptable(&self, signed: &SignedOrder, now: Timestamp) -> Result<Order, Error> {
        let order = signed.order()?;
        if order.archive != self.id() {
            return Err(Error::Order(format!("it is for archive {}, this is {}", order.archive, self.id())));
        }
        if !is_current(order.dated, now) {
            let dated = order.dated.rfc3339();
            return Err(Error::Order(format!("it is dated {dated}; an order holds for {ORDER_DAYS} days")));
        }
        Ok(order)
    }

    fn signers(&self, signed: &SignedOrder, wanted: usize, now: Timestamp) -> Result<Vec<String>, Error> {
        let (good, refused) = signature::signers(signed, &self.generation().officers, now);
        if good.len() >= wanted.max(1) {
            return Ok(good.into_iter().collect());
        }
        let why = if refused.is_empty() { String::new() } else { format!(": {}", few(refused)) };
        let (have, wanted) = (good.len(), wanted.max(1));
        Err(Error::Order(format!("{have} of the {wanted} officers' signatures it needs{why}")))
    }

    /// Everything that forbids it.
    fn refuse(
        &self,
        obstacles: &Obstacles<'_>,
        covers: &mut Covers<'_>,
        messages: &[Named],
        places: &BTreeSet<Place>,
    ) -> Result<(), Error> {
        let (mut holds, mut blind) = (BTreeSet::new(), BTreeSet::new());
        let mut protected = BTreeSet::new();
        for place in places {
            holds.extend(obstacles.holds(covers, *place)?);
            let info = covers.segments().get(place.segment).ok_or(Error::NoSuchUnit)?;
            blind.extend(obstacles.blind(info.seal_index).map(str::to_owned));
            protected.extend(info.seal.protected.filter(|month| obstacles.month < *month));
        }
        if !holds.is_empty() {
            let names: BTreeSet<String> = holds.iter().map(|hold| self.hold_name(hold)).collect();
            let names = few(names);
            return Err(Error::Refused(format!("held by {names}; a hold goes before every order")));
        }
        if !blind.is_empty() {
            let names = few(blind);
            return Err(Error::Refused(format!(
                "standing hold {names} has not been compared with this mail yet; unlock the view and let it index"
            )));
        }
        if let Some(month) = protected.last() {
            let until = month_text(*month);
            return Err(Error::Refused(format!("kept by law until {until}: inside the minimum of its class")));
        }
        let queued = messages.iter().filter(|named| obstacles.queued.contains(&named.accept_index));
        let queued: Vec<String> = queued.map(|named| named.id.to_string()).collect();
        if !queued.is_empty() {
            let ids = few(queued);
            return Err(Error::Refused(format!(
                "still in the delivery queue: {ids}; wait, or take it out with `sealpost queue drop`"
            )));
        }
        Ok(())
    }

    /// Tombs for what a leaf has just taken. A failure here changes nothing about the decision.
    pub(super) fn bury_or_later(&self, slots: &Slots) {
        let segments = slots.segments().map(|(segment, _)| segment).collect();
        if let Err(error) = self.bury(Some(&segments)) {
            tracing::error!(%error, "decided, but key objects are not replaced yet; it is tried again");
        }
    }
}

/// The units of each message of an order. Refuses what no segment covers.
fn plan(covers: &mut Covers<'_>, order: &Order) -> Result<BTreeMap<u64, Vec<Place>>, Error> {
    let mut plan = BTreeMap::new();
    for Named { accept_index, id } in &order.messages {
        let place = covers.message(*accept_index)?;
        let missing = || Error::Refused(format!("there is no sealed message {id} with ACCEPT leaf {accept_index}"));
        plan.insert(*accept_index, vec![place.ok_or_else(missing)?]);
    }
    let accepts: BTreeSet<u64> = plan.keys().copied().collect();
    for (accept_index, place) in covers.events(&accepts)? {
        plan.entry(accept_index).or_default().push(place);
    }
    Ok(plan)
}
