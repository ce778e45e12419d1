//! Faults of the process's own code: a handler for SIGSEGV and SIGBUS that goes before whatever was there.
//!
//! # Who gets a fault
//! ```text
//!   fault ──▶ handler ──▶ judge: "mine" ──────────────────────────▶ (it reports, and aborts)
//!                           │ returns
//!                           ▼                    ┌ a function      it is called, and may return or jump away
//!              what was there before the install ┼ SIG_DFL         is restored; the fault comes again
//!                                                └ SIG_IGN         likewise; the kernel ends a process that
//!                                                                  ignores a fault; if it was sent: ignored
//! ```
//! *Comes again*: returning from a handler repeats the instruction that faulted. A signal that was sent
//! (`kill`), or that the kernel raised for another reason than an access, would not come again; the
//! handler raises it anew, and it strikes on return, since it is blocked until then.
//!
//! *As if we were not there.* The previous handler sees the same arguments, the same blocked signals (its
//! mask is ours) and, with `SA_NODEFER`, `SA_RESTART` and `SA_RESETHAND`, what it asked for. The
//! one difference: it runs on the thread's signal stack, if there is one, even without `SA_ONSTACK`. It must:
//! which stack to use is decided before anybody knows whose fault it is.
//!
//! *Once.* The handler is installed once in the process and never taken back or put in front again: a
//! handler that was installed later and passes on to ours would otherwise be ours to pass on to, for
//! ever. Who replaces it without passing on has chosen to do without the report.
//!
//! # Async-signal-safety
//! A fault may strike anywhere: in `malloc`, under a lock, in the middle of a switch. So nothing that runs
//! here allocates, locks, unwinds, or calls anything but system calls.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::{io, mem};

use libc::{c_int, c_void, siginfo_t};

/// An access that faulted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The address that was touched.
    pub(crate) addr: usize,
    /// The stack pointer at that moment, where it is known how to ask for it.
    pub(crate) sp: Option<usize>,
}

/// Looks at a fault on the thread that it happened on, and returns if it is not its business.
///
/// Async-signal-safe; does not unwind.
pub(crate) type Judge = fn(&Fault);

static JUDGE: OnceLock<Judge> = OnceLock::new();

/// What was there before.
struct Previous {
    signal: c_int,
    /// `SIG_DFL`, `SIG_IGN` or the address of a function. Release on store pairs with the Acquire in
    /// `pass_on`: who sees a handler sees its flags.
    handler: AtomicUsize,
    flags: AtomicI32,
}

impl Previous {
    const fn of(signal: c_int) -> Previous {
        Previous { signal, handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0) }
    }

    fn set(&self, action: &libc::sigaction) {
        self.flags.store(action.sa_flags, Ordering::Relaxed);
        self.handler.store(action.sa_sigaction, Ordering::Release);
    }
}

/// Linux says SIGSEGV for a guard; emulators have been seen to say SIGBUS.
static PREVIOUS: [Previous; 2] = [Previous::of(libc::SIGSEGV), Previous::of(libc::SIGBUS)];

/// Shows `judge` every fault from now on. Only the first call does anything.
///
/// Best effort: where the system forbids it (a seccomp filter), faults go where they went before.
pub(crate) fn watch_faults(judge: Judge) {
    if JUDGE.set(judge).is_err() {
        return;
    }
    for previous in &PREVIOUS {
        let Ok(before) = exchange(previous.signal, None) else { continue };
        // Before the handler that reads it.
        previous.set(&before);
        let mut action = before;
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handler;
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags =
            libc::SA_SIGINFO | libc::SA_ONSTACK | before.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART);
        // What another thread has installed in between, if so, is what we have replaced.
        if let Ok(before) = exchange(previous.signal, Some(&action)) {
            previous.set(&before);
        }
    }
}

/// The present action for a signal, replaced by `new` if that is given. Async-signal-safe.
fn exchange(signal: c_int, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: a sigaction is integers, and a pointer that may be null: all zeros is one.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a valid action, whose handler is SIG_DFL, SIG_IGN or `handler`, which may
    // be called at any time; `old` is a place for the answer.
    if unsafe { libc::sigaction(signal, new, &raw mut old) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(old)
}

/// What the kernel calls.
extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: null, or what the kernel has put on the signal stack: valid until the handler returns.
    let details = unsafe { info.as_ref() };
    // Positive: from the kernel. Otherwise somebody has sent it, and where an address would be there are
    // other things.
    let code = details.map_or(0, |info| info.si_code);
    let is_access = code > 0 && code != libc::SI_KERNEL;
    if let (true, Some(info), Some(judge)) = (is_access, details, JUDGE.get()) {
        // SAFETY: this is SIGSEGV or SIGBUS from the kernel, for an access: the address is there.
        let addr = unsafe { info.si_addr() }.addr();
        judge(&Fault { addr, sp: stack_pointer(context) });
    }
    if let Some(previous) = PREVIOUS.iter().find(|p| p.signal == signal) {
        pass_on(previous, info, context, code);
    }
}

/// See the module's documentation.
fn pass_on(previous: &Previous, info: *mut siginfo_t, context: *mut c_void, code: c_int) {
    // Acquire: pairs with the Release in `Previous::set`.
    let before = previous.handler.load(Ordering::Acquire);
    let flags = previous.flags.load(Ordering::Relaxed);
    match before {
        libc::SIG_DFL => {
            restore(previous.signal, libc::SIG_DFL);
            if code <= 0 || code == libc::SI_KERNEL {
                // SAFETY: async-signal-safe; takes an integer. The action is the default one by now.
                unsafe { libc::raise(previous.signal) };
            }
        }
        libc::SIG_IGN if code > 0 => restore(previous.signal, libc::SIG_IGN),
        libc::SIG_IGN => {}
        function => {
            if flags & libc::SA_RESETHAND != 0 {
                previous.handler.store(libc::SIG_DFL, Ordering::Release);
            }
            let function: *const () = ptr::with_exposed_provenance(function);
            if flags & libc::SA_SIGINFO != 0 {
                type Long = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
                // SAFETY: the address of a handler that was installed as one of this type.
                let function = unsafe { mem::transmute::<*const (), Long>(function) };
                function(previous.signal, info, context);
            } else {
                type Short = extern "C" fn(c_int);
                // SAFETY: the address of a handler that was installed as one of this type.
                let function = unsafe { mem::transmute::<*const (), Short>(function) };
                function(previous.signal);
            }
        }
    }
}

/// `SIG_DFL` or `SIG_IGN` instead of our handler.
fn restore(signal: c_int, action: usize) {
    // SAFETY: as in `exchange`.
    let mut new: libc::sigaction = unsafe { mem::zeroed() };
    new.sa_sigaction = action;
    // Nothing to be done about an error.
    let _ = exchange(signal, Some(&new));
}

/// Where the stack was when the signal struck.
fn stack_pointer(context: *mut c_void) -> Option<usize> {
    // SAFETY: null, or the machine's state as the kernel has put it on the signal stack.
    let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() }?;
    #[cfg(target_arch = "x86_64")]
    return Some(context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    return Some(context.uc_mcontext.sp as usize);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return {
        let _ = context;
        None
    };
}

/// Writes to stderr as far as that goes: by `write(2)`, past all buffers. Async-signal-safe.
pub(crate) fn write_stderr(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and the length are those of a slice.
        let written = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            // A pointer to a thread-local of the C library's: async-signal-safe.
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return,
        }
    }
}
