//! The bytes that test traffic carries: anyone can make them again from their position, so the receiver
//! compares instead of trusting a sum.

/// Bytes after which the pattern repeats. A prime, so that a segment that is lost, doubled or out of place
/// shows whatever its size.
pub const PERIOD: usize = 65_521;

/// The pattern, twice in a row, so that any position below [`PERIOD`] has as many bytes ahead.
#[must_use]
pub fn block() -> Vec<u8> {
    // Marsaglia's xorshift64: enough for bytes that no fault reproduces by chance.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let once = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    once.take(PERIOD).collect::<Vec<_>>().repeat(2)
}

/// The `length` bytes of the stream at `position`, from a [`block`]; at most [`PERIOD`] bytes.
#[must_use]
pub fn at(block: &[u8], position: u64, length: usize) -> &[u8] {
    let start = usize::try_from(position % PERIOD as u64).unwrap_or_default();
    block.get(start..start + length.min(PERIOD)).unwrap_or_default()
}
