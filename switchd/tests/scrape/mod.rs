//! Metrics, read as Prometheus does.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testbed::Namespace;

/// Where the tests let metrics be read, as the file says it.
pub(crate) const LISTEN: &str = "127.0.0.1:9817";

/// What Prometheus says that it takes.
pub(crate) const OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";

/// A TCP connection from inside a namespace.
pub(crate) fn connect(namespace: &Namespace, address: &str) -> std::io::Result<TcpStream> {
    let stream = namespace.enter(|| TcpStream::connect(address)).unwrap()?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

/// Asks for `path`: status, head and body of what is answered.
pub(crate) fn get(mut stream: impl Read + Write, path: &str, accept: &str) -> (u16, String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: switch\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// The metrics, in Prometheus' own format.
pub(crate) fn metrics(namespace: &Namespace) -> String {
    let (status, head, body) = get(connect(namespace, LISTEN).unwrap(), "/metrics", "*/*");
    assert_eq!(status, 200, "{head}\n{body}");
    body
}

/// The value of a series, as `switchd_port_up{bridge="switchd",port="p1"}`.
pub(crate) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}
