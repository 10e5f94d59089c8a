//! One connection without its socket: bytes in, requests out, replies in, bytes out. Holds at most one
//! message of [`MAX_MESSAGE`] bytes, and takes no request while [`MAX_UNSENT`] bytes of replies wait.

use std::time::{Duration, Instant};

use serde_json::Value;
use varlink::sansio::{self, ServerEvent};

use crate::error::CallError;

/// Longest message of a client in bytes: the largest frame in hexadecimal and room to spare.
pub const MAX_MESSAGE: usize = 192 * 1024;

/// With more unsent bytes of replies than this a connection waits for its client to read.
pub const MAX_UNSENT: usize = 256 * 1024;

/// How long a client may take for one message, and how long it may read nothing while replies wait.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A request as varlink has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Interface and method.
    pub method: String,
    /// The parameters.
    pub parameters: Option<Value>,
    /// The client takes several replies.
    pub more: bool,
    /// The client wants no reply.
    pub oneway: bool,
    /// The client takes something else than varlink after the reply.
    pub upgrade: bool,
}

/// The client does not speak varlink, or speaks too long: nothing to do but to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// What is known of a connection.
#[derive(Debug)]
pub struct Connection {
    varlink: sansio::Server,
    incoming: Vec<u8>,
    /// Up to where `incoming` was looked through for the end of a message.
    scanned: usize,
    outgoing: Vec<u8>,
    /// How much of `outgoing` was sent.
    sent: usize,
    /// Since when a message is incomplete.
    began: Option<Instant>,
    /// When the client last took something, or something was put there for it.
    took: Instant,
}

impl Connection {
    /// A connection that was made just now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            varlink: sansio::Server::new(),
            incoming: Vec::new(),
            scanned: 0,
            outgoing: Vec::new(),
            sent: 0,
            began: None,
            took: now,
        }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn room(&self) -> usize {
        MAX_MESSAGE.saturating_sub(self.incoming.len())
    }

    /// Takes bytes from the client, no more than there is room for.
    pub fn take_in(&mut self, bytes: &[u8], now: Instant) {
        self.incoming.extend_from_slice(bytes);
        self.began.get_or_insert(now);
    }

    /// The next request, if one is complete and there is room for its reply.
    ///
    /// # Errors
    /// [`Broken`]: close the connection.
    pub fn next_request(&mut self, now: Instant) -> Result<Option<Request>, Broken> {
        if !self.has_room_for_reply() {
            return Ok(None);
        }
        let rest = self.incoming.get(self.scanned..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == 0).map(|end| self.scanned + end + 1) else {
            self.scanned = self.incoming.len();
            return if self.incoming.len() >= MAX_MESSAGE { Err(Broken) } else { Ok(None) };
        };
        let fed = self.varlink.handle_input(&self.incoming[..end]);
        let message: Vec<u8> = self.incoming.drain(..end).collect();
        self.scanned = 0;
        self.began = (!self.incoming.is_empty()).then_some(now);
        fed.map_err(|_| Broken)?;
        let request = match self.varlink.poll_event() {
            Some(ServerEvent::Request { request }) => request,
            // The crate tells nothing more of it.
            Some(ServerEvent::Upgrade { .. }) => {
                serde_json::from_slice(&message[..message.len() - 1]).map_err(|_| Broken)?
            }
            None => return Err(Broken),
        };
        Ok(Some(Request {
            method: request.method.into_owned(),
            parameters: request.parameters,
            more: request.more.unwrap_or(false),
            oneway: request.oneway.unwrap_or(false),
            upgrade: request.upgrade.unwrap_or(false),
        }))
    }

    /// Whether a message lies there complete, or may.
    #[must_use]
    pub fn may_have_request(&self) -> bool {
        self.scanned < self.incoming.len() && self.has_room_for_reply()
    }

    /// Whether a reply may be made.
    #[must_use]
    pub fn has_room_for_reply(&self) -> bool {
        self.unsent().len() < MAX_UNSENT
    }

    /// Puts a reply behind the others.
    pub fn reply(&mut self, reply: Result<Value, CallError>, continues: bool, now: Instant) {
        let reply = match reply {
            Ok(parameters) => varlink::Reply {
                continues: continues.then_some(true),
                error: None,
                parameters: Some(parameters),
            },
            Err(error) => {
                let (name, parameters) = error.to_wire();
                varlink::Reply { continues: None, error: Some(name.into()), parameters: Some(parameters) }
            }
        };
        if self.unsent().is_empty() {
            self.took = now;
        }
        // It writes JSON into memory, which can't fail.
        let _ = self.varlink.send_reply(reply);
        while let Some(transmit) = self.varlink.poll_transmit() {
            self.outgoing.extend_from_slice(&transmit.payload);
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.outgoing.get(self.sent..).unwrap_or_default()
    }

    /// Notes that so many bytes of [`Connection::unsent`] are sent.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.sent += bytes;
        self.took = now;
        if self.sent >= self.outgoing.len() {
            self.outgoing.clear();
            self.outgoing.shrink_to(MAX_UNSENT);
            self.sent = 0;
        } else if self.sent > MAX_UNSENT {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// When its client has been patient-tried long enough and the connection is to be closed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let reading = (!self.unsent().is_empty()).then_some(self.took);
        [self.began, reading].into_iter().flatten().min().map(|since| since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection() -> (Connection, Instant) {
        let now = Instant::now();
        (Connection::new(now), now)
    }

    #[test]
    fn a_message_in_pieces_and_two_in_one_piece_are_requests() {
        let (mut connection, now) = connection();
        for byte in br#"{"method":"a.B","more":true}"# {
            connection.take_in(&[*byte], now);
            assert_eq!(connection.next_request(now), Ok(None));
        }
        connection.take_in(b"\0{\"method\":\"c.D\",\"oneway\":true,\"parameters\":{\"x\":1}}\0{\"m", now);
        let first = connection.next_request(now).unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.more, first.oneway), ("a.B", true, false));
        assert!(connection.may_have_request());
        let second = connection.next_request(now).unwrap().unwrap();
        assert_eq!((second.method.as_str(), second.parameters), ("c.D", Some(json!({"x": 1}))));
        assert_eq!(connection.next_request(now), Ok(None));
        assert!(!connection.may_have_request());
        assert_eq!(connection.deadline(), Some(now + PATIENCE), "half a message lies there");
    }

    #[test]
    fn one_who_wants_an_upgrade_is_understood() {
        let (mut connection, now) = connection();
        connection.take_in(b"{\"method\":\"a.B\",\"upgrade\":true,\"parameters\":{\"x\":1}}\0", now);
        let request = connection.next_request(now).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.upgrade), ("a.B", true));
        assert_eq!(request.parameters, Some(json!({"x": 1})));
    }

    #[test]
    fn what_is_no_varlink_and_what_never_ends_is_broken() {
        for text in
            [&b"\0"[..], b"GET / HTTP/1.1\r\n\0", b"{}\0", b"[1]\0", b"\xff\xfe\0", b"{\"method\":1}\0"]
        {
            let (mut connection, now) = connection();
            connection.take_in(text, now);
            assert_eq!(connection.next_request(now), Err(Broken), "{text:?}");
        }
        let (mut connection, now) = connection();
        connection.take_in(&vec![b'{'; connection.room()], now);
        assert_eq!(connection.room(), 0);
        assert_eq!(connection.next_request(now), Err(Broken));
    }

    #[test]
    fn nothing_is_asked_while_the_client_does_not_read() {
        let (mut connection, now) = connection();
        connection.take_in(b"{\"method\":\"a.B\"}\0", now);
        connection.reply(Ok(json!({"text": "x".repeat(MAX_UNSENT)})), false, now);
        assert_eq!((connection.next_request(now), connection.may_have_request()), (Ok(None), false));
        assert_eq!(connection.deadline(), Some(now + PATIENCE));
        let later = now + Duration::from_secs(3);
        connection.sent(100, later);
        let all = connection.unsent().len();
        connection.sent(all, later);
        assert!(connection.next_request(later).unwrap().is_some());
        assert_eq!(connection.deadline(), None);
    }
}
