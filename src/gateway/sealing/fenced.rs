//! What happens when a step of the sealer meets a bug of ours: it has failed, as by any other cause, and can be tried again.

use tokio::task::JoinError;

/// Runs one step on a thread where it may wait for the disk.
pub async fn fenced<T: Send + 'static>(step: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(step).await.unwrap_or_else(|ended| Err(format!("bug: {}", said(ended))))
}

/// What a panic said, without the number of its task: the same bug has the same text each time.
fn said(ended: JoinError) -> String {
    let payload = match ended.try_into_panic() {
        Ok(payload) => payload,
        Err(cancelled) => return cancelled.to_string(),
    };
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_with_the_same_text_each_time() {
        assert_eq!(fenced(|| Ok(1)).await, Ok(1));
        assert_eq!(fenced(|| Err::<(), _>("no disk".to_owned())).await, Err("no disk".to_owned()));
        for _ in 0..2 {
            assert_eq!(fenced::<()>(|| panic!("slot")).await, Err("bug: slot".to_owned()));
            let slot = 3;
            assert_eq!(fenced::<()>(move || panic!("slot {slot}")).await, Err("bug: slot 3".to_owned()));
            let wordless = || std::panic::resume_unwind(Box::new(3));
            assert_eq!(fenced::<()>(wordless).await, Err("bug: a panic without words".to_owned()));
        }
    }
}
