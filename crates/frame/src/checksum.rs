//! The Internet checksum (RFC 1071, RFC 1624): sums of 16-bit words in one's complement, and the pseudo
//! headers of IPv4 (RFC 793, 3.1) and IPv6 (RFC 8200, 8.1).

/// A one's complement sum in the making. Values are in host order, as read from network order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of `bytes`, an odd last byte padded with zero.
    ///
    /// Words are added in memory order and swapped once at the end: the sum doesn't depend on byte order
    /// (RFC 1071, 2.B), and this form becomes vector instructions. No overflow below 16 GiB.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<4>();
        let whole: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        let memory_order = fold(whole + u64::from(u32::from_ne_bytes(last)));
        Self(u64::from(u16::from_be(memory_order)))
    }

    /// This sum and another one; `other` must start at an even offset of the data.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// This sum and a number of up to 32 bits (a length, a protocol, a checksum field).
    #[must_use]
    pub fn plus_number(self, number: u32) -> Self {
        Self(self.0 + u64::from(number))
    }

    /// This sum without a number that is in it (RFC 1624: subtracting is adding the complement).
    #[must_use]
    pub fn minus_number(self, number: u32) -> Self {
        Self(self.0 + u64::from(!fold(u64::from(number))))
    }

    /// What a checksum field holds: the complement of the sum.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !fold(self.0)
    }

    /// The same, but 0 as 0xffff: to UDP, 0 says that there is no checksum (RFC 768).
    #[must_use]
    pub fn checksum_not_zero(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The pseudo header's sum: `addresses` (8 bytes of IPv4 or 32 of IPv6, source first), `protocol`, and
/// `len`, the bytes of the transport header and its payload.
#[must_use]
pub fn pseudo_header(addresses: &[u8], protocol: u8, len: usize) -> Sum {
    Sum::of(addresses).plus_number(u32::from(protocol)).plus_number(len as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As RFC 1071, 4.1 writes it down.
    fn simple(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).checksum(), !0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        let rest = Sum::default().plus_number(0xcd7a - 0x5555);
        let before = rest.plus_number(0x5555);
        assert_eq!(before.checksum(), !0xcd7a);
        assert_eq!(before.minus_number(0x5555).plus_number(0x3285).checksum(), 0x5555);
    }

    #[test]
    fn udp_never_says_zero() {
        let zero = Sum::of(&[0xff, 0xff]);
        assert_eq!((zero.checksum(), zero.checksum_not_zero()), (0, 0xffff));
    }

    proptest! {
        #[test]
        fn any_length_sums_as_the_simple_way(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(Sum::of(&bytes).checksum(), simple(&bytes));
        }

        #[test]
        fn a_sum_can_be_taken_in_two_parts(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            half in 0usize..150,
        ) {
            let (front, back) = bytes.split_at((2 * half).min(bytes.len()));
            prop_assert_eq!(Sum::of(front).plus(Sum::of(back)).checksum(), simple(&bytes));
        }
    }
}
