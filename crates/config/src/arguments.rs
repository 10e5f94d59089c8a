//! A configuration from the command line: `--name`, `--tap` and `--raw`, without a file.

use std::ops::Range;

use crate::check::PlacedPort;
use crate::model::{BridgeConfig, Config, ControlConfig, PortKind, PortRules, RawConfig, TapConfig};
use crate::names::{check_interface, check_name};
use crate::problem::{Findings, Place, Problems, quoted};
use crate::section::At;

/// The arguments as they would be typed, which is what the messages show.
#[derive(Default)]
struct Line {
    text: String,
    name: Option<Range<usize>>,
    ports: Vec<(&'static str, At<String>)>,
}

impl Line {
    fn new(name: Option<&str>, taps: &[String], raws: &[String]) -> Self {
        let mut line = Self::default();
        line.name = name.map(|name| line.push("--name", name));
        let of_kind = |kind| move |device| (kind, device);
        for (option, device) in taps.iter().map(of_kind("--tap")).chain(raws.iter().map(of_kind("--raw"))) {
            let span = line.push(option, device);
            line.ports.push((option, At { value: device.clone(), span }));
        }
        line
    }

    fn push(&mut self, option: &str, value: &str) -> Range<usize> {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(option);
        self.text.push(' ');
        // A line end in a value must not make a second line of this one.
        self.text.extend(value.chars().map(|c| if c == '\n' { '\u{fffd}' } else { c }));
        start..self.text.len()
    }
}

pub(crate) fn read(name: Option<&str>, taps: &[String], raws: &[String]) -> Result<Config, Problems> {
    let Line { text, name: name_span, ports } = Line::new(name, taps, raws);
    let mut findings = Findings::new(&text);
    let mut bridge = BridgeConfig::default();
    if let (Some(name), Some(span)) = (name, name_span) {
        if let Err((wrong, help)) = check_name(name) {
            findings.add(span, format!("--name {}: the name of the switch {wrong}", quoted(name)), help);
        }
        bridge.name = name.to_owned();
    }
    let mut read: Vec<PlacedPort> = Vec::new();
    for (option, device) in ports {
        if let Some((message, help)) = wrong_with(&device.value, &read) {
            findings.add(device.span.clone(), format!("{option} {}: {message}", quoted(&device.value)), help);
        }
        let kind = match option {
            "--tap" => PortKind::Tap(TapConfig::default()),
            _ => PortKind::Raw(RawConfig::default()),
        };
        let rules = PortRules::default();
        let (name, device, kind) = (device.clone(), Some(device), Some(kind));
        read.push(PlacedPort {
            name,
            device,
            kind,
            host: None,
            rules,
            backup: None,
            vlans: None,
            profile: None,
            max_ports: None,
        });
    }
    if read.is_empty() {
        findings.add_whole("there are no ports: nothing to switch", "as `switchd --tap tap0 --raw eth0`");
    }
    findings.into_problems(Place::Arguments)?;
    let ports = read.into_iter().filter_map(PlacedPort::into_config).collect();
    Ok(Config {
        bridge,
        profiles: Vec::new(),
        ports,
        patterns: Vec::new(),
        private_vlans: Vec::new(),
        fdb: Vec::new(),
        mirrors: Vec::new(),
        metrics: None,
        control: ControlConfig::default(),
    })
}

/// What is wrong with a device as the next port, and what would be right.
fn wrong_with(device: &str, earlier: &[PlacedPort]) -> Option<(String, String)> {
    if let Err((wrong, help)) = check_interface(device) {
        return Some((format!("the interface name {wrong}"), help));
    }
    if let Err((wrong, help)) = check_name(device) {
        let help = format!("{help}; in a file, a port can have another name than its device");
        return Some((format!("the port is named like its device, and the name {wrong}"), help));
    }
    earlier.iter().any(|port| port.name.value == device).then(|| {
        let message = "another port is on this device".to_owned();
        (message, "a device carries one port; name it once".to_owned())
    })
}
