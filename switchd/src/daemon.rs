//! The order in which the daemon starts and ends.

use std::thread;

use anyhow::{Context, bail};
use config::Config;
use crossbeam_channel::bounded;
use tracing::{error, info};

use crate::arguments::Arguments;
use crate::assembly::assemble;
use crate::clock::Clock;
use crate::command::{Command, Event};
use crate::configuration;
use crate::control::{Control, Listener, Shown};
use crate::open::{Opened, Opener};
use crate::run_dir::RunDir;
use crate::systemd;
use crate::to_worker::ToWorker;
use crate::watchdog::Watchdog;
use crate::worker::{self, Channels, Worker};

/// Commands that wait for the worker at most; it takes all between two turns.
const COMMANDS: usize = 256;

/// Forwards until SIGINT or SIGTERM, then puts back what was changed on interfaces.
///
/// # Errors
/// If a port of the configuration is refused, and nothing is left behind then; or if the kernel takes
/// away what the daemon lives on.
pub(crate) fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let run_dir = RunDir::take(&config.bridge.name)?;
    let (listener, wake_control) = Listener::new()?;
    let opener = Opener::new(&run_dir);
    let (bridge, attachments) = assemble(config)?;

    let (commands, from_control) = bounded(COMMANDS);
    let (events, from_worker) = bounded(2 * bridge::MAX_PORTS + 2 + worker::NEWS);
    let channels = Channels {
        commands: from_control,
        events: events.clone(),
        wake_control: wake_control.clone(),
        watchdog: Watchdog::from_environment().context("can't reach the watchdog of the service manager")?,
    };
    let (worker, waker) = Worker::new(bridge, attachments.len(), channels).context("can't set up polling")?;
    let mut control = Control {
        config: config.clone(),
        listener,
        server: None,
        worker: ToWorker::new(commands, waker),
        events: from_worker,
        opener,
        attachments,
        read_again: Box::new(move || configuration::load(&arguments)),
        shown: Shown::default(),
    };

    let opened = open_all(&mut control)?;
    let thread = thread::Builder::new()
        .name("forward".to_owned())
        .spawn(move || {
            let result = worker.run(Clock);
            if events.try_send(Event::Ended).is_ok() {
                let _ = wake_control.wake();
            }
            result
        })
        .context("can't start the forwarding thread")?;
    attach_all(&mut control, opened);
    // The answer comes after all of that was carried out.
    control.look();
    // Whoever can connect gets answers: not before there is somebody to give them.
    control.server = Some(control.listener.serve(&run_dir)?);
    info!(bridge = config.bridge.name, ports = config.ports.len(), "forwarding");
    systemd::ready();

    let ended = control.run();
    systemd::stopping();
    control.worker.send(Command::Stop);
    let forwarded = thread.join();
    control.put_back();
    info!(bridge = config.bridge.name, "stopped");
    match forwarded {
        Ok(result) => result.context("forwarding failed")?,
        Err(_) => bail!("the forwarding thread panicked"),
    }
    ended
}

/// Opens every device that is there. If one is refused all are let go again, and every reason is told.
fn open_all(control: &mut Control) -> anyhow::Result<Vec<Option<Opened>>> {
    let mut all = Vec::with_capacity(control.attachments.len());
    let mut refused = 0;
    for attachment in &control.attachments {
        match control.opener.open(&attachment.config) {
            Ok(opened) => all.push(opened),
            Err(error) => {
                error!(port = attachment.config.name, "{error:#}");
                refused += 1;
                all.push(None);
            }
        }
    }
    if refused == 0 {
        return Ok(all);
    }
    let attachments = std::mem::take(&mut control.attachments);
    for (attachment, opened) in attachments.iter().zip(all) {
        let Some(Opened { rx, tx, held }) = opened else { continue };
        // The halves are closed before the device is let go.
        drop((rx, tx));
        control.opener.release(&attachment.config, held);
    }
    control.opener.finish();
    bail!("{refused} port(s) refused; nothing was started")
}

fn attach_all(control: &mut Control, opened: Vec<Option<Opened>>) {
    for (index, opened) in opened.into_iter().enumerate() {
        match opened {
            Some(opened) => control.attach(index, opened),
            None => {
                let config = &control.attachments[index].config;
                info!(port = config.name, "waiting for {}: there is no such interface yet", config.device);
            }
        }
    }
}
