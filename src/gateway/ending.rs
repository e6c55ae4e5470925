//! Waiting for things to end.

use tokio::sync::watch;

/// Waits until the gateway stops.
pub async fn stopping(closing: &watch::Receiver<bool>) {
    let mut closing = closing.clone();
    // A sender that is gone has stopped too.
    let _stopping = closing.wait_for(|closing| *closing).await;
}

/// Waits until what is watched is so.
pub async fn until<T>(watched: &watch::Sender<T>, is_so: impl FnMut(&T) -> bool) {
    let mut watching = watched.subscribe();
    // The sender is borrowed, so the channel cannot close meanwhile.
    let _so = watching.wait_for(is_so).await;
}
