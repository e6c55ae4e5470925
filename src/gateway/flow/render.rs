//! Step 4, render: the octets each group of recipients gets. Cryptography runs on threads of its own, so that sessions and
//! timers go on; without any, and when nothing was stripped, nothing is copied and no thread is changed.

use super::gather::Gathered;
use super::loops::{Base, State};
use super::plan::Planned;
use super::replies;
use crate::gateway::post::Post;
use crate::gateway::room::Taken;
use crate::journal::RenditionDraft;
use crate::keyring::{RecipientKey, SigningKey};
use crate::policy::Treatment;
use crate::protect::{self, Job};
use crate::smtp::server::Reply;
use std::sync::Arc;

/// What was rendered, and the room it stands in until it is durable.
#[derive(Default)]
pub struct Made<'p> {
    /// One for each group.
    pub renditions: Vec<RenditionDraft>,
    /// Nothing when nothing was rendered.
    pub room: Taken<'p>,
}

/// What goes into every rendition.
#[derive(Clone, Copy, Debug)]
pub struct Top<'a> {
    /// The message.
    pub base: &'a Base,
    /// What stands on top of it.
    pub block: &'a [u8],
}

/// One rendition to make, with its keys.
struct Order {
    recipients: Vec<u32>,
    treatment: Treatment,
    signer: Option<Arc<SigningKey>>,
    keys: Vec<Arc<RecipientKey>>,
}

/// Why there are no renditions.
#[derive(Debug)]
pub enum Fault {
    /// The message cannot be signed as it is: a fact the policy has not known.
    Unsignable(String),
    /// Nothing can be done about it here.
    Reply(Reply),
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Fault {
        Fault::Reply(reply)
    }
}

/// Renders every group.
pub async fn render<'p>(
    post: &'p Arc<Post>,
    planned: Vec<Planned>,
    gathered: &Gathered,
    top: Top<'_>,
) -> Result<Made<'p>, Fault> {
    let Top { base: Base { octets, state }, block } = top;
    let state = *state;
    if planned.iter().all(|group| !is_made(group, state)) {
        let plain =
            |group: Planned| RenditionDraft { recipients: group.recipients, prefix: block.to_vec(), content: None };
        return Ok(Made { renditions: planned.into_iter().map(plain).collect(), room: None });
    }
    let bytes = rendered_bytes(&planned, state, octets.len());
    if !post.rooms().renditions.holds(bytes) {
        return Err(replies::TOO_MANY_RENDITIONS.clone().into());
    }
    let room = post.rooms().renditions.take_within(bytes, post.rooms().wait).await;
    let room = Some(room.ok_or_else(|| replies::NO_ROOM.clone())?);
    let orders: Vec<Order> = planned.into_iter().map(|group| order(group, gathered)).collect::<Result<_, _>>()?;
    let signs = planned_signs(&orders);
    let (block, now, octets) = (block.to_vec(), post.now(), octets.clone());
    let _permit = post.rendering().acquire().await.map_err(|e| replies::bug("the rendering pool is closed", &e))?;
    let work = tokio::task::spawn_blocking(move || {
        orders.into_iter().map(|order| rendition(order, &octets, state, &block, now)).collect::<Result<Vec<_>, _>>()
    });
    match work.await {
        Ok(Ok(renditions)) => Ok(Made { renditions, room }),
        Ok(Err(e)) if signs && e.class() == protect::Class::Reject => Err(Fault::Unsignable(e.to_string())),
        Ok(Err(e)) => Err(replies::of_protect(&e).into()),
        Err(e) => Err(replies::bug("rendering panicked", &e).into()),
    }
}

/// Whether a group gets other octets than those received.
fn is_made(group: &Planned, state: State) -> bool {
    group.treatment != Treatment::Plain || state == State::Stripped
}

/// About what all renditions take: base64 makes four octets of three, and lines of them.
fn rendered_bytes(planned: &[Planned], state: State, message_bytes: usize) -> u64 {
    let made = planned.iter().filter(|group| is_made(group, state)).count();
    let each = u64::try_from(message_bytes).unwrap_or(u64::MAX).saturating_mul(3) / 2;
    each.saturating_mul(u64::try_from(made).unwrap_or(u64::MAX))
}

fn planned_signs(orders: &[Order]) -> bool {
    orders.iter().any(|order| order.treatment.signs())
}

/// Pairs a group with its keys. The ruling said they are there; should one be missing all the same, nothing is sent.
fn order(group: Planned, gathered: &Gathered) -> Result<Order, Reply> {
    let missing = || replies::bug("a ruling names a key that is not there", &format!("{:?}", group.treatment));
    let mut order =
        Order { recipients: group.recipients.clone(), treatment: group.treatment, signer: None, keys: Vec::new() };
    let Some(format) = group.treatment.format() else { return Ok(order) };
    if group.treatment.signs() {
        order.signer = Some(gathered.signing_keys.of(format).ok_or_else(missing)?.clone());
    }
    if group.treatment.encrypts() {
        for &recipient in &group.recipients {
            let keys = usize::try_from(recipient).ok().and_then(|at| gathered.recipient_keys.get(at));
            order.keys.push(keys.and_then(|keys| keys.of(format)).ok_or_else(missing)?.clone());
        }
    }
    Ok(order)
}

fn rendition(
    order: Order,
    octets: &[u8],
    state: State,
    block: &[u8],
    now: crate::clock::Timestamp,
) -> Result<RenditionDraft, protect::Error> {
    let content = match order.treatment {
        Treatment::Plain if state == State::AsReceived => None,
        treatment => {
            let recipients: Vec<&RecipientKey> = order.keys.iter().map(|key| &**key).collect();
            let signer = order.signer.as_deref();
            Some(protect::render(&Job { original: octets, treatment, signer, recipients: &recipients, now })?)
        }
    };
    Ok(RenditionDraft { recipients: order.recipients, prefix: block.to_vec(), content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Format::Smime;

    #[test]
    fn only_what_is_rendered_takes_room() {
        let group = |treatment| Planned { recipients: vec![0], treatment };
        let planned = [
            group(Treatment::Plain),
            group(Treatment::Sign(Smime)),
            group(Treatment::Encrypt(Smime)),
            group(Treatment::SignAndEncrypt(Smime)),
        ];
        assert_eq!(rendered_bytes(&planned, State::AsReceived, 1000), 4500);
        assert_eq!(rendered_bytes(&planned, State::Stripped, 1000), 6000);
        assert_eq!(rendered_bytes(&planned[..1], State::AsReceived, usize::MAX), 0);
        assert_eq!(rendered_bytes(&planned, State::AsReceived, 0), 0);
    }
}
