//! Whose turn it is to speak with a guest's program: of two processes that hold the same connection one at a time
//! does. Its thread asks before each message; who hands the port over holds it back, and then nothing is in hand.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the thread may take to take up an earlier conversation, or to put out of its hand what is in it.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    allowed: bool,
    busy: bool,
    /// The thread has taken up what there was.
    begun: bool,
    ended: bool,
}

/// The turn of one port's thread; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<(Mutex<State>, Condvar)>);

/// The thread has something in hand.
pub(crate) struct Busy<'a>(&'a Turn);

impl Turn {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    fn wait_while(&self, undone: impl Fn(&State) -> bool) {
        let waited = self.0.1.wait_timeout_while(self.state(), PATIENCE, |state| undone(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the thread may go on; `None` when the port is no more.
    pub(crate) fn take(&self) -> Option<Busy<'_>> {
        let waited = self.0.1.wait_while(self.state(), |state| !state.allowed && !state.ended);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return None;
        }
        state.busy = true;
        Some(Busy(self))
    }

    /// The thread has taken up what there was.
    pub(crate) fn has_begun(&self) {
        self.change(|state| state.begun = true);
    }

    /// Lets the thread go on, and waits until it has taken up an earlier conversation.
    pub(crate) fn allow(&self) {
        self.change(|state| state.allowed = true);
        self.wait_while(|state| !state.begun && !state.ended);
    }

    /// Holds the thread back; when this returns it has nothing in hand, unless that takes unduly long.
    pub(crate) fn hold(&self) {
        self.change(|state| state.allowed = false);
        self.wait_while(|state| state.busy);
    }

    /// Whether the port is no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// The port is no more: the thread waits for nothing.
    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.busy = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_back_has_nothing_in_hand_until_let_go_or_ended() {
        let turn = Turn::default();
        let (told, heard) = std::sync::mpsc::channel();
        let speaker = turn.clone();
        let thread = std::thread::spawn(move || {
            while let Some(busy) = speaker.take() {
                speaker.has_begun();
                told.send(()).unwrap();
                drop(busy);
            }
        });
        assert!(heard.try_recv().is_err());
        turn.allow();
        heard.recv().unwrap();
        turn.hold();
        while heard.try_recv().is_ok() {}
        assert!(heard.recv_timeout(Duration::from_millis(20)).is_err());
        turn.allow();
        heard.recv().unwrap();
        turn.end();
        thread.join().unwrap();
    }
}
