//! Captures in the form of pcapng (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump read: the blocks that
//! a switch writes, and where one ends. All numbers are little-endian.

/// Longest block that is believed, in bytes: the longest frame, and room for words.
pub const MAX_BLOCK: usize = 128 * 1024;

/// Bytes of a packet's block before the frame's own.
pub const PACKET_HEAD: usize = 28;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const SHB_USERAPPL: u16 = 4;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Which way a frame went at the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the switch.
    In,
    /// Out of it.
    Out,
}

/// What one interface of a capture has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that were to be captured.
    pub received: u64,
    /// Those of them that were not, for want of room.
    pub missed: u64,
}

impl Tally {
    /// Adds what was seen by somebody else.
    pub fn join(&mut self, other: Self) {
        self.received += other.received;
        self.missed += other.missed;
    }
}

/// The block that begins a capture; `program` is who writes it.
#[must_use]
pub fn section(program: &str) -> Vec<u8> {
    let options = options(&[(SHB_USERAPPL, program.as_bytes())]);
    // Version 1.0, of a length that is not known.
    block(SECTION, &[&BYTE_ORDER.to_le_bytes(), &[1, 0, 0, 0], &u64::MAX.to_le_bytes(), &options])
}

/// The block of an interface: its name, how much of a frame is kept at most, and that times are in nanoseconds.
#[must_use]
pub fn interface(name: &str, snaplen: u32) -> Vec<u8> {
    let options = options(&[(IF_NAME, name.as_bytes()), (IF_TSRESOL, &[9])]);
    block(INTERFACE, &[&ETHERNET.to_le_bytes(), &[0, 0], &snaplen.to_le_bytes(), &options])
}

/// The block that says at the end what an interface has seen.
#[must_use]
pub fn statistics(interface: u32, nanoseconds: u64, tally: Tally) -> Vec<u8> {
    let (received, missed) = (tally.received.to_le_bytes(), tally.missed.to_le_bytes());
    let options = options(&[(ISB_IFRECV, &received), (ISB_IFDROP, &missed)]);
    block(STATISTICS, &[&interface.to_le_bytes(), &time(nanoseconds), &options])
}

/// What stands before the frame in the block of a packet: `captured` of its `length` bytes follow, filled up to
/// four, and then `tail`.
#[must_use]
pub fn packet_head(
    interface: u32,
    nanoseconds: u64,
    captured: usize,
    length: usize,
    tail: &Tail,
) -> [u8; PACKET_HEAD] {
    let whole = packet_len(captured, tail) as u32;
    let mut head = [0; PACKET_HEAD];
    let words = [PACKET, whole, interface, (nanoseconds >> 32) as u32, nanoseconds as u32];
    let words = words.into_iter().chain([captured as u32, length as u32]);
    for (place, word) in head.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    head
}

/// Length of the block of a packet of which so many bytes are `captured`.
#[must_use]
pub fn packet_len(captured: usize, tail: &Tail) -> usize {
    PACKET_HEAD + captured.next_multiple_of(4) + tail.0.len() + 4
}

/// What follows the frame in the block of a packet, but for the length: made once, written often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail(Box<[u8]>);

impl Tail {
    /// Which way the frame went, and a comment if there is something to say of it.
    #[must_use]
    pub fn new(way: Way, comment: Option<&str>) -> Self {
        let flags = match way {
            Way::In => 1_u32,
            Way::Out => 2,
        };
        let flags = flags.to_le_bytes();
        let comment = comment.map(|comment| (COMMENT, comment.as_bytes()));
        let all: Vec<_> = [(EPB_FLAGS, &flags[..])].into_iter().chain(comment).collect();
        Self(options(&all).into())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn time(nanoseconds: u64) -> [u8; 8] {
    // The upper half comes first.
    nanoseconds.rotate_right(32).to_le_bytes()
}

fn block(kind: u32, body: &[&[u8]]) -> Vec<u8> {
    let length = 12 + body.iter().map(|part| part.len()).sum::<usize>();
    let length = (length as u32).to_le_bytes();
    [&[&kind.to_le_bytes()[..], &length], body, &[&length]].concat().concat()
}

/// Options, each filled up to four bytes, and their end.
fn options(all: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(code, value) in all {
        // No name or comment of a switch is that long.
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        bytes.extend(code.to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes.extend([0; 4]);
    bytes
}

/// A block that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// A frame.
    Packet,
    /// What an interface has seen.
    Statistics(Tally),
    /// Any other.
    Other,
}

/// These bytes are no pcapng.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strange;

/// The first block of `bytes` and its length; `None` while it is not there whole.
///
/// # Errors
/// There is no block.
pub fn first(bytes: &[u8]) -> Result<Option<(Block, usize)>, Strange> {
    let (Some(kind), Some(length)) = (word(bytes, 0), word(bytes, 4)) else { return Ok(None) };
    let length = length as usize;
    if !(12..=MAX_BLOCK).contains(&length) || !length.is_multiple_of(4) {
        return Err(Strange);
    }
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    let block = match kind {
        PACKET => Block::Packet,
        STATISTICS => Block::Statistics(tally(whole)),
        _ => Block::Other,
    };
    Ok(Some((block, length)))
}

fn tally(block: &[u8]) -> Tally {
    let mut tally = Tally::default();
    let mut rest = block.get(20..).unwrap_or_default();
    while let Some(head) = word(rest, 0).filter(|head| *head != 0) {
        let (code, length) = (head as u16, (head >> 16) as usize);
        let value =
            rest.get(4..).and_then(|value| value.first_chunk()).map(|value| u64::from_le_bytes(*value));
        match (code, value) {
            (ISB_IFRECV, Some(value)) => tally.received = value,
            (ISB_IFDROP, Some(value)) => tally.missed = value,
            _ => {}
        }
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    tally
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_one_by_one_however_they_arrive() {
        let tail = Tail::new(Way::In, Some("dropped: mtu"));
        let packet = [&packet_head(0, 1, 5, 9, &tail)[..], &[7; 5], &[0; 3], tail.bytes()].concat();
        let packet = [&packet[..], &(packet_len(5, &tail) as u32).to_le_bytes()].concat();
        let tally = Tally { received: 7, missed: 1 << 40 };
        let all = [section("x"), interface("p1", 262_144), packet, statistics(0, u64::MAX, tally)].concat();
        for cut in 0..all.len() {
            let mut rest = &all[..cut];
            while let Some((_, length)) = first(rest).unwrap() {
                rest = &rest[length..];
            }
            assert!(rest.len() < 100);
        }
        let mut rest = &all[..];
        let mut found = Vec::new();
        while let Some((block, length)) = first(rest).unwrap() {
            assert_eq!(rest[4..8], rest[length - 4..length], "the length stands at both ends");
            found.push(block);
            rest = &rest[length..];
        }
        assert_eq!(found, [Block::Other, Block::Other, Block::Packet, Block::Statistics(tally)]);
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_no_block_is_told_apart_from_one_that_is_not_whole() {
        assert_eq!(first(&[]), Ok(None));
        assert_eq!(first(&[0; 8]), Err(Strange));
        assert_eq!(first(b"{\"parameters\":{}}"), Err(Strange));
        let endless = [&PACKET.to_le_bytes()[..], &u32::MAX.to_le_bytes()].concat();
        assert_eq!(first(&endless), Err(Strange));
        // Options that lie about their length.
        let lying = block(STATISTICS, &[&[0; 12], &[4, 0, 255, 255]]);
        assert_eq!(first(&lying), Ok(Some((Block::Statistics(Tally::default()), lying.len()))));
    }
}
