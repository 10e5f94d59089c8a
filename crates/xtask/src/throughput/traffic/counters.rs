//! The devices' own counters, read without starting a program.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use testbed::Namespace;

/// `/proc/net/dev` of a namespace, opened there: it goes on telling of that one wherever it is read.
#[derive(Debug)]
pub(crate) struct Counters(Mutex<File>);

impl Counters {
    pub(crate) fn open(namespace: &Namespace) -> Result<Self> {
        let file = namespace.enter(|| File::open("/proc/thread-self/net/dev"))??;
        Ok(Self(Mutex::new(file)))
    }

    /// Frames that a device has received.
    pub(crate) fn received(&self, device: &str) -> Result<u64> {
        let mut text = String::new();
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind()?;
        file.read_to_string(&mut text)?;
        packets(&text, device).with_context(|| format!("there is no device {device}"))
    }
}

fn packets(text: &str, device: &str) -> Option<u64> {
    let numbers = text.lines().find_map(|line| line.trim_start().strip_prefix(device)?.strip_prefix(':'));
    numbers?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_of_the_device_is_read() {
        let text = "Inter-|\n face |bytes packets\n   e1:  77  5 0 0\n    e: 9 6 0\nlong:12345 7 0";
        let packets = |device| super::packets(text, device);
        assert_eq!(
            [packets("e1"), packets("e"), packets("long"), packets("o")],
            [Some(5), Some(6), Some(7), None]
        );
    }
}
