//! `[metrics]`: where the metrics can be read.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::model::Listen;
use crate::problem::{Findings, quoted};
use crate::section::Section;

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";
/// The longest path of a Unix socket, in bytes: `sun_path` (linux/un.h) less the terminating zero.
const LONGEST_PATH: usize = 107;

/// The address, where the table has a right one.
pub(crate) fn read(section: &Section<'_>, findings: &mut Findings<'_>) -> Option<Listen> {
    section.unknown_keys(findings, |_| None);
    let written = section.required_text("listen", findings)?;
    match parse(written.value) {
        Ok(listen) => Some(listen),
        Err(why) => {
            let message = format!("`listen` in [metrics] can't be {}: {why}", quoted(written.value));
            let help = "an IP address and a port, as \"127.0.0.1:9817\" or \"[::1]:9817\", or a Unix socket, as \
                        \"unix:/run/switchd/switchd/metrics\"";
            findings.add(written.span, message, help);
            None
        }
    }
}

fn parse(text: &str) -> Result<Listen, &'static str> {
    if let Some(path) = text.strip_prefix(UNIX) {
        return match path {
            _ if !path.starts_with('/') => Err("the path of a Unix socket begins with /"),
            _ if path.len() > LONGEST_PATH => Err("the path of a Unix socket has at most 107 bytes"),
            _ if path.chars().any(char::is_control) => Err("the path has a control character"),
            _ => Ok(Listen::Unix(PathBuf::from(path))),
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => Err("0 is no port"),
        Ok(address) => Ok(Listen::Tcp(address)),
        Err(_) => Err("it is no IP address with a port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:9817", "[::1]:9817", "0.0.0.0:1", "unix:/run/x"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in
            ["", "9817", ":9817", "localhost:9817", "127.0.0.1", "127.0.0.1:0", "unix:x", "unix:", &long]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
