//! Why a call is not answered: the errors of the interface and those of varlink itself.

use serde_json::{Value, json};

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no port of this name.
    #[error("{message}")]
    NoSuchPort {
        /// The name.
        port: String,
        /// What there is instead.
        message: String,
    },
    /// The bridge does not take this.
    #[error("{0}")]
    Refused(String),
    /// The caller may not do this.
    #[error("{0}")]
    NotPermitted(String),
    /// The forwarding thread did not answer.
    #[error("{0}")]
    NoAnswer(String),
    /// There are as many connections as there may be.
    #[error("{0}")]
    Busy(String),
    /// varlink: a parameter is missing, unknown or has the wrong type.
    #[error("{0}")]
    InvalidParameter(String),
    /// varlink: there is no such method.
    #[error("there is no method {0}")]
    MethodNotFound(String),
    /// varlink: there is no such interface.
    #[error("there is no interface {0}")]
    InterfaceNotFound(String),
    /// varlink: the reply comes in several parts, so it is to be called with `more`.
    #[error("the reply comes in several parts: call it with more")]
    ExpectedMore,
    /// An error that this client does not know.
    #[error("{0}")]
    Other(String),
}

impl CallError {
    /// The name on the wire, and the parameters.
    #[must_use]
    pub fn to_wire(&self) -> (String, Value) {
        let own = |name: &str, message: &str| (format!("io.switchd.{name}"), json!({ "message": message }));
        let service = |name: &str| format!("org.varlink.service.{name}");
        match self {
            Self::NoSuchPort { port, message } => {
                ("io.switchd.NoSuchPort".to_owned(), json!({ "port": port, "message": message }))
            }
            Self::Refused(message) => own("Refused", message),
            Self::NotPermitted(message) => own("NotPermitted", message),
            Self::NoAnswer(message) => own("NoAnswer", message),
            Self::Busy(message) => own("Busy", message),
            Self::InvalidParameter(text) => (service("InvalidParameter"), json!({ "parameter": text })),
            Self::MethodNotFound(name) => (service("MethodNotFound"), json!({ "method": name })),
            Self::InterfaceNotFound(name) => (service("InterfaceNotFound"), json!({ "interface": name })),
            Self::ExpectedMore => (service("ExpectedMore"), json!({})),
            Self::Other(name) => (name.clone(), json!({})),
        }
    }

    /// The error of a reply.
    #[must_use]
    pub fn from_wire(name: &str, parameters: &Value) -> Self {
        let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match name {
            "io.switchd.NoSuchPort" => Self::NoSuchPort { port: text("port"), message: text("message") },
            "io.switchd.Refused" => Self::Refused(text("message")),
            "io.switchd.NotPermitted" => Self::NotPermitted(text("message")),
            "io.switchd.NoAnswer" => Self::NoAnswer(text("message")),
            "io.switchd.Busy" => Self::Busy(text("message")),
            "org.varlink.service.InvalidParameter" => Self::InvalidParameter(text("parameter")),
            "org.varlink.service.MethodNotFound" => Self::MethodNotFound(text("method")),
            "org.varlink.service.InterfaceNotFound" => Self::InterfaceNotFound(text("interface")),
            "org.varlink.service.ExpectedMore" => Self::ExpectedMore,
            other => Self::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_comes_back_from_the_wire() {
        let text = || "text".to_owned();
        for error in [
            CallError::NoSuchPort { port: text(), message: text() },
            CallError::Refused(text()),
            CallError::NotPermitted(text()),
            CallError::NoAnswer(text()),
            CallError::Busy(text()),
            CallError::InvalidParameter(text()),
            CallError::MethodNotFound(text()),
            CallError::InterfaceNotFound(text()),
            CallError::ExpectedMore,
        ] {
            let (name, parameters) = error.to_wire();
            assert_eq!(CallError::from_wire(&name, &parameters), error);
        }
    }
}
