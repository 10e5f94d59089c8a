//! Mirrors of the configuration in the words of the core.

use bridge::{Bridge, Mirror, MirrorRefused};
use config::{MirrorConfig, MirrorDirection, PortConfig};

use crate::assembly::find;
use crate::attachment::Attachment;

/// The mirrors, of the ports that there are; one to a port that is not made yet is none so far.
pub(crate) fn of(configs: &[MirrorConfig], attachments: &[Attachment]) -> Vec<Mirror> {
    let one = |config: &MirrorConfig| {
        let MirrorConfig { to, direction, vlan, .. } = config;
        let from = looked_at(config, configs, attachments).map(|attachment| attachment.id).collect();
        let (ingress, egress) =
            (*direction != MirrorDirection::Egress, *direction != MirrorDirection::Ingress);
        Some(Mirror { from, to: find(attachments, to)?, ingress, egress, vlan: *vlan })
    };
    configs.iter().filter_map(one).collect()
}

/// The ports that one of the mirrors looks at, each once: those that it names, and those that patterns made which it
/// names, but for those that get copies themselves.
pub(crate) fn looked_at<'a>(
    mirror: &'a MirrorConfig,
    mirrors: &'a [MirrorConfig],
    attachments: &'a [Attachment],
) -> impl Iterator<Item = &'a Attachment> {
    let gets_copies = |name: &String| mirrors.iter().any(|other| other.to == *name);
    attachments.iter().filter(move |attachment| {
        let PortConfig { name, made_by, .. } = &attachment.config;
        let made_so = made_by.as_ref().is_some_and(|pattern| mirror.from.contains(pattern));
        mirror.from.contains(name) || made_so && !gets_copies(name)
    })
}

/// Gives the bridge the mirrors of a configuration.
///
/// # Errors
/// The bridge does not take them, which the configuration should have told of before.
pub(crate) fn set(
    bridge: &mut Bridge,
    configs: &[MirrorConfig],
    attachments: &[Attachment],
) -> Result<(), MirrorRefused> {
    bridge.set_mirrors(of(configs, attachments))
}
