//! The way to the switch, and what to say where there is none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use control::{CallError, Client, ClientError, SOCKET};

/// Where the run directories of all bridges are.
const RUN: &str = "/run/switchd";

/// The name of a bridge whose configuration gives it none.
const DEFAULT: &str = "switchd";

/// Connects to the bridge that is meant.
pub(crate) fn connect(bridge: Option<&str>, socket: Option<&Path>) -> Result<Client> {
    let path = match (socket, bridge) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => socket_of(name),
        (None, None) => the_only_one()?,
    };
    Client::connect(&path).map_err(|error| {
        let hint = hint(&error, &running());
        anyhow::Error::new(error).context(hint)
    })
}

fn socket_of(name: &str) -> PathBuf {
    Path::new(RUN).join(name).join(SOCKET)
}

/// The bridge that runs, where no name says which.
fn the_only_one() -> Result<PathBuf> {
    let running = running();
    match running.as_slice() {
        [only] => Ok(socket_of(only)),
        [] => Ok(socket_of(DEFAULT)),
        several if several.iter().any(|name| name == DEFAULT) => Ok(socket_of(DEFAULT)),
        several => bail!("several bridges run here: name one with --bridge: {}", several.join(", ")),
    }
}

/// Names of the bridges that have a control socket, whether or not somebody listens.
fn running() -> Vec<String> {
    let entries = fs::read_dir(RUN).into_iter().flatten().flatten();
    let with_socket = entries.filter(|entry| entry.path().join(SOCKET).exists());
    let mut names: Vec<_> = with_socket.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn hint(error: &ClientError, running: &[String]) -> String {
    let ClientError::Connect { path, source } = error else { return "no answer".to_owned() };
    match source.kind() {
        ErrorKind::PermissionDenied => format!("you may not use {}: run this as root", path.display()),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            let others = match running {
                [] => "start it, or say where its socket is: --socket PATH".to_owned(),
                names => format!("the bridges with a socket here are {}: --bridge NAME", names.join(", ")),
            };
            format!("no switchd listens there; {others}")
        }
        _ => "can't connect".to_owned(),
    }
}

/// The exit code for an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<ClientError>() {
        Some(ClientError::Connect { source, .. }) if source.kind() == ErrorKind::PermissionDenied => 4,
        Some(ClientError::Connect { .. } | ClientError::Broken(_)) => 3,
        Some(ClientError::Refused(CallError::Busy(_))) => 3,
        Some(ClientError::Refused(CallError::NotPermitted(_))) => 4,
        _ => 1,
    })
}

/// Adds what was tried to an error.
pub(crate) fn tried<T>(result: Result<T, ClientError>, what: impl FnOnce() -> String) -> Result<T> {
    result.with_context(what)
}
