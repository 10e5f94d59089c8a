//! Reads capture files in tcpdump's classic format (libpcap, `pcap-savefile(5)`).

use std::time::Duration;

use anyhow::{Result, bail};

/// One frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Since the Unix epoch.
    pub time: Duration,
    /// From the destination address on, VLAN tags in their place.
    pub bytes: Vec<u8>,
}

/// Reads the whole records of a capture; one that is still being written may end in a part of one.
///
/// # Errors
/// This is no classic capture of Ethernet frames, or a frame was cut short by the snapshot length.
pub fn read(file: &[u8]) -> Result<Vec<Captured>> {
    let nanoseconds = match word(file, 0) {
        Some(0xA1B2_C3D4) => 1000,
        Some(0xA1B2_3C4D) => 1,
        // Not a byte written yet.
        None => return Ok(Vec::new()),
        Some(magic) => bail!("no classic capture of this machine's byte order: magic {magic:#x}"),
    };
    if word(file, 20).is_some_and(|link| link != 1) {
        bail!("not a capture of Ethernet frames");
    }
    let mut frames = Vec::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let (Some(seconds), Some(fraction), Some(kept), Some(length)) =
        (word(rest, 0), word(rest, 4), word(rest, 8), word(rest, 12))
    {
        let Some(bytes) = rest.get(16..16 + kept as usize) else { break };
        if kept != length {
            bail!("a frame of {length} bytes was cut to {kept}");
        }
        let time = Duration::new(u64::from(seconds), fraction.saturating_mul(nanoseconds));
        frames.push(Captured { time, bytes: bytes.to_vec() });
        rest = rest.get(16 + kept as usize..).unwrap_or_default();
    }
    Ok(frames)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}
