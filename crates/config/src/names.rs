//! What a switch, a port, an interface and a user may be called, and the text form of a time.

use std::time::Duration;

/// The longest interface name in bytes: IFNAMSIZ (linux/if.h) less the terminating zero.
const INTERFACE_NAME: usize = 15;
/// The longest name of a switch or a port, in characters.
const NAME: usize = 32;
/// The longest ageing time, which is Linux Bridge's: IFLA_BR_AGEING_TIME is 32 bits of 1/100 s.
pub const LONGEST_TIME: Duration = Duration::from_millis(u32::MAX as u64 * 10);

/// The longest `busy_poll` that can be set.
pub(crate) const LONGEST_BUSY_POLL: Duration = Duration::from_secs(1);

/// What is wrong with the name of a switch or a port, and what would be right.
pub(crate) fn check_name(name: &str) -> Result<(), (String, String)> {
    let help = || format!("1 to {NAME} of the characters A-Z a-z 0-9 . _ -");
    if name.is_empty() {
        return Err(("is empty".to_owned(), help()));
    }
    if name.chars().count() > NAME {
        return Err((format!("has more than {NAME} characters"), help()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        Some(c) => Err((format!("has the character {c:?}"), help())),
        None => Ok(()),
    }
}

/// What is wrong with the name of an interface, and what would be right: `dev_valid_name` in the kernel's
/// net/core/dev.c, and no `%`, from which the kernel would make a name of its own.
pub(crate) fn check_interface(name: &str) -> Result<(), (String, String)> {
    let wrong = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    if name.is_empty() {
        return wrong("is empty", "the name of a network interface, as `ip link` shows it");
    }
    if name.len() > INTERFACE_NAME {
        let help = format!("it has {} bytes; Linux allows {INTERFACE_NAME}", name.len());
        return Err((format!("is longer than {INTERFACE_NAME} bytes"), help));
    }
    if name == "." || name == ".." {
        return wrong("can't be an interface's", "Linux refuses `.` and `..`");
    }
    match name.chars().find(|c| "/:%".contains(*c) || c.is_whitespace() || c.is_control()) {
        Some(c) => Err((
            format!("has the character {c:?}"),
            "an interface name has no space and none of / : %".to_owned(),
        )),
        None => Ok(()),
    }
}

/// Whether a user may be called so. A name of digits alone is an id.
pub(crate) fn is_user_name(name: &str) -> bool {
    let refused = |c: char| c.is_whitespace() || c.is_control() || ":/,".contains(c);
    (1..=32).contains(&name.len()) && !name.starts_with('-') && !name.contains(refused)
}

/// Why a text is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotATime {
    /// It is not a number and a unit.
    Form,
    /// It does not fit.
    TooLong,
}

/// Units of times, in nanoseconds.
type Units = [(&'static str, u64)];

const LONG: &Units =
    &[("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];
const SHORT: &Units = &[("us", 1_000), ("ms", 1_000_000)];

/// Reads a whole number with a unit: `ms`, `s`, `m` or `h`; `0` needs none.
pub(crate) fn duration(text: &str) -> Result<Duration, NotATime> {
    time(text, LONG)
}

/// The same of times that are shorter: `us` or `ms`.
pub(crate) fn short_duration(text: &str) -> Result<Duration, NotATime> {
    time(text, SHORT)
}

fn time(text: &str, units: &Units) -> Result<Duration, NotATime> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(NotATime::Form);
    }
    let unit = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, nanoseconds)) => *nanoseconds,
        None if unit.is_empty() && number.bytes().all(|c| c == b'0') => 0,
        None => return Err(NotATime::Form),
    };
    let number: u64 = number.parse().map_err(|_| NotATime::TooLong)?;
    // Of seconds there are 584 years.
    number.checked_mul(unit).map(Duration::from_nanos).ok_or(NotATime::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        for (text, milliseconds) in
            [("300s", 300_000), ("5m", 300_000), ("1500ms", 1_500), ("2h", 7_200_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, microseconds) in [("50us", 50), ("3ms", 3_000), ("0", 0)] {
            assert_eq!(short_duration(text), Ok(Duration::from_micros(microseconds)), "{text}");
        }
        for text in ["50", "1s", "0.5us", "5µs"] {
            assert_eq!(short_duration(text), Err(NotATime::Form), "{text}");
        }
        assert_eq!(duration("50us"), Err(NotATime::Form), "too short to mean anything");
        for text in ["", "s", "300", "5 m", "-5s", "1.5s", "5min", "5S", "1m30s", "+5s", "٣s"] {
            assert_eq!(duration(text), Err(NotATime::Form), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(text), Err(NotATime::TooLong), "{text}");
        }
    }

    #[test]
    fn interface_names_are_those_that_linux_takes() {
        for name in ["eth0", "enp0s31f6.4094x", "a", "...", "vnet0", "br-lan", "täp"] {
            assert_eq!(check_interface(name), Ok(()), "{name}");
        }
        for name in
            ["", ".", "..", "a/b", "a b", "a\tb", "a:1", "tap%d", "a\0", "a\u{a0}b", "exactly16bytes_x"]
        {
            assert!(check_interface(name).is_err(), "{name:?}");
        }
        // 15 is a limit of bytes, not of characters.
        assert!(check_interface("ääääääää").is_err());
    }

    #[test]
    fn names_of_ports_have_plain_characters() {
        for name in ["lan", "vm-1.a_B", "a", &"n".repeat(32)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a/b", "ä", "a\"", &"n".repeat(33)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn user_names_are_words() {
        assert!(is_user_name("libvirt-qemu") && is_user_name("svc$") && is_user_name("a.b@c"));
        for name in ["", "a b", "a:b", "../x", "-x", &"n".repeat(33)] {
            assert!(!is_user_name(name), "{name:?}");
        }
    }
}
