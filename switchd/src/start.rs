//! Everything before the first change: the configuration, the log, and what an earlier process left.

use anyhow::Context;
use config::Config;
use tracing::error;

use crate::arguments::Arguments;
use crate::configuration::{self, Loaded};
use crate::handover::Taking;
use crate::logging;
use crate::run_dir;
use crate::state::{Memory, State};
use crate::store::{Inherited, Store};

/// What a start begins with.
pub(crate) struct Start {
    pub(crate) arguments: Arguments,
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) memory: Memory,
    pub(crate) heritage: Heritage,
    /// The process that has the ports forwards on until this one is ready.
    pub(crate) taking: Option<Taking>,
}

/// What an earlier process left; nothing if there was none.
pub(crate) struct Heritage {
    /// Whether ports are in use: then one that can't be used now is no reason to give up those that can.
    pub(crate) in_use: bool,
    pub(crate) descriptors: Inherited,
    pub(crate) state: Option<State>,
    /// The configuration that it ran on.
    pub(crate) config: Option<Config>,
}

/// Reads the configuration and takes over what is left of an earlier process; nothing where the configuration was
/// only to be checked. A configuration that is wrong is no reason to cut off who is attached: then the earlier one
/// goes on.
///
/// # Errors
/// The configuration or an argument is wrong, and there is no earlier one.
pub(crate) fn prepare(arguments: Arguments) -> anyhow::Result<Option<Start>> {
    let loaded = configuration::load(&arguments);
    if arguments.check {
        let Loaded { config, .. } = loaded?;
        let ports = config.ports.len() + config.patterns.len();
        println!("{}: configuration is correct, {ports} ports", config.bridge.name);
        return Ok(None);
    }
    let store = Store { used: arguments.keep_ports };
    logging::start(arguments.log_format, arguments.log.as_deref())?;
    let (mut descriptors, mut taking) = (Inherited::default(), None);
    if arguments.takeover {
        // One that fails by this is not missed: the other one forwards.
        let name = &loaded.as_ref().map_or(String::new(), |loaded| loaded.config.bridge.name.clone());
        let path = run_dir::handover_socket(name);
        let (begun, named) =
            Taking::begin(&path).with_context(|| format!("can't take over at {}", path.display()))?;
        (descriptors, taking) = (Inherited::given(named), Some(begun));
    } else if store.used {
        descriptors = Inherited::take()?;
    }
    let (mut memory, state) = Memory::open(&mut descriptors, store).context("can't keep what is known")?;
    let text_before = state.as_ref().map(State::configuration).unwrap_or_default().to_owned();
    let before = config::parse("the configuration of the last run", &text_before).ok();
    let Loaded { config, text } = match (loaded, &before) {
        (Ok(loaded), _) => loaded,
        (Err(error), Some(before)) if taking.is_none() => {
            error!("{error:#}; the configuration of the last run goes on. Correct the file and restart");
            Loaded { config: before.clone(), text: text_before }
        }
        (Err(error), _) => return Err(error).context("nothing was started"),
    };
    memory.set_configuration(text);
    let heritage = Heritage { in_use: !descriptors.ports().is_empty(), descriptors, state, config: before };
    Ok(Some(Start { arguments, config, store, memory, heritage, taking }))
}
