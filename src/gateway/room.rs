//! Room in memory for what is large, shared by all sessions (P10): who finds none waits for it, and small mail passes by.
//! Never hands out more than there is.

use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Octets of one unit.
const UNIT_BYTES: u64 = 64 * 1024;

/// So many octets.
#[derive(Debug)]
pub struct Room {
    free: Semaphore,
    units: u32,
}

/// Part of a room; given back on drop.
pub type Taken<'a> = Option<SemaphorePermit<'a>>;

impl Room {
    /// A room for `bytes` octets.
    pub fn new(bytes: u64) -> Room {
        let units = units(bytes);
        Room { free: Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX)), units }
    }
    /// Whether `bytes` octets would fit if nothing else were there.
    pub fn holds(&self, bytes: u64) -> bool {
        units(bytes) <= self.units
    }
    /// The same, but not for ever: `None` when there was no room for so long.
    pub async fn take_within(&self, bytes: u64, limit: Duration) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(limit, self.take(bytes)).await.ok().flatten()
    }
    /// Waits until there is room for `bytes` octets; what is larger than the whole waits for all of it.
    pub async fn take(&self, bytes: u64) -> Taken<'_> {
        // Nobody closes the semaphore.
        self.free.acquire_many(units(bytes).min(self.units)).await.ok()
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_bounded_and_comes_back() {
        let room = Room::new(10 * UNIT_BYTES);
        assert!(room.holds(10 * UNIT_BYTES) && !room.holds(10 * UNIT_BYTES + 1));
        let most = room.take(9 * UNIT_BYTES).await;
        let _nothing = room.take(0).await;
        let last = room.take(1).await;
        assert!(room.take_within(1, Duration::from_millis(20)).await.is_none(), "full");
        drop(most);
        let again = room.take(9 * UNIT_BYTES).await;
        drop((again, last));
        let _all = room.take(u64::MAX).await;
        let waits = tokio::time::timeout(Duration::from_millis(20), room.take(1)).await;
        assert!(waits.is_err(), "what is larger than the room takes all of it");
    }
}
