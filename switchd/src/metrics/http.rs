//! One request of a client and its answer, without a socket: bytes in, bytes out. It takes a GET or HEAD of a few
//! kilobytes and answers once; what follows is of no interest.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest request, in bytes.
pub(super) const MAX_REQUEST: usize = 8 * 1024;

/// Most header lines.
const MAX_HEADERS: usize = 64;

/// How long a client has for all of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The text formats of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, version 0.0.4.
    Prometheus,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Metrics(Format),
    /// Whatever else there is to say, with its status.
    Words(&'static str, &'static str),
}

/// A client's request and the answer to it.
#[derive(Debug)]
pub(super) struct Exchange {
    since: Instant,
    request: Vec<u8>,
    /// The method was HEAD: no body.
    head_only: bool,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    head: Vec<u8>,
    body: Arc<str>,
    sent: usize,
}

impl Exchange {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, request: Vec::new(), head_only: false, answer: None }
    }

    /// When the client's time is over.
    pub(super) fn deadline(&self) -> Instant {
        self.since + PATIENCE
    }

    /// Whether more of the request is to be read.
    pub(super) fn reads(&self) -> bool {
        self.answer.is_none()
    }

    /// Takes a part of the request. `page` gives the metrics in a format, if they are to be had; it is asked once,
    /// when the request is complete.
    pub(super) fn take_in(&mut self, bytes: &[u8], page: impl FnOnce(Format) -> Option<Arc<str>>) {
        if self.answer.is_some() {
            return;
        }
        self.request.extend_from_slice(bytes);
        let Some(wish) = self.wish() else { return };
        self.request = Vec::new();
        self.answer = Some(match wish {
            Wish::Metrics(format) => match page(format) {
                Some(body) => answer("200 OK", format.content_type(), body),
                None => words("503 Service Unavailable", "the switch does not answer\n"),
            },
            Wish::Words(status, text) => words(status, text),
        });
        if self.head_only
            && let Some(answer) = &mut self.answer
        {
            answer.body = "".into();
        }
    }

    /// What the request asks for, once it is complete or can't become one.
    fn wish(&mut self) -> Option<Wish> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&self.request) {
            Ok(status) if status.is_partial() && self.request.len() < MAX_REQUEST => return None,
            Err(httparse::Error::TooManyHeaders) => return Some(too_large()),
            Err(_) => return Some(Wish::Words("400 Bad Request", "this is no HTTP request\n")),
            Ok(status) if status.is_partial() => return Some(too_large()),
            Ok(_) => {}
        }
        self.head_only = request.method == Some("HEAD");
        if !matches!(request.method, Some("GET" | "HEAD")) {
            return Some(Wish::Words(
                "405 Method Not Allowed",
                "metrics can be read (GET), and that is all\n",
            ));
        }
        let path = request.path.unwrap_or_default();
        Some(match path.split_once('?').map_or(path, |(path, _)| path) {
            "/metrics" => {
                let accepts = |header: &httparse::Header<'_>| {
                    header.name.eq_ignore_ascii_case("accept")
                        && header.value.windows(OPENMETRICS.len()).any(|part| part == OPENMETRICS)
                };
                let openmetrics = request.headers.iter().any(accepts);
                Wish::Metrics(if openmetrics { Format::OpenMetrics } else { Format::Prometheus })
            }
            "/" => Wish::Words("200 OK", "switchd: the metrics are at /metrics\n"),
            _ => Wish::Words("404 Not Found", "the metrics are at /metrics\n"),
        })
    }

    /// What is to be sent next; empty where there is nothing yet, or nothing more.
    pub(super) fn unsent(&self) -> &[u8] {
        let Some(Answer { head, body, sent }) = &self.answer else { return &[] };
        head.get(*sent..)
            .filter(|rest| !rest.is_empty())
            .unwrap_or_else(|| body.as_bytes().get(sent.saturating_sub(head.len())..).unwrap_or_default())
    }

    /// Notes that so many bytes of [`Exchange::unsent`] are sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(answer) = &mut self.answer {
            answer.sent += bytes;
        }
    }

    /// Whether the answer is sent.
    pub(super) fn is_done(&self) -> bool {
        self.answer.is_some() && self.unsent().is_empty()
    }
}

/// What an `Accept` header of somebody who understands OpenMetrics contains.
const OPENMETRICS: &[u8] = b"application/openmetrics-text";

fn too_large() -> Wish {
    Wish::Words("431 Request Header Fields Too Large", "the request is too long\n")
}

fn words(status: &str, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

fn answer(status: &str, content_type: &str, body: Arc<str>) -> Answer {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    Answer { head: head.into_bytes(), body, sent: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &[u8]) -> String {
        let mut exchange = Exchange::new(Instant::now());
        for byte in request {
            exchange.take_in(&[*byte], |format| Some(format!("{format:?}\n").into()));
        }
        let mut got = Vec::new();
        while !exchange.unsent().is_empty() {
            let part = exchange.unsent()[..1].to_vec();
            got.extend_from_slice(&part);
            exchange.sent(1);
        }
        assert_eq!(exchange.is_done(), !got.is_empty());
        String::from_utf8(got).unwrap()
    }

    #[test]
    fn metrics_come_in_the_format_that_is_asked_for() {
        let plain = exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(plain.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{plain}");
        assert!(plain.ends_with("Content-Length: 11\r\nConnection: close\r\n\r\nPrometheus\n"), "{plain}");
        let accept = b"GET /metrics?x=1 HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
        let open = exchange(accept);
        assert!(
            open.contains("Content-Type: application/openmetrics-text") && open.ends_with("OpenMetrics\n")
        );
        let head = exchange(b"HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 11") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn all_else_is_answered_in_words_or_waited_for() {
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "200 "),
            (b"GET /metric HTTP/1.1\r\n\r\n", "404 "),
            (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405 "),
            (b"\x16\x03\x01\x02\x00", "400 "),
            (b"GET /metrics HTTP/1.1\r\nno header\r\n\r\n", "400 "),
            (b"GET /metrics HTTP/1.1\r\nHost", ""),
        ] {
            let got = exchange(request);
            assert!(
                got.strip_prefix("HTTP/1.1 ").unwrap_or_default().starts_with(status),
                "{request:?}: {got}"
            );
            assert_eq!(got.is_empty(), status.is_empty());
        }
        let long = [b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; MAX_REQUEST]].concat();
        assert!(exchange(&long).contains(" 431 "));
        let many =
            [b"GET /metrics HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(MAX_HEADERS + 1), b"\r\n".to_vec()];
        assert!(exchange(&many.concat()).contains(" 431 "));
        let mut silent = Exchange::new(Instant::now());
        silent.take_in(b"GET /metrics HTTP/1.1\r\n\r\n", |_| None);
        assert!(silent.unsent().starts_with(b"HTTP/1.1 503 "));
    }
}
