//! What the kernel says of one thread of this process: whether it runs, and where it waits.

use std::fs;

/// The kernel's number of the calling thread.
pub(crate) fn id() -> u32 {
    // SAFETY: no argument, no precondition, cannot fail.
    let id = unsafe { libc::gettid() };
    u32::try_from(id).expect("a thread's number is positive")
}

/// What a thread does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It runs, or waits for a processor.
    Runs,
    /// It waits in the kernel.
    Waits(Wait),
    /// Stopped by a signal or a debugger.
    Stopped,
}

/// Where it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The system call, or the kernel's function; if either is known.
    pub(crate) place: Option<String>,
    pub(crate) kind: WaitKind,
}

/// What for, as far as the call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// A futex: a lock, a channel, a thread's end.
    Lock,
    /// Time to go by.
    Sleep,
    /// A descriptor.
    Descriptor,
    /// A child process.
    Child,
    /// Something else, or nobody knows.
    Other,
}

/// What the thread of that number does now. None: there is no such thread, or no `/proc`.
pub(crate) fn doing(thread: u32) -> Option<Doing> {
    let read = |file| fs::read_to_string(format!("/proc/self/task/{thread}/{file}"));
    Some(match state(&read("stat").ok()?)? {
        'R' => Doing::Runs,
        'T' | 't' => Doing::Stopped,
        _ => {
            // Each may be missing: the first two are matters of the kernel's configuration, and of who may see what.
            let call = read("syscall").ok().and_then(|text| number(&text));
            let (place, kind) = match call {
                Some(call) => named(call),
                None => (None, WaitKind::Other),
            };
            let function = || read("wchan").ok().filter(|name| !matches!(name.as_str(), "" | "0"));
            let place = place.map(String::from).or_else(function);
            let place = place.or_else(|| call.map(|call| format!("system call {call}")));
            Doing::Waits(Wait { place, kind })
        }
    })
}

/// The third field of `stat`: what follows the name, which may have any character in it.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The first field of `syscall`, if it is the number of a call; it is `running`, or -1 in a page fault.
fn number(syscall: &str) -> Option<libc::c_long> {
    syscall.split_whitespace().next()?.parse().ok().filter(|&call| call >= 0)
}

/// The name of a system call in which a thread may wait for long, and what that means.
fn named(call: libc::c_long) -> (Option<&'static str>, WaitKind) {
    macro_rules! table {
        ($($(#[$attribute:meta])* $kind:ident: $($name:ident = $number:ident),*;)*) => {
            $($(#[$attribute])* {
                $(if call == libc::$number { return (Some(stringify!($name)), WaitKind::$kind); })*
            })*
        };
    }
    table! {
        Lock: futex = SYS_futex, futex_waitv = SYS_futex_waitv;
        Sleep: nanosleep = SYS_nanosleep, clock_nanosleep = SYS_clock_nanosleep;
        Descriptor: read = SYS_read, readv = SYS_readv, pread64 = SYS_pread64, preadv = SYS_preadv,
            write = SYS_write, writev = SYS_writev, pwrite64 = SYS_pwrite64, recvfrom = SYS_recvfrom,
            recvmsg = SYS_recvmsg, sendto = SYS_sendto, sendmsg = SYS_sendmsg, accept = SYS_accept,
            accept4 = SYS_accept4, connect = SYS_connect, ppoll = SYS_ppoll, pselect6 = SYS_pselect6,
            epoll_pwait = SYS_epoll_pwait, epoll_pwait2 = SYS_epoll_pwait2, splice = SYS_splice,
            sendfile = SYS_sendfile, io_uring_enter = SYS_io_uring_enter;
        // Newer architectures do without these.
        #[cfg(target_arch = "x86_64")]
        Descriptor: poll = SYS_poll, select = SYS_select, epoll_wait = SYS_epoll_wait;
        Child: wait4 = SYS_wait4, waitid = SYS_waitid;
        Other: fsync = SYS_fsync, fdatasync = SYS_fdatasync, openat = SYS_openat, flock = SYS_flock,
            fcntl = SYS_fcntl, ioctl = SYS_ioctl, getdents64 = SYS_getdents64, statx = SYS_statx,
            unlinkat = SYS_unlinkat, msync = SYS_msync, madvise = SYS_madvise, munmap = SYS_munmap,
            rt_sigtimedwait = SYS_rt_sigtimedwait, rt_sigsuspend = SYS_rt_sigsuspend;
        #[cfg(target_arch = "x86_64")]
        Other: open = SYS_open, pause = SYS_pause;
    }
    (None, WaitKind::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    #[test]
    fn the_state_is_after_the_name() {
        assert_eq!(state("12 (a) b) S 1 12"), Some('S'));
        assert_eq!(state("12 (worker-0) R 1 12"), Some('R'));
        assert_eq!(state("12"), None);
    }

    #[test]
    fn numbers_of_calls() {
        assert_eq!(number("202 0x7f 0x80 0x0\n"), Some(202));
        assert_eq!(number("running\n"), None);
        assert_eq!(number("-1 0x7ffe 0x5581\n"), None);
        assert_eq!(named(libc::SYS_futex), (Some("futex"), WaitKind::Lock));
        assert_eq!(named(100_000), (None, WaitKind::Other));
    }

    #[test]
    fn the_caller_runs_and_one_that_waits_for_a_message_does_not() {
        assert_eq!(doing(id()), Some(Doing::Runs));
        assert_eq!(doing(u32::MAX), None);
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || {
            tell.send(id()).unwrap();
            let _ = stopped.recv();
        });
        let thread = told.recv().unwrap();
        let begin = Instant::now();
        // Until then it may be on its way.
        while !matches!(doing(thread), Some(Doing::Waits(_))) {
            assert!(begin.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        if let Some(Doing::Waits(wait)) = doing(thread)
            && wait.place.as_deref() == Some("futex")
        {
            assert_eq!(wait.kind, WaitKind::Lock);
        }
        drop(stop);
        waiting.join().unwrap();
    }
}
