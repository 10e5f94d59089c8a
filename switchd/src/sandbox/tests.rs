//! What is not on the lists fails, and it is told what it was. Each test has a process of its own where they are run by
//! nextest; what a test restricts is a thread of its own all the same.

use std::fs::File;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::*;

/// Runs `work` on a thread that ends with it, and with it what restricts it.
fn on_a_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn refused<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
}

#[test]
fn the_thread_that_forwards_can_use_what_is_open_and_open_nothing() {
    denied::tell().unwrap();
    on_a_thread(|| {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        apply_filter(&calls::filter(&calls::of_forwarding()).unwrap()).unwrap();
        ours.send(b"frame").unwrap();
        assert_eq!(theirs.recv(&mut [0; 9]).unwrap(), 5);
        drop(vec![0; 1 << 22]);
        let (before, _) = denied::so_far();
        assert!(refused(File::open("/dev/null")));
        assert_eq!(i64::from(denied::so_far().1), libc::SYS_openat);
        assert!(refused(UdpSocket::bind("127.0.0.1:0")));
        assert_eq!(i64::from(denied::so_far().1), libc::SYS_socket);
        assert_eq!(denied::so_far().0, before + 2);
    });
}

#[test]
fn the_process_makes_sockets_of_its_own_families_and_calls_nothing_strange() {
    denied::tell().unwrap();
    on_a_thread(|| {
        apply_filter(&calls::filter(&calls::of_process()).unwrap()).unwrap();
        assert!(File::open("/dev/null").is_ok() && UdpSocket::bind("127.0.0.1:0").is_ok());
        let bluetooth = rustix::net::AddressFamily::from_raw(31);
        let socket = rustix::net::socket(bluetooth, rustix::net::SocketType::DGRAM, None);
        assert_eq!(socket.unwrap_err(), rustix::io::Errno::PERM);
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(rustix::process::chroot(directory.path()).unwrap_err(), rustix::io::Errno::PERM);
        assert_eq!(i64::from(denied::so_far().1), libc::SYS_chroot);
    });
}

/// The lists hold every call once.
#[test]
fn no_call_is_listed_twice() {
    let mut calls = calls::of_process();
    calls.sort_unstable();
    let all = calls.len();
    calls.dedup();
    assert_eq!(calls.len(), all);
}

#[test]
fn files_of_others_can_be_neither_read_nor_written_nor_started() {
    let (ours, run, theirs) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = ours.path().join("switchd.toml");
    std::fs::write(&config, "").unwrap();
    std::fs::write(theirs.path().join("secret"), "").unwrap();
    let socket = ours.path().join("metrics");
    let own = Files { config: Some(&config), run_dir: run.path(), sockets: &[&socket] };
    on_a_thread(|| {
        if files::restrict(&own).unwrap() == files::Restricted::Nothing {
            panic!("this kernel has no Landlock");
        }
        let denied = |result: std::io::Result<File>| {
            result.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        assert!(denied(File::open(theirs.path().join("secret"))));
        assert!(denied(File::create(theirs.path().join("more"))));
        assert!(denied(File::create(&config)), "the configuration is only read");
        assert!(Command::new("/usr/bin/true").status().is_err());
        // One that is put in its place can be read too.
        assert!(File::open(&config).is_ok() && File::open("/proc/self/status").is_ok());
        std::fs::write(run.path().join("a"), "").unwrap();
        std::fs::rename(run.path().join("a"), run.path().join("b")).unwrap();
        drop(UnixDatagram::bind(run.path().join("socket")).unwrap());
        drop(UnixDatagram::bind(&socket).unwrap());
        std::fs::remove_file(&socket).unwrap();
    });
}
