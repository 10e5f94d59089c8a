//! The system calls that switchd makes. Whoever adds one to the program finds it told on stderr by any test that makes
//! it, and adds it here.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The numbers of system calls by their names.
macro_rules! calls {
    ($($name:ident)*) => { [$(libc::$name as c_long),*] };
}

/// What every thread does: memory, locks, time, and what the language's runtime asks.
const RUNTIME: [c_long; 34] = calls![
    SYS_brk SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_futex SYS_sched_yield
    SYS_sched_getaffinity SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_restart_syscall SYS_sigaltstack SYS_tgkill
    SYS_getpid SYS_gettid SYS_exit SYS_exit_group SYS_set_robust_list SYS_rseq SYS_getrandom SYS_membarrier
    SYS_prctl SYS_seccomp SYS_read SYS_write SYS_close SYS_getrusage
];

/// Frames, commands and the watchdog: all on descriptors that are open. Only queues of a port and the sockets of
/// commands are registered, asked and closed.
const FRAMES: [c_long; 21] = calls![
    SYS_readv SYS_writev SYS_sendto SYS_sendmsg SYS_sendmmsg SYS_recvfrom SYS_recvmsg SYS_recvmmsg
    SYS_getsockname SYS_getsockopt SYS_setsockopt SYS_ioctl SYS_fcntl SYS_dup SYS_fstat SYS_epoll_ctl SYS_epoll_pwait
    SYS_epoll_pwait2 SYS_ppoll SYS_timerfd_settime SYS_shutdown
];

/// What control does beside that: files of its own, sockets, the devices of ports.
const CONTROL: [c_long; 57] = calls![
    SYS_openat SYS_newfstatat SYS_statx SYS_lseek SYS_pread64 SYS_pwrite64 SYS_getdents64 SYS_readlinkat
    SYS_faccessat SYS_faccessat2 SYS_mkdirat SYS_unlinkat SYS_renameat2 SYS_fchmod SYS_fchmodat SYS_umask
    SYS_getcwd SYS_ftruncate SYS_fallocate SYS_flock SYS_fsync SYS_fdatasync SYS_fstatfs SYS_memfd_create SYS_dup3 SYS_pipe2
    SYS_socket SYS_socketpair SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect
    SYS_getpeername SYS_epoll_create1 SYS_eventfd2 SYS_timerfd_create SYS_capget SYS_capset SYS_getuid
    SYS_geteuid SYS_getgid SYS_getegid SYS_getppid SYS_uname SYS_prlimit64 SYS_sysinfo
    SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self
    SYS_set_tid_address SYS_clone SYS_clone3 SYS_execve SYS_wait4 SYS_waitid SYS_kill
];

/// Those that newer architectures don't have.
#[cfg(target_arch = "x86_64")]
const OLD_OF_FORWARDING: [c_long; 2] = calls![SYS_epoll_wait SYS_poll];
#[cfg(target_arch = "x86_64")]
const OLD: [c_long; 15] = calls![
    SYS_open SYS_stat SYS_lstat SYS_access SYS_readlink SYS_mkdir SYS_unlink SYS_rename SYS_chmod SYS_pipe
    SYS_dup2 SYS_arch_prctl SYS_vfork SYS_fork SYS_time
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_OF_FORWARDING: [c_long; 0] = [];
#[cfg(not(target_arch = "x86_64"))]
const OLD: [c_long; 1] = calls![SYS_renameat];

/// The kinds of socket that there are.
const FAMILIES: [libc::c_int; 5] =
    [libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_INET, libc::AF_INET6];

/// What the process may call.
pub(super) fn of_process() -> Vec<c_long> {
    [&RUNTIME[..], &FRAMES, &CONTROL, &OLD_OF_FORWARDING, &OLD].concat()
}

/// What the forwarding thread may call once it forwards: it opens, connects and starts nothing.
pub(super) fn of_forwarding() -> Vec<c_long> {
    [&RUNTIME[..], &FRAMES, &OLD_OF_FORWARDING].concat()
}

/// A filter that lets pass these calls, sockets of some families only, and tells of all others.
///
/// # Errors
/// This architecture is not known.
pub(super) fn filter(calls: &[c_long]) -> anyhow::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    if let Some(sockets) = rules.get_mut(&libc::SYS_socket) {
        for family in FAMILIES {
            let family = u64::from(family.unsigned_abs());
            let is = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family)?;
            sockets.push(SeccompRule::new(vec![is])?);
        }
    }
    let target = std::env::consts::ARCH.try_into().map_err(|error| anyhow!("{error}"))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, target)?;
    filter.try_into().context("can't make the filter of system calls")
}

/// Whether the system calls of this thread are filtered.
pub(super) fn are_filtered() -> bool {
    rustix::thread::secure_computing_mode()
        .is_ok_and(|mode| mode == rustix::thread::SecureComputingMode::Filter)
}
