//! `switchctl capture`: frames as they pass, into a file or to another program, until it is interrupted.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write, stdout};
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};
use control::capture::{Capture, Stopper};
use control::pcapng::{self, Block, Tally};
use control::types::CaptureOptions;
use control::{Client, ClientError};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::arguments::CaptureArguments;
use crate::output::{self, Form};
use crate::reach::tried;

/// Bytes that are read at once.
const READ: usize = 256 * 1024;

pub(crate) fn run(client: Client, arguments: &CaptureArguments, form: Form) -> Result<()> {
    let to_stdout = arguments.write == Path::new("-");
    if to_stdout && stdout().is_terminal() {
        bail!("a capture is nothing for a terminal: -w FILE, or a pipe to a program: -w - | tcpdump -nr -");
    }
    let options = CaptureOptions {
        ports: arguments.port.clone(),
        vlan: arguments.vlan,
        direction: arguments.direction,
        drops: arguments.drops,
        snaplen: arguments.snaplen,
    };
    let mut capture = tried(client.capture(&options), || "can't capture".to_owned())?;
    // Only now: a capture that was refused is to leave an older file as it is.
    let to: Box<dyn Write> = match to_stdout {
        true => Box::new(stdout().lock()),
        false => {
            let file = File::create(&arguments.write);
            Box::new(file.with_context(|| format!("can't write {}", arguments.write.display()))?)
        }
    };
    stop_at_signal(capture.stopper()?)?;
    if !form.json {
        eprintln!("capturing at {}; Ctrl-C ends it", capture.ports.join(", "));
    }
    let mut writer = Writer { to, left: arguments.count, written: 0, seen: None };
    let copied = copy(&mut capture, &mut writer);
    writer.tell(form, to_stdout)?;
    match copied {
        // Whoever read it has seen enough.
        Err(error) if output::is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

/// Ends the capture at the first signal, and the program at the second.
fn stop_at_signal(stopper: Stopper) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("can't catch signals")?;
    thread::spawn(move || {
        let mut signals = signals.forever();
        let _ = signals.next();
        stopper.stop();
        if let Some(signal) = signals.next() {
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// Writes block by block, so that wherever the stream ends the file is whole.
fn copy(capture: &mut Capture, writer: &mut Writer) -> Result<()> {
    let stopper = capture.stopper()?;
    let mut buffer = vec![0; READ];
    let mut used = 0;
    loop {
        let read = match capture.read(&mut buffer[used..]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(ClientError::Broken(error).into()),
        };
        used += read;
        let taken = writer.take(&buffer[..used])?;
        buffer.copy_within(taken..used, 0);
        used -= taken;
        if writer.left == Some(0) {
            stopper.stop();
        }
    }
    if writer.seen.is_none() {
        let error = ClientError::Broken(ErrorKind::UnexpectedEof.into());
        return Err(error).context("switchd ended before the capture did; what came until then is written");
    }
    Ok(())
}

/// Where the blocks go.
struct Writer {
    to: Box<dyn Write>,
    /// How many frames are still wanted, where that is limited.
    left: Option<u64>,
    written: u64,
    /// What the ports have seen, once that was told.
    seen: Option<Tally>,
}

impl Writer {
    /// Writes the whole blocks among `bytes`; says how many bytes they are.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let (mut taken, mut from) = (0, 0);
        let strange = || ClientError::Strange("no pcapng".to_owned());
        while let Some((block, length)) = pcapng::first(&bytes[taken..]).map_err(|_| strange())? {
            match block {
                Block::Packet if self.left == Some(0) => {
                    self.write(&bytes[from..taken])?;
                    from = taken + length;
                }
                Block::Packet => {
                    self.left = self.left.map(|left| left - 1);
                    self.written += 1;
                }
                Block::Statistics(tally) => {
                    let seen = self.seen.get_or_insert_default();
                    seen.received += tally.received;
                    seen.missed += tally.missed;
                }
                Block::Other => {}
            }
            taken += length;
        }
        self.write(&bytes[from..taken])?;
        Ok(taken)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.flush()
    }

    /// Says what was captured: in words, or for `--json` as one object, where the capture itself is not.
    fn tell(&self, form: Form, to_stdout: bool) -> Result<()> {
        let missed = self.seen.map(|seen| seen.missed);
        if form.json {
            let text = output::json(&json!({ "captured": self.written, "missed": missed }))?;
            if to_stdout {
                eprint!("{text}");
                return Ok(());
            }
            return output::write(&text);
        }
        eprintln!("{} frames captured", self.written);
        if let Some(missed) = missed {
            eprintln!("{missed} frames missed, as they were not read in time");
        }
        Ok(())
    }
}
