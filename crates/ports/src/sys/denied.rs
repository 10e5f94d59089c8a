//! What becomes of a system call that this process's own filter forbids (`SECCOMP_RET_TRAP`, `seccomp(2)`): it is
//! told on stderr which one it was, and fails as one that is not permitted.

use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// So many are told; what calls it over and over is known by then.
const TOLD: u32 = 8;

/// `si_code` of a signal that a filter has sent.
const SYS_SECCOMP: libc::c_int = 1;

static COUNT: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicI32 = AtomicI32::new(-1);

/// The part of `siginfo_t` that SIGSYS has (`struct _sigsys` of `asm-generic/siginfo.h`).
#[repr(C)]
struct SigSys {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    call_address: *mut libc::c_void,
    number: libc::c_int,
}

/// From now on forbidden calls are told.
///
/// # Errors
/// As `sigaction(2)`.
pub fn tell() -> io::Result<()> {
    // SAFETY: all zeros are a sigaction without flags; the handler has the form that SA_SIGINFO asks for, and does
    // only what a signal handler may.
    let result = unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSYS, &raw const action, null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many calls were forbidden so far, and the number of the last one.
#[must_use]
pub fn so_far() -> (u32, i32) {
    (COUNT.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed))
}

extern "C" fn handle(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a whole siginfo, which is longer than the part of it that is read here.
    let SigSys { code, number, .. } = unsafe { info.cast::<SigSys>().read() };
    if code != SYS_SECCOMP {
        return;
    }
    // SAFETY: with SA_SIGINFO the third argument is a ucontext.
    fail(unsafe { &mut *context.cast::<libc::ucontext_t>() });
    LAST.store(number, Ordering::Relaxed);
    if COUNT.fetch_add(1, Ordering::Relaxed) < TOLD {
        tell_number(number);
    }
}

/// Makes the call that was forbidden return EPERM.
#[cfg(target_arch = "x86_64")]
fn fail(context: &mut libc::ucontext_t) {
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = i64::from(-libc::EPERM);
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn fail(context: &mut libc::ucontext_t) {
    context.uc_mcontext.regs[0] = i64::from(-libc::EPERM) as u64;
}

/// In one write without memory of its own: more is not allowed in a signal handler.
fn tell_number(number: i32) {
    const BEFORE: &[u8] = b"switchd: system call ";
    const AFTER: &[u8] =
        b" is not one that switchd makes; it was refused. `ausyscall NUMBER` names it; please report it\n";
    let mut text = [0; BEFORE.len() + 10 + AFTER.len()];
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        text[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    put(BEFORE);
    let (mut digits, mut first, mut rest) = ([0; 10], 10, number.unsigned_abs());
    while rest > 0 || first == 10 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    put(&digits[first..]);
    put(AFTER);
    // SAFETY: these bytes are there; errno is given back as it was, as whoever was interrupted may look at it.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), len);
        *libc::__errno_location() = errno;
    }
}
