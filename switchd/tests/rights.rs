//! Who may look at a switch and who may change it: real users and groups, as the kernel knows them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod picture;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use control::types::PortChange;
use control::{CallError, Client, ClientError};
use picture::{Picture, SOON};
use rustix::process::{Gid, Uid};
use testbed::Switchd;
use testbed::switchd::binary;

/// Nobody, and groups that every Debian has.
const NOBODY: u32 = 65_534;
const GAMES: u32 = 60;
const USERS: u32 = 100;

#[derive(Debug, PartialEq, Eq)]
enum May {
    Nothing,
    Look,
    Change,
}

/// What a user may who is in these groups.
fn may(switchd: &Switchd, gid: u32, groups: &[u32]) -> May {
    let path = switchd.control_socket();
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let ask = || {
        rustix::thread::set_thread_groups(&groups).unwrap();
        rustix::thread::set_thread_gid(Gid::from_raw(gid)).unwrap();
        rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).unwrap();
        let mut client = Client::connect(&path).unwrap();
        match client.show_ports(None) {
            Err(ClientError::Refused(CallError::NotPermitted(why))) => {
                assert!(why.contains("group"), "{why}");
                return May::Nothing;
            }
            other => assert_eq!(other.unwrap().len(), 1),
        }
        let change = PortChange { hairpin: Some(true), ..PortChange::default() };
        match client.set_port("p1", &change) {
            Ok(()) => May::Change,
            Err(ClientError::Refused(CallError::NotPermitted(_))) => May::Look,
            Err(other) => panic!("{other}"),
        }
    };
    std::thread::scope(|scope| scope.spawn(ask).join().unwrap())
}

fn start(picture: &Picture, control: &str) -> Switchd {
    let switchd = Switchd::start(&picture.switch, &format!("{control}{}", picture.raw_ports())).unwrap();
    fs::set_permissions(switchd.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    switchd
}

#[test]
fn groups_look_and_change_and_a_reload_says_which() {
    let picture = Picture::of(1);
    let switchd = start(&picture, "[control]\ngroup = \"games\"\nadmin_group = \"users\"\n");
    assert_eq!(may(&switchd, NOBODY, &[]), May::Nothing);
    assert_eq!(may(&switchd, NOBODY, &[GAMES]), May::Look);
    assert_eq!(may(&switchd, GAMES, &[]), May::Look, "the primary group counts too");
    assert_eq!(may(&switchd, NOBODY, &[1, 2, USERS]), May::Change);
    let many: Vec<u32> = (1000..1300).chain([USERS]).collect();
    assert_eq!(may(&switchd, NOBODY, &many), May::Change);
    let mut root = switchd.control().unwrap();
    assert!(root.show_config().unwrap().contains("[control]\ngroup = \"games\"\nadmin_group = \"users\"\n"));
    let write = |control: &str| {
        fs::write(switchd.directory().join("switchd.toml"), format!("{control}{}", picture.raw_ports()))
            .unwrap();
    };
    // A group that is not there changes nothing.
    write("[control]\ngroup = \"nosuchgroup\"\n");
    assert!(root.reload().unwrap_err().to_string().contains("there is no group nosuchgroup"));
    assert_eq!(may(&switchd, NOBODY, &[GAMES]), May::Look);
    write("[control]\nadmin_group = \"games\"\n");
    let changes = root.reload().unwrap().changes;
    assert_eq!(changes, ["control: group \"games\" -> default, admin_group \"users\" -> \"games\""]);
    assert_eq!(may(&switchd, NOBODY, &[]), May::Look, "without a group everybody may");
    assert_eq!(may(&switchd, NOBODY, &[GAMES]), May::Change);
    assert_eq!(may(&switchd, NOBODY, &[USERS]), May::Look);
}

#[test]
fn a_group_that_is_not_there_is_told_at_the_start() {
    let picture = Picture::of(1);
    let text = format!("[control]\nadmin_group = \"nosuchgroup\"\n{}", picture.raw_ports());
    let mut refused = Switchd::launch(&binary().unwrap(), &picture.switch, Some(&text), &[]).unwrap();
    refused.wait_for_log("there is no group nosuchgroup", SOON).unwrap();
    assert!(!refused.process().wait(SOON).unwrap().success());
}
