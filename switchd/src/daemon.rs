//! The order in which the daemon starts and ends.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail};
use crossbeam_channel::bounded;
use ports::device;
use tracing::{error, info};

use crate::assembly::assemble;
use crate::attachment::Attachment;
use crate::captures::Running;
use crate::channels::NEWS;
use crate::clock::Clock;
use crate::configuration;
use crate::control::{Control, Listener, Shown};
use crate::crew::{Crew, Shared};
use crate::forwarding::Forwarding;
use crate::guests;
use crate::heirlooms::Heirlooms;
use crate::metrics::{self, Metrics, Reloads};
use crate::monitor::Monitors;
use crate::open::{Opened, Opener};
use crate::patterns::{self, Unmatched};
use crate::rights::Rights;
use crate::run_dir::RunDir;
use crate::sandbox::{self, Files};
use crate::start::{Heritage, Start};
use crate::state::{Had, Heirs};
use crate::systemd;
use crate::watchdog::Watchdog;

/// Forwards until it is told to end. Then it puts back what was changed on interfaces, or leaves the ports to the
/// next process.
///
/// # Errors
/// If a port of the configuration is refused, and nothing is left behind then; or if the kernel takes
/// away what the daemon lives on.
pub(crate) fn run(start: Start) -> anyhow::Result<()> {
    let Start { arguments, config, store, mut memory, heritage, taking } = start;
    let (listener, wake_control) = Listener::new()?;
    let (config, not_matched) = patterns::matched(&config, &[])?;
    let mut unmatched = Unmatched::default();
    patterns::tell(&mut unmatched, not_matched);
    let (mut bridge, mut attachments) = assemble(&config)?;
    let Heritage { in_use: resumes, mut descriptors, mut state, config: before } = heritage;
    let before = before.map(|before| patterns::matched(&before, &descriptors.ports())).transpose()?;
    let before = before.map(|(before, _)| before);
    let run_dir = match descriptors.lock() {
        Some(lock) => RunDir::adopt(&config.bridge.name, lock),
        None => RunDir::take(&config.bridge.name)?,
    };
    let sockets: Vec<&Path> = config
        .metrics
        .as_ref()
        .and_then(metrics::socket_path)
        .into_iter()
        .chain(guests::sockets(&config))
        .collect();
    sandbox::enter(&Files {
        config: arguments.config.as_deref(),
        run_dir: run_dir.path(),
        sockets: &sockets,
    })?;
    let rights = match Rights::of(&config.control) {
        Ok(rights) => rights,
        Err(error) if resumes => {
            error!("{error:#}; until that is corrected only root and switchd's own user may look");
            Rights::NONE
        }
        Err(error) => return Err(error),
    };
    let scraped = descriptors.metrics();
    let scrapes = config.metrics.as_ref().map(|address| metrics::listener(address, scraped)).transpose();
    let scrapes = match scrapes {
        Ok(listener) => listener,
        // Guests on ports that are in use are not to suffer by it.
        Err(error) if resumes => {
            error!("{error:#}; the ports go on. Correct it and reload");
            None
        }
        Err(error) => return Err(error),
    };
    let heirlooms = Heirlooms::new(descriptors, before.as_ref(), state.as_ref());
    let count = config.bridge.workers;
    let mut opener = Opener::new(&run_dir, store, heirlooms, Arc::clone(&wake_control), count);
    let opened = open_all(&mut opener, &mut attachments, resumes)?;
    let had: Vec<Had> = opened.iter().map(Had::of).collect();

    let (events, from_workers) = bounded((2 * bridge::MAX_PORTS + 2) * count + NEWS);
    let watchdog = Watchdog::from_environment().context("can't reach the watchdog of the service manager")?;
    let (crew, workers) = Crew::new(count, attachments.len())?;
    let batches = memory.batches(count).context("can't map the memory of frames that are in hand")?;
    let shared = Shared { events: events.clone(), wake_control: Arc::clone(&wake_control), watchdog };
    let mut control = Control {
        config: config.clone(),
        listener,
        server: None,
        workers,
        events: from_workers,
        opener,
        attachments,
        read_again: Box::new(move || configuration::read_again(&arguments).map(|loaded| loaded.config)),
        shown: Shown::default(),
        devices: 0,
        monitors: Monitors::default(),
        captures: Running::default(),
        wake: Arc::clone(&wake_control),
        metrics: None,
        reloads: Reloads::default(),
        rights: Rc::new(Cell::new(rights)),
        unmatched,
        memory,
        saving: false,
        leaves: store.used,
        forwarding: Forwarding::new(events, wake_control),
        giving: None,
        recipient: None,
        given: false,
        lock: run_dir.lock()?,
    };
    // The first frame finds all ports there.
    attach_all(&mut control, opened);
    control.forwarding.prepare(count)?;
    // The thread that forwards is there already, and so is not filtered.
    sandbox::enter_calls()?;
    if let Some(taking) = &taking {
        // From here on nobody forwards: everything else was done before, or comes after.
        taking.prepared().context("the process that has the ports does not hand them over")?;
        state = control.memory.read_again();
    }
    if store.used {
        bridge.save_fdb_changes();
    }
    let ports_before = state.as_ref().map(|state| state.heirs(&control.attachments)).unwrap_or_default();
    if let Some(state) = state {
        let mut heirs = Heirs { bridge: &mut bridge, attachments: &mut control.attachments, had: &had };
        state.hand_over(&mut heirs, before.as_ref(), &config, Clock.now());
    }
    let mut crew = crew.assemble(bridge, batches, &shared);
    let mut taken_up = 0;
    for worker in &mut crew {
        worker.set_busy_poll(config.bridge.busy_poll);
        taken_up += worker.take_up(|port| ports_before.get(&port).copied());
    }
    if taken_up > 0 {
        info!(frames = taken_up, "what the last process had received and not handed on goes out now");
    }
    control.allow_guests();
    control.forwarding.start(crew)?;
    if let Some(taking) = taking {
        // One that has ended without a word is not missed either.
        let _ = taking.forwarding();
        control.opener.keep_again(&control.attachments);
        run_dir.sign()?;
    }
    if resumes {
        control.opener.let_go_of_the_rest(&config);
    }
    if let Some((address, listener)) = config.metrics.as_ref().zip(scrapes) {
        control.metrics = Some(Metrics::start(address, listener, Arc::clone(&control.wake))?);
    }
    // The answer comes after all of that was carried out. What an earlier process left counts until all is saved anew.
    control.save_all();
    // Whoever can connect gets answers: not before there is somebody to give them.
    control.server = Some(control.listener.serve(&run_dir, &control.rights)?);
    if control.leaves {
        control
            .await_successor(&run_dir)
            .context("can't make the place where a new process asks for the ports")?;
    }
    info!(bridge = config.bridge.name, ports = config.ports.len(), "forwarding");
    systemd::ready();

    let ended = control.run();
    if control.given {
        return ended;
    }
    systemd::stopping();
    let mut forwarded = control.forwarding.stop(&control.workers);
    match &mut forwarded {
        // Nobody forwards any more: this is exact.
        Ok((workers, report)) if control.leaves => {
            control.hold_guests();
            control.save_rest(workers, report);
        }
        // It is to be started again.
        Err(_) if control.leaves => {}
        _ => {
            // The workers' halves are to be closed before.
            let ended = forwarded.map(drop).and(ended);
            control.put_back();
            info!(bridge = config.bridge.name, "stopped");
            return ended;
        }
    }
    info!(bridge = config.bridge.name, "stopped");
    forwarded.map(drop).and(ended)
}

/// Opens every device that is there. If one is refused all are let go again, and every reason is told; but where
/// an earlier process had ports that are in use, the others go on.
fn open_all(
    opener: &mut Opener,
    attachments: &mut [Attachment],
    resumes: bool,
) -> anyhow::Result<Vec<Option<Opened>>> {
    let mut all = Vec::with_capacity(attachments.len());
    let mut refused = 0;
    for attachment in attachments.iter_mut() {
        match opener.open(&attachment.config) {
            Ok(opened) => all.push(opened),
            Err(error) => {
                error!(port = attachment.config.name, "{error:#}");
                attachment.refused(&error);
                refused += 1;
                all.push(None);
            }
        }
    }
    if refused == 0 || resumes {
        return Ok(all);
    }
    for (attachment, opened) in attachments.iter().zip(all) {
        let Some(Opened { rx, tx, held, .. }) = opened else { continue };
        // The halves are closed before the device is let go.
        drop((rx, tx));
        opener.release(&attachment.config, held);
    }
    opener.finish();
    bail!("{refused} port(s) refused; nothing was started")
}

fn attach_all(control: &mut Control, opened: Vec<Option<Opened>>) {
    for (index, opened) in opened.into_iter().enumerate() {
        let port = &control.attachments[index];
        match opened {
            Some(opened) => control.attach(index, opened),
            // Of one that was refused is known why, and of one that is there.
            None if port.complaint.is_some() || device::find(&port.config.device).is_ok() => {}
            None => {
                let config = &port.config;
                info!(port = config.name, "waiting for {}: there is no such interface yet", config.device);
            }
        }
    }
}
