//! A terminal with a shell in it, whose keys are pressed and whose screen is read: tmux.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait_until;

/// Ample time for a screen to show something, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A server of tmux with one window of 110 by 30. Dropping it ends the server and what runs in it.
#[derive(Debug)]
pub struct Terminal {
    server: String,
}

impl Terminal {
    /// A terminal of this name, which is unique in this process, with a prompt of `# `.
    ///
    /// # Errors
    /// tmux is missing.
    pub fn new(name: &str) -> Result<Self> {
        let terminal = Self { server: format!("testbed-{name}-{}", std::process::id()) };
        let shell = "env PS1='# ' sh";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "30", shell])?;
        Ok(terminal)
    }

    /// Runs a command of tmux and returns what it said.
    ///
    /// # Errors
    /// It fails; the message shows what it said.
    pub fn tmux(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        let output = command.args(["-L", &self.server]).args(words).output();
        let output = output.context("tmux is needed: cargo xtask setup installs it")?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Presses keys, each a text or the name of a key.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat()).map(drop)
    }

    /// What it shows now.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen has all of these, and gives it.
    ///
    /// # Errors
    /// It does not; the message shows it.
    pub fn shows(&self, says: &[&str]) -> Result<String> {
        let mut screen = String::new();
        let waited = wait_until(SOON, "the screen shows it", || {
            screen = self.screen().unwrap_or_default();
            says.iter().all(|says| screen.contains(says))
        });
        waited.with_context(|| format!("{says:?} in\n{screen}"))?;
        Ok(screen)
    }

    /// On a cleared screen, what the shell says of two modes: whether the terminal echoes and edits lines.
    ///
    /// # Errors
    /// No shell reads the keys.
    pub fn modes(&self) -> Result<Vec<String>> {
        self.press(&["clear; stty -a | grep -o -w -e '-*echo' -e '-*icanon'; echo mo''des", "Enter"])?;
        let screen = self.shows(&["modes"])?;
        let modes = screen.lines().filter(|line| ["echo", "-echo", "icanon", "-icanon"].contains(line));
        let modes: Vec<String> = modes.map(str::to_owned).collect();
        ensure!(modes.len() == 2, "no modes in\n{screen}");
        Ok(modes)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
