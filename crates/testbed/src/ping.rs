//! ICMP echo from a namespace: how many came back, and how fast.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Namespace;

/// What became of a series of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Replies received.
    pub received: u32,
    /// Mean round-trip time of those that came back.
    pub mean: Option<Duration>,
}

impl Ping {
    /// Requests without a reply.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.received)
    }

    /// Reads the summary that `ping` of iputils and of busybox print at their end.
    ///
    /// # Errors
    /// There is no such summary.
    pub fn parse(text: &str) -> Result<Self> {
        let summary = text.lines().find(|line| line.contains("packets transmitted"));
        let summary = summary.with_context(|| format!("no summary of ping in: {text}"))?;
        let mut numbers = summary.split(' ').filter_map(|word| word.parse().ok());
        let (Some(sent), Some(received)) = (numbers.next(), numbers.next()) else {
            anyhow::bail!("can't read {summary}");
        };
        // iputils: "rtt min/avg/max/mdev = 0.020/0.021/…"; busybox: "round-trip min/avg/max = …".
        let times = text.lines().find(|line| line.contains("min/avg/max"));
        let mean = times
            .and_then(|line| line.split(" = ").nth(1)?.split('/').nth(1)?.parse::<f64>().ok())
            .map(|milliseconds| Duration::from_secs_f64(milliseconds / 1e3));
        Ok(Self { sent, received, mean })
    }
}

/// Sends `count` echo requests, 20 a second, from a namespace to an IPv4 or IPv6 address and waits at most
/// a second for the last reply.
///
/// # Errors
/// `ping` can't be run. Losses are a result, not an error.
pub fn ping(from: &Namespace, to: &str, count: u32) -> Result<Ping> {
    ping_with(from, to, count, &[])
}

/// As [`ping`], with further options of `ping`, for instance `["-M", "do", "-s", "1472"]`.
///
/// # Errors
/// As [`ping`].
pub fn ping_with(from: &Namespace, to: &str, count: u32, options: &[&str]) -> Result<Ping> {
    let count = count.to_string();
    let args = [&["-n", "-q", "-i", "0.05", "-W", "1", "-c", &count], options, &[to]].concat();
    let output = from.exec("ping", &args)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ping::parse(&String::from_utf8_lossy(&output.stdout)).with_context(|| format!("ping {to}: {stderr}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pings_are_read() {
        let iputils = "3 packets transmitted, 2 received, 33% packet loss, time 102ms\n\
                       rtt min/avg/max/mdev = 0.014/0.500/0.027/0.006 ms";
        let busybox = "2 packets transmitted, 2 packets received, 0% packet loss\n\
                       round-trip min/avg/max = 0.9/1.250/1.6 ms";
        let nothing = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2ms";
        assert_eq!(
            Ping::parse(iputils).unwrap(),
            Ping { sent: 3, received: 2, mean: Some(Duration::from_micros(500)) }
        );
        assert_eq!(Ping::parse(busybox).unwrap().mean, Some(Duration::from_micros(1250)));
        assert_eq!(Ping::parse(nothing).unwrap().lost(), 3);
        assert!(Ping::parse("ping: connect: Network is unreachable").is_err());
    }
}
