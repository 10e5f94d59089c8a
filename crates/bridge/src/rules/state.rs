//! The state of a port (IEEE 802.1D 7.4; `br_handle_frame` in `net/bridge/br_input.c`).

/// What a port does with frames. Without spanning tree, whoever configures the switch says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PortState {
    /// Nothing.
    Disabled,
    /// Nothing, but it takes part in protocols.
    Blocking,
    /// As blocking, on the way to learning.
    Listening,
    /// It learns from frames, and forwards none.
    Learning,
    /// Everything.
    #[default]
    Forwarding,
}

impl PortState {
    /// The word for it, as `bridge link` shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Blocking => "blocking",
            Self::Listening => "listening",
            Self::Learning => "learning",
            Self::Forwarding => "forwarding",
        }
    }

    /// Whether frames from the port teach.
    pub(crate) const fn learns(self) -> bool {
        matches!(self, Self::Learning | Self::Forwarding)
    }
}
