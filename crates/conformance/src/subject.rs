//! What is tested: anything that takes steps and shows what came of them.

use anyhow::Result;
use frame::MacAddr;

use crate::step::{End, Entry, Member, Step};

/// Where a frame came out, and its bytes.
pub type Delivery = (End, Vec<u8>);

/// What there is to see of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What came out since the last [`Subject::apply`], in order of ends and bytes.
    pub frames: Vec<Delivery>,
    /// The FDB, in order.
    pub fdb: Vec<Entry>,
    /// How long entries that age have been silent, in milliseconds.
    pub ages: Vec<(MacAddr, u64)>,
    /// The VLANs of all ports, in order, where they are told apart.
    pub vlans: Vec<Member>,
}

/// A bridge of some kind.
pub trait Subject {
    /// What it is, for messages.
    fn name(&self) -> &'static str;

    /// Carries out a step. Says whether it was accepted; frames and waits always are.
    ///
    /// # Errors
    /// The test itself failed: a refused command is none.
    fn apply(&mut self, step: &Step) -> Result<bool>;

    /// What has come of it by now.
    ///
    /// # Errors
    /// The test itself failed.
    fn view(&mut self) -> Result<View>;

    /// What it has counted, to be shown with a difference.
    fn account(&mut self) -> String {
        String::new()
    }

    /// Looks at what must hold at the end of every case.
    ///
    /// # Errors
    /// It does not hold.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A bridge behind a pointer is the bridge, to the last method.
macro_rules! passed_on {
    ($($pointer:ty),*) => {$(
        impl<S: Subject + ?Sized> Subject for $pointer {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            fn apply(&mut self, step: &Step) -> Result<bool> {
                (**self).apply(step)
            }

            fn view(&mut self) -> Result<View> {
                (**self).view()
            }

            fn account(&mut self) -> String {
                (**self).account()
            }

            fn finish(&mut self) -> Result<()> {
                (**self).finish()
            }
        }
    )*};
}

passed_on!(&mut S, Box<S>);
