//! `[profiles.NAME]`: settings that ports share. A port takes them with `profile = "NAME"`, and its own keys win.

use toml::de::{DeTable, DeValue};

use crate::keys::{KINDS, Key, NOT_SHARED, PORT};
use crate::model::Profile;
use crate::names::check_name;
use crate::port;
use crate::problem::{Findings, quoted};
use crate::render;
use crate::section::{At, Section, did_you_mean, in_order, integer, type_name};
use crate::vlans;

/// A profile, with all of its table that is right.
pub(crate) struct PlacedProfile<'d> {
    pub(crate) name: &'d str,
    table: DeTable<'d>,
}

/// Reads all profiles. What is wrong in one is told once, whoever takes it.
pub(crate) fn read_all<'d>(profiles: &'d DeTable<'d>, findings: &mut Findings<'_>) -> Vec<PlacedProfile<'d>> {
    let mut all = Vec::new();
    for (name, value) in in_order(profiles) {
        match value.get_ref() {
            DeValue::Table(table) => all.push(read(name, table, findings)),
            other => {
                let message =
                    format!("profile {} must be a table, not {}", quoted(name.value), type_name(other));
                findings.add(name.span, message, "as [profiles.vm] with its options in the lines below");
            }
        }
    }
    all
}

fn read<'d>(name: At<&'d str>, table: &'d DeTable<'d>, findings: &mut Findings<'_>) -> PlacedProfile<'d> {
    if let Err((wrong, help)) = check_name(name.value) {
        findings.add(name.span.clone(), format!("the name of profile {} {wrong}", quoted(name.value)), help);
    }
    let keys = || PORT.iter().chain(KINDS.iter().flat_map(|kind| kind.keys));
    let shared: Vec<&'static Key> = keys().filter(|key| !NOT_SHARED.contains(&key.name)).collect();
    let title = format!("[profiles.{}]", quoted(name.value).trim_matches('`'));
    let section = Section::new(title, name.span, shared.iter().copied(), table);
    section.unknown_keys(findings, |key| {
        NOT_SHARED.contains(&key).then(|| {
            let message = format!("`{key}` can't stand in a profile");
            (message, "it belongs to one port: write it below [ports.NAME]".to_owned())
        })
    });
    port::check_values(&section, findings);
    let mut right = DeTable::new();
    for (key, value) in table {
        if shared.iter().any(|known| known.name == key.get_ref()) && !findings.touch(&value.span()) {
            right.insert(key.clone(), value.clone());
        }
    }
    PlacedProfile { name: name.value, table: right }
}

impl<'d> PlacedProfile<'d> {
    /// The table of a port that takes this profile. Of VLANs it takes all or, where it has a key of its own about
    /// them, nothing.
    pub(crate) fn under(&self, own: &DeTable<'d>) -> DeTable<'d> {
        let own_vlans = vlans::OF_PORT.iter().any(|key| own.contains_key(*key));
        let mut table = own.clone();
        for (key, value) in &self.table {
            let name = key.get_ref().as_ref();
            let own_wins = own.contains_key(name) || own_vlans && vlans::OF_PORT.contains(&name);
            if !own_wins {
                table.insert(key.clone(), value.clone());
            }
        }
        table
    }

    /// What the profile says by itself.
    pub(crate) fn table(&self) -> &DeTable<'d> {
        &self.table
    }

    pub(crate) fn into_config(self) -> Profile {
        let keys = in_order(&self.table).into_iter();
        let keys = keys.map(|(key, value)| (key.value.to_owned(), written(value.get_ref()))).collect();
        Profile { name: self.name.to_owned(), keys }
    }
}

/// A value as it is written in a file.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => render::text(text),
        DeValue::Integer(number) => integer(number).unwrap_or_default().to_string(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Array(array) => {
            let elements: Vec<_> = array.iter().map(|element| written(element.get_ref())).collect();
            format!("[{}]", elements.join(", "))
        }
        // No key takes one.
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => String::new(),
    }
}

/// The profile that a port names; tells of one that is not there.
pub(crate) fn named<'p, 'd>(
    section: &Section<'_>,
    profiles: &'p [PlacedProfile<'d>],
    findings: &mut Findings<'_>,
) -> Option<&'p PlacedProfile<'d>> {
    let written = section.text("profile", findings)?;
    let found = profiles.iter().find(|profile| profile.name == written.value);
    if found.is_none() && !findings.broken_tables() {
        let message = format!("no profile {} for {}", quoted(written.value), section.title);
        let help = match profiles {
            [] => "there are none: a profile begins with a line [profiles.NAME]".to_owned(),
            some => did_you_mean(written.value, some.iter().map(|profile| profile.name)),
        };
        findings.add(written.span, message, help);
    }
    found
}
