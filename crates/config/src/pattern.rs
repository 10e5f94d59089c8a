//! A `device` with a `*` in it stands for many interfaces: for each that there is a port is made, which is named
//! like it.

use crate::model::{Config, PatternConfig, PortConfig};
use crate::names::{check_interface, check_name};

/// Most ports that a switch has.
pub(crate) const MAX_PORTS: usize = 1023;

/// Whether the name of a device stands for many.
pub(crate) fn is_pattern(device: &str) -> bool {
    device.contains('*')
}

/// What is wrong with a pattern, and what would be right.
pub(crate) fn check(pattern: &str) -> Result<(), (String, String)> {
    let plain: String = pattern.chars().filter(|c| *c != '*').collect();
    if plain.is_empty() {
        let message = "would take every interface of this host".to_owned();
        return Err((message, "name what they have in common, as \"vnet*\"".to_owned()));
    }
    check_interface(&plain)
}

impl PatternConfig {
    /// Whether a port of this name can be one that it makes.
    #[must_use]
    pub fn means(&self, name: &str) -> bool {
        matches(&self.port.device, name)
    }
}

/// Whether `name` is what `pattern` means: each `*` stands for any number of characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            // The last one ends the name.
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.is_empty()
}

/// An interface that a pattern means and that gets no port all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMatched {
    /// The interface.
    pub interface: String,
    /// Why, and the way out.
    pub why: String,
}

/// `config` with a port for each of `interfaces` that a pattern of it means, in their order; what was made so before
/// and is not among them goes. The first pattern of the file that means an interface makes its port.
pub(crate) fn matched<'i>(
    config: &Config,
    interfaces: impl IntoIterator<Item = &'i str>,
) -> (Config, Vec<NotMatched>) {
    let mut new = config.clone();
    new.ports.retain(|port| port.made_by.is_none());
    let (fixed, mut refused) = (new.ports.len(), Vec::new());
    for interface in interfaces {
        let is_its_port = |port: &PortConfig| port.device == interface;
        if new.ports.iter().any(is_its_port) {
            continue;
        }
        let Some(pattern) = config.patterns.iter().find(|known| known.means(interface)) else {
            continue;
        };
        match refusal(&new, fixed, pattern, interface) {
            None => new.ports.push(PortConfig {
                name: interface.to_owned(),
                device: interface.to_owned(),
                made_by: Some(pattern.port.name.clone()),
                ..pattern.port.clone()
            }),
            Some(why) => refused.push(NotMatched { interface: interface.to_owned(), why }),
        }
    }
    let is_there = |name: &String| new.ports.iter().any(|port| port.name == *name);
    new.fdb.retain(|entry| entry.port.as_ref().is_none_or(is_there));
    (new, refused)
}

fn refusal(new: &Config, fixed: usize, pattern: &PatternConfig, interface: &str) -> Option<String> {
    let by = &pattern.port.name;
    let made = new.ports.iter().skip(fixed).filter(|port| port.made_by.as_ref() == Some(by)).count();
    if let Err((wrong, help)) = check_name(interface) {
        return Some(format!("a port is to be named like it, and the name {wrong} ({help})"));
    }
    let named_so = |name: &String| name == interface;
    if new.ports.iter().map(|port| &port.name).any(named_so)
        || new.patterns.iter().map(|pattern| &pattern.port.name).any(named_so)
    {
        return Some(format!("there is another port named {interface}: give that one another name"));
    }
    if made >= pattern.max_ports {
        return Some(format!("{by} has {made} ports already: max_ports says so"));
    }
    (new.ports.len() >= MAX_PORTS).then(|| format!("a switch has {MAX_PORTS} ports at most"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        for (pattern, name) in
            [("vnet*", "vnet"), ("vnet*", "vnet12"), ("*-lan", "a-lan"), ("v*t*0", "vnet0"), ("v**0", "v0")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("vnet*", "vne"), ("vnet*", "xvnet0"), ("*-lan", "a-lan2"), ("v*t*0", "vnet1"), ("a*a", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn each_interface_gets_the_port_of_the_first_pattern_that_means_it() {
        let text = "[ports.up]\ntype = \"raw\"\ndevice = \"vnet9\"\n[ports.vnet5]\ntype = \"raw\"\ndevice = \"eth5\"\n\
                    [ports.quiet]\ntype = \"raw\"\ndevice = \"vnet1*\"\nflood = false\n\
                    [ports.all]\ntype = \"raw\"\ndevice = \"vnet*\"\nmax_ports = 2\n\
                    [[fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"up\"\n";
        let config = crate::parse("x.toml", text).unwrap();
        assert_eq!((config.ports.len(), config.patterns.len()), (2, 2));
        let interfaces = ["lo", "vnet9", "vnet10", "vnet5", "vnet2", "vnet3", "vnet4", "vnet1"];
        let (new, refused) = matched(&config, interfaces);
        let made: Vec<_> = new.ports[2..]
            .iter()
            .map(|port| (port.name.as_str(), port.made_by.as_deref().unwrap(), port.rules.flood))
            .collect();
        assert_eq!(
            made,
            [
                ("vnet10", "quiet", false),
                ("vnet2", "all", true),
                ("vnet3", "all", true),
                ("vnet1", "quiet", false)
            ]
        );
        let refused: Vec<_> = refused.iter().map(|not| (not.interface.as_str(), not.why.as_str())).collect();
        assert_eq!(refused.iter().map(|not| not.0).collect::<Vec<_>>(), ["vnet5", "vnet4"]);
        assert!(
            refused[0].1.contains("another port named vnet5") && refused[1].1.contains("all has 2 ports")
        );
        // Again with what is left: nothing is kept of what has gone, and the file is still the file.
        let (later, _) = matched(&new, ["vnet3"]);
        assert_eq!(later.ports.len(), 3);
        assert_eq!(crate::to_toml(&new), crate::to_toml(&config));
        assert_eq!(matched(&config, []).0, config);
        let most: Vec<_> = (0..2000).map(|number| format!("vnet1{number:04}")).collect();
        let (most, refused) = matched(&config, most.iter().map(String::as_str));
        assert_eq!((most.ports.len(), refused.len()), (1023, 979));
    }
}
