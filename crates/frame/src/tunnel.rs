//! What stands between an outer IP header and an inner frame or packet: VXLAN (RFC 7348), Geneve
//! (RFC 8926) and GRE (RFC 2784, RFC 2890). IP directly in IP needs nothing of its own.

use crate::headers::{Next, UDP_HEADER, be16, byte};
use crate::{EtherType, FinishFault};

/// The UDP port by which Geneve is told from VXLAN, whose port is often another than its 4789.
const GENEVE_PORT: u16 = 6081;
const GENEVE_HEADER: usize = 8;
const VXLAN_HEADER: usize = 8;
/// "The VNI is valid", set in every VXLAN header.
const VXLAN_VNI: u8 = 0x08;

const GRE_HEADER: usize = 4;
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;

/// What the UDP header at `at` carries, and where that starts.
pub(crate) fn udp(bytes: &[u8], at: usize) -> Result<(Next, usize), FinishFault> {
    let inside = at + UDP_HEADER;
    if be16(bytes, at + 2)? != GENEVE_PORT {
        if byte(bytes, inside)? & VXLAN_VNI == 0 {
            return Err(FinishFault::UnknownHeader);
        }
        return Ok((Next::Ethernet, inside + VXLAN_HEADER));
    }
    let first = byte(bytes, inside)?;
    if first >> 6 != 0 {
        return Err(FinishFault::UnknownHeader);
    }
    let options = usize::from(first & 0x3f) * 4;
    Ok((carried(be16(bytes, inside + 2)?), inside + GENEVE_HEADER + options))
}

/// What the GRE header at `at` carries, and where that starts.
pub(crate) fn gre(bytes: &[u8], at: usize) -> Result<(Next, usize), FinishFault> {
    let fields = GreFields::of(be16(bytes, at)?).ok_or(FinishFault::UnknownHeader)?;
    Ok((carried(be16(bytes, at + 2)?), at + fields.len))
}

/// GRE and Geneve name what they carry by EtherType.
fn carried(ethertype: u16) -> Next {
    match EtherType(ethertype) {
        EtherType::BRIDGED_ETHERNET => Next::Ethernet,
        other => Next::EtherType(other),
    }
}

/// The optional fields of a GRE header, as offsets from its start.
pub(crate) struct GreFields {
    pub(crate) checksum: Option<usize>,
    pub(crate) sequence: Option<usize>,
    /// Bytes of the whole header.
    pub(crate) len: usize,
}

impl GreFields {
    /// Reads them from the first 16 bits; `None` for another version than 0 or source routing.
    pub(crate) fn of(flags: u16) -> Option<Self> {
        if flags & !(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE) != 0 {
            return None;
        }
        let mut len = GRE_HEADER;
        let mut field = |flag| {
            let at = len;
            (flags & flag != 0).then(|| {
                len += 4;
                at
            })
        };
        let checksum = field(GRE_CHECKSUM);
        field(GRE_KEY);
        let sequence = field(GRE_SEQUENCE);
        Some(Self { checksum, sequence, len })
    }
}
