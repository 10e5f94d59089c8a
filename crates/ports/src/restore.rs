//! Remembers what interfaces were like before we changed them, and puts it back: in memory, and in a
//! small file so that a start after SIGKILL still knows the *original* values.
//!
//! A record belongs to an interface, not to a name: if the ifindex has changed, there is nothing to put
//! back and the record is dropped.

use std::fs;
use std::io::{self, ErrorKind};
use std::mem::discriminant;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::device::{self, DeviceError};
use crate::features::Setting;

/// One value that an interface had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Name of the interface.
    pub device: String,
    /// Its identity.
    pub ifindex: u32,
    /// What it was.
    pub setting: Setting,
}

/// What is to be put back.
#[derive(Debug)]
pub struct Restore {
    path: PathBuf,
    /// In the order of the changes.
    saved: Vec<Saved>,
}

impl Restore {
    /// Reads what an earlier run left in `path`, if there is such a file. One that can't be read is set
    /// aside under the same name with `.corrupt` added; the second value is a warning that says so.
    #[must_use]
    pub fn open(path: &Path) -> (Self, Option<String>) {
        let (saved, warning) = match fs::read(path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(saved)) => (saved, None),
            Ok(Err(error)) => (Vec::new(), Some(set_aside(path, &error.to_string()))),
            Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(set_aside(path, &error.to_string()))),
        };
        (Self { path: path.to_owned(), saved }, warning)
    }

    /// What will be put back, oldest first.
    #[must_use]
    pub fn saved(&self) -> &[Saved] {
        &self.saved
    }

    /// Changes a setting after recording what it was. `false` if it was so already.
    ///
    /// # Errors
    /// The present value can't be read, the file can't be written (then nothing was changed), or the
    /// kernel refuses the new value.
    pub fn change(&mut self, device: &str, ifindex: u32, to: Setting) -> io::Result<bool> {
        let was = to.now(device)?;
        if was == to {
            return Ok(false);
        }
        self.record(device, ifindex, was)?;
        to.apply(device)?;
        Ok(true)
    }

    /// Records what a setting is, before it is changed. If there is a record of it, that one stays.
    ///
    /// # Errors
    /// The file can't be written; the record is kept in memory all the same.
    pub fn record(&mut self, device: &str, ifindex: u32, setting: Setting) -> io::Result<()> {
        let same = |saved: &Saved| saved.device == device && saved.ifindex == ifindex;
        if self
            .saved
            .iter()
            .any(|saved| same(saved) && discriminant(&saved.setting) == discriminant(&setting))
        {
            return Ok(());
        }
        // Of an earlier interface of that name there is nothing left to put back.
        self.saved.retain(|saved| saved.device != device || saved.ifindex == ifindex);
        self.saved.push(Saved { device: device.to_owned(), ifindex, setting });
        self.write()
    }

    /// Puts back what one interface was like. Returns problems in words; what failed stays recorded.
    pub fn put_back_device(&mut self, device: &str) -> Vec<String> {
        self.put_back(|saved| saved.device == device)
    }

    /// Puts everything back. Returns problems in words; what failed stays recorded. The file is removed
    /// when nothing is left to do.
    pub fn put_back_all(&mut self) -> Vec<String> {
        self.put_back(|_| true)
    }

    fn put_back(&mut self, which: impl Fn(&Saved) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        let (chosen, mut left): (Vec<_>, Vec<_>) = self.saved.drain(..).partition(which);
        let mut failed = Vec::new();
        for saved in chosen.into_iter().rev() {
            if let Err(error) = put_back(&saved) {
                problems.push(format!("{}: putting back {}: {error}", saved.device, saved.setting));
                failed.push(saved);
            }
        }
        left.extend(failed.into_iter().rev());
        self.saved = left;
        if let Err(error) = self.write() {
            problems.push(format!("{}: {error}", self.path.display()));
        }
        problems
    }

    /// Writes the file as a whole or not at all; none if there is nothing to say.
    fn write(&self) -> io::Result<()> {
        if self.saved.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let new = with_suffix(&self.path, ".new");
        fs::write(&new, serde_json::to_vec_pretty(&self.saved)?)?;
        fs::rename(&new, &self.path)
    }
}

fn put_back(saved: &Saved) -> io::Result<()> {
    // It may have another name by now.
    match device::find_index(saved.ifindex) {
        Ok(device) => saved.setting.apply(&device.name),
        Err(DeviceError::Missing { .. }) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn set_aside(path: &Path, why: &str) -> String {
    let aside = with_suffix(path, ".corrupt");
    let what_happened = match fs::rename(path, &aside) {
        Ok(()) => format!("it was set aside as {}", aside.display()),
        Err(error) => format!("nor can it be set aside ({error})"),
    };
    format!(
        "{}: can't read what to put back on interfaces: {why}; {what_happened}. \
         GRO, LRO, MTU and queue length of the ports' interfaces may not be as they were before the last run",
        path.display()
    )
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
