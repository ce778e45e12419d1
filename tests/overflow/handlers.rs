//! Handlers of a program's own, as it might have installed them before or after layby's.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{mem, ptr};

use libc::{c_int, c_void, siginfo_t};

/// The address that the next fault is to be at.
pub(crate) static EXPECTED: AtomicUsize = AtomicUsize::new(0);
pub(crate) static CALLS: AtomicUsize = AtomicUsize::new(0);
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs one of them for SIGSEGV.
pub(crate) fn install(kind: &str) {
    let (handler, flags) = match kind {
        "default" => (libc::SIG_DFL, 0),
        "ignore" => (libc::SIG_IGN, 0),
        "plain" => (plain as *const () as usize, libc::SA_ONSTACK),
        "long" => (long as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK),
        "nodefer" => (nodefer as *const () as usize, libc::SA_SIGINFO | libc::SA_NODEFER),
        "repair" => (repair as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK),
        "once" => (repair as *const () as usize, libc::SA_SIGINFO | libc::SA_RESETHAND),
        "passing" => (passing as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK),
        _ => panic!("no handler {kind:?}"),
    };
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: SIGUSR1 is to be blocked in the handler, which it checks.
    unsafe { libc::sigaddset(&raw mut action.sa_mask, libc::SIGUSR1) };
    // SAFETY: all zeros is a valid sigaction.
    let mut before: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the handlers are async-signal-safe and of the type that the flags say.
    let result = unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut before) };
    assert_eq!(result, 0);
    let _ = BEFORE.set(before);
}

fn end(code: c_int) -> ! {
    // SAFETY: ends the process at once, running nothing of it.
    unsafe { libc::_exit(code) }
}

/// Whether a signal is blocked now.
fn blocked(signal: c_int) -> bool {
    // SAFETY: all zeros is a valid signal set.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: only asks; `set` is a place for the answer.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set) };
    // SAFETY: a valid set and a signal.
    unsafe { libc::sigismember(&raw const set, signal) == 1 }
}

fn addr(info: *mut siginfo_t) -> usize {
    // SAFETY: the kernel's, valid until the handler returns.
    let info = unsafe { &*info };
    // SAFETY: it is that of a fault.
    unsafe { info.si_addr() }.addr()
}

/// 42: as it should be. 43: somewhere else. 44: sent. 45: the blocked signals are wrong.
fn judge(signal: c_int, info: *mut siginfo_t, nodefer: bool) -> c_int {
    // SAFETY: the kernel's, or as passed on.
    let code = unsafe { (*info).si_code };
    if signal != libc::SIGSEGV || blocked(libc::SIGSEGV) == nodefer || !blocked(libc::SIGUSR1) {
        45
    } else if code <= 0 {
        if EXPECTED.load(SeqCst) == 0 { 42 } else { 44 }
    } else if addr(info) == EXPECTED.load(SeqCst) {
        42
    } else {
        43
    }
}

extern "C" fn plain(signal: c_int) {
    end(if signal == libc::SIGSEGV && blocked(libc::SIGUSR1) { 42 } else { 45 });
}

extern "C" fn long(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    assert!(!context.is_null());
    end(judge(signal, info, false));
}

extern "C" fn nodefer(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    end(judge(signal, info, true));
}

/// Makes the page accessible, as a garbage collector might, and goes on.
extern "C" fn repair(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    CALLS.fetch_add(1, SeqCst);
    let page = ptr::without_provenance_mut(addr(info) & !0xfff);
    // SAFETY: the page that the child has made inaccessible.
    if unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
        end(46);
    }
}

/// Gives the signal to whoever had it before.
extern "C" fn passing(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    let Some(before) = BEFORE.get() else { end(47) };
    if before.sa_flags & libc::SA_SIGINFO == 0 {
        end(48);
    }
    let handler: *const () = ptr::with_exposed_provenance(before.sa_sigaction);
    // SAFETY: a handler of that type, by its flags.
    let handler = unsafe { mem::transmute::<*const (), Handler>(handler) };
    handler(signal, info, context);
}
