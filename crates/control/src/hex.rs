//! Bytes as hexadecimal text.

use std::fmt::Write;

/// Two digits for each byte.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A String takes all that is written into it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that such text stands for; spaces, colons and line ends between them, as tools print them, are
/// passed over.
#[must_use]
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| !c.is_whitespace() && *c != ':').map(digit).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_other_text_is_refused() {
        assert_eq!(bytes(&text(&[0, 1, 0xab, 0xff])), Some(vec![0, 1, 0xab, 0xff]));
        assert_eq!(bytes("ff:FF 0a\n0B"), Some(vec![0xff, 0xff, 10, 11]));
        assert_eq!((bytes("abc"), bytes("zz"), bytes("é0")), (None, None, None));
        assert_eq!(bytes(""), Some(Vec::new()));
    }
}
