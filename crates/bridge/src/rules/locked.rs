//! Locked ports: who has no entry there may not send (802.1X, MAC authentication bypass;
//! `br_handle_frame_finish` in `net/bridge/br_input.c`).

use crate::fdb::{EntryKind, Fdb, Key};
use crate::port::PortId;
use crate::settings::PortSettings;

/// What a locked port makes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may send.
    Open,
    /// It may not, and leaves no trace.
    Shut,
    /// It may not, and gets a locked entry, or keeps the one it has.
    Noted,
}

/// Whether the source may send on a port with these settings.
#[cold]
pub(crate) fn judge(fdb: &Fdb, settings: &PortSettings, port: PortId, source: Key) -> Gate {
    let noted = if settings.mab { Gate::Noted } else { Gate::Shut };
    match fdb.entry(source) {
        None => noted,
        Some((found, kind)) if found.port != port || kind == EntryKind::Local => Gate::Shut,
        Some((_, EntryKind::Locked)) => noted,
        Some(_) => Gate::Open,
    }
}
