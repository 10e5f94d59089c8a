//! Commands to a guest and their answers, over its serial line (the other side is `init.sh`).

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A command that came to its end in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status; 137 if it did not end in time and was killed.
    pub status: i32,
    /// What it wrote, standard output and error together.
    pub output: String,
}

/// Longest line that the guest's terminal takes.
const LONGEST: usize = 4000;

/// Beyond the time that the command has, for the guest to answer.
const GRACE: Duration = Duration::from_secs(10);

/// How many lines of its console are shown of a guest that does not do what it should.
const LAST_LINES: usize = 25;

#[derive(Debug)]
pub(super) struct Console {
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What has come and was not yet an answer.
    unread: String,
    number: u32,
}

impl Console {
    pub(super) fn new(input: ChildStdin, mut output: ChildStdout) -> Self {
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if tell.send(buffer.get(..length).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { input, output: told, unread: String::new(), number: 0 }
    }

    /// Waits for the line with which `init.sh` says that it reads commands; `false` if it does not come.
    pub(super) fn is_ready(&mut self, timeout: Duration) -> Result<bool> {
        Ok(self.read_to("\n\u{1}ready\n", timeout)?.is_some())
    }

    /// The end of what has come and was not an answer, for a message.
    pub(super) fn last_lines(&self) -> String {
        let lines: Vec<&str> = self.unread.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        format!("the end of its console:\n{}", last.join("\n"))
    }

    /// Says a command that is not answered.
    pub(super) fn tell(&mut self, command: &str) -> Result<()> {
        self.say(command, 60)
    }

    fn say(&mut self, command: &str, seconds: u64) -> Result<()> {
        ensure!(command.len() < LONGEST && !command.contains('\n'), "not one line: {command}");
        self.number += 1;
        writeln!(self.input, "{} {seconds} {command}", self.number).context("the guest is gone")
    }

    pub(super) fn run(&mut self, command: &str, timeout: Duration) -> Result<Answer> {
        self.say(command, timeout.as_secs().max(1))?;
        let number = self.number;
        let Some(output) = self.read_to(&format!("\n\u{1}{number} "), timeout + GRACE)? else {
            bail!("the guest does not answer; waiting for the end of: {command}\n{}", self.last_lines());
        };
        let Some(status) = self.read_to("\n", GRACE)? else {
            bail!("the guest stops in the middle of its answer to: {command}\n{output}");
        };
        // A command that overran its time when the guest stood still has answered in between.
        let output = output.rsplit('\u{1}').next().unwrap_or_default();
        Ok(Answer { status: status.trim().parse()?, output: output.replace('\r', "") })
    }

    /// What comes before `mark`, which is taken too; `None` if it does not come in time.
    fn read_to(&mut self, mark: &str, timeout: Duration) -> Result<Option<String>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some((before, after)) = self.unread.split_once(mark) {
                let (before, after) = (before.to_owned(), after.to_owned());
                self.unread = after;
                return Ok(Some(before));
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended; it said:\n{}", self.unread),
            }
        }
    }
}
