//! Address space from the kernel, as the stacks need it.
//!
//! Thin wrappers over `mmap`, `madvise` and `mprotect`: one call each, no state but two cached
//! answers. What the calls are for is told in the `stack` module.
//!
//! Two ways to make a page fault are offered. A *guard marker* is an entry in the page table: it
//! leaves the mapping in one piece, but exists only since Linux 6.13. *Protection* works
//! everywhere, and cuts the mapping, of which a process may have only `vm.max_map_count`.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

/// `MADV_GUARD_INSTALL` of `<linux/mman.h>`, not yet in every libc. The number is the same on all
/// architectures.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// The size of a page in bytes, a power of two. Asked once.
pub(crate) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: sysconf takes a number, touches no memory of ours and has no preconditions.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("sysconf knows the page size")
    })
}

/// Maps `len` bytes of zeroed, private memory that may be read and written. Nothing is committed:
/// a page costs memory once touched, then 4 KiB and not a huge page (with which each stack would
/// take 2 MiB).
///
/// # Errors
///
/// ENOMEM: the address space (`ulimit -v`, or strict overcommit) or the number of mappings is at
/// its limit. EINVAL: `len` is 0.
pub(crate) fn reserve(len: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: without MAP_FIXED the kernel takes a range that is not in use, so no memory that
    // anybody knows of is changed.
    let map = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(map.cast::<u8>()).expect("the kernel maps nothing at address 0 unasked");
    // SAFETY: the range was mapped above and is ours alone; the advice changes no contents.
    match check(unsafe { libc::madvise(map, len, libc::MADV_NOHUGEPAGE) }).map_err(again_is_enomem) {
        // EINVAL: a kernel built without huge pages.
        Err(e) if e.raw_os_error() != Some(libc::EINVAL) => {
            // SAFETY: the range is the mapping made above, and no pointer to it has left this
            // function.
            unsafe { unmap(start, len) };
            Err(e)
        }
        _ => Ok(start),
    }
}

/// Returns a range to the kernel. Should that fail (the range shared a mapping with its neighbours
/// and `vm.max_map_count` forbids to cut it), the addresses stay taken: a leak, no danger.
///
/// # Safety
///
/// The range is page-aligned, came from [`reserve`], and nothing uses it any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: by the caller the range is of our own making and out of use.
    unsafe { libc::munmap(start.as_ptr().cast(), len) };
}

/// Makes any touch of the range a SIGSEGV (in system calls: EFAULT) by markers in the page table.
/// The contents are lost. The mapping stays in one piece and [`discard`] does not remove the
/// markers.
///
/// # Errors
///
/// EINVAL: the kernel is older than 6.13, or the memory is locked (`mlockall`) and the kernel
/// older than 6.15. ENOMEM: no memory for page tables.
///
/// # Safety
///
/// The range is page-aligned, lies in a mapping from [`reserve`], and nothing uses it any more.
pub(crate) unsafe fn guard_marker(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by the caller nobody misses the contents of the range; nothing else changes.
    check(unsafe { libc::madvise(start.as_ptr().cast(), len, MADV_GUARD_INSTALL) }).map_err(again_is_enomem)
}

/// `madvise` says EAGAIN where the kernel has no memory, or no mapping left to cut one in two: ENOMEM means something else there.
fn again_is_enomem(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => io::Error::from_raw_os_error(libc::ENOMEM),
        _ => error,
    }
}

/// Makes any touch of the range a SIGSEGV by taking away all access. Cuts the mapping: a guarded
/// slot amid others costs two more.
///
/// # Errors
///
/// ENOMEM: the process has `vm.max_map_count` mappings already.
///
/// # Safety
///
/// The range is page-aligned, lies in a mapping from [`reserve`], and nothing uses it any more.
pub(crate) unsafe fn guard_protect(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by the caller nobody needs access to the range; its contents do not change.
    check(unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_NONE) })
}

/// Gives the memory of the range back; when touched again it reads as zero. Guards stay.
///
/// Best effort: locked memory (`mlockall`) keeps its contents, so nobody may rely on the zeros.
///
/// # Safety
///
/// The range is page-aligned, lies in a mapping from [`reserve`], and nothing relies on its
/// contents.
pub(crate) unsafe fn discard(start: NonNull<u8>, len: usize) {
    // SAFETY: by the caller the contents may go; the range stays mapped.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTNEED) };
}

/// How many bytes of the range are in memory.
#[cfg(test)]
pub(crate) fn resident(start: NonNull<u8>, len: usize) -> usize {
    let mut pages = vec![0_u8; len.div_ceil(page_size())];
    // SAFETY: `pages` has a byte for each page of the range; nothing else is written.
    check(unsafe { libc::mincore(start.as_ptr().cast(), len, pages.as_mut_ptr()) }).expect("it is mapped");
    pages.iter().filter(|&&page| page & 1 != 0).count() * page_size()
}

/// The lowest page of the range that has memory, that is: was touched since it was mapped or discarded. None: no page has.
/// (A page that was swapped out meanwhile does not count.)
///
/// # Safety
///
/// The range is page-aligned and lies in a mapping from [`reserve`].
pub(crate) unsafe fn lowest_touched(start: NonNull<u8>, len: usize) -> Option<usize> {
    /// So many pages are asked for at once.
    const PAGES: usize = 4096;
    let page = page_size();
    let mut resident = [0_u8; PAGES];
    for offset in (0..len).step_by(PAGES * page) {
        let part = (len - offset).min(PAGES * page);
        // SAFETY: `offset` is inside the range, which is inside one mapping.
        let from = unsafe { start.add(offset) };
        // SAFETY: there is room for a byte a page; nothing else is written.
        let asked = check(unsafe { libc::mincore(from.as_ptr().cast(), part, resident.as_mut_ptr()) });
        asked.ok()?;
        let pages = &resident[..part.div_ceil(page)];
        if let Some(index) = pages.iter().position(|flags| flags & 1 != 0) {
            return Some(from.addr().get() + index * page);
        }
    }
    None
}

/// Whether [`guard_marker`] works here. Tried once, on a page of its own.
///
/// It is not enough that the call succeeds: emulators (qemu-user) answer yes to any advice that
/// they do not know. So the page is shown to the kernel as a path, and must give EFAULT.
pub(crate) fn markers_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(|| {
        let len = page_size();
        let Ok(page) = reserve(len) else {
            // Not cachable as a no of the kernel, but with no page to be had it hardly matters.
            return false;
        };
        // SAFETY: the page was mapped above and nobody else knows it.
        let installed = unsafe { guard_marker(page, len) }.is_ok();
        // SAFETY: the argument is one readable page of zeros, which is an empty path, or a guard,
        // which the kernel finds out without harm.
        let found = check(unsafe { libc::access(page.as_ptr().cast(), libc::F_OK) });
        let faults = found.is_err_and(|e| e.raw_os_error() == Some(libc::EFAULT));
        // SAFETY: the page was mapped above and its last use was the line before.
        unsafe { unmap(page, len) };
        installed && faults
    })
}

/// How many bytes of addresses the process may have (`ulimit -v`); None: no limit is set.
pub(crate) fn address_limit() -> Option<usize> {
    limit(libc::RLIMIT_AS)
}

/// How many bytes of private memory that can be written the process may have (`ulimit -d`), touched or not; None: no
/// limit is set.
pub(crate) fn data_limit() -> Option<usize> {
    limit(libc::RLIMIT_DATA)
}

fn limit(resource: libc::__rlimit_resource_t) -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: there is room for the answer. Should there be none, no limit is known.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then(|| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// Whether the system says that memory, addresses or mappings are at their limit.
pub(crate) fn is_enomem(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

/// Whether the system refused the arguments, or does not know the request.
pub(crate) fn is_einval(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

/// The C convention: 0 or errno.
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes a byte to `addr` in a forked child and tells whether that killed it with SIGSEGV.
#[cfg(test)]
pub(crate) fn write_kills(addr: usize) -> bool {
    // SAFETY: the child calls only async-signal-safe functions before it ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        // SAFETY: back to the default action, which runs no code of the process.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the argument is a valid rlimit; it keeps the child from leaving a core file.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
        // SAFETY: not sound in general, which is the point: the child has a copy of the memory,
        // runs no code but this, and ends whatever the write hits.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(addr).write_volatile(1) };
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: status is a valid place for the answer.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "waitpid: {}", io::Error::last_os_error());
    libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV
}

/// Lets this process have `room` bytes of addresses more than it has now, as `ulimit -v` would.
#[cfg(test)]
pub(crate) fn limit_address_space(room: usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    let most = (pages * page_size() + room) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the argument is a valid rlimit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: NonNull<u8>) -> u8 {
        // SAFETY: the tests pass addresses of mapped, unguarded bytes.
        unsafe { at.read_volatile() }
    }

    fn write(at: NonNull<u8>, value: u8) {
        // SAFETY: the tests pass addresses of mapped, unguarded bytes.
        unsafe { at.write_volatile(value) }
    }

    fn drop_map(at: NonNull<u8>, len: usize) {
        // SAFETY: the tests pass what they reserved, and use it no more.
        unsafe { unmap(at, len) }
    }

    #[test]
    fn page_size_is_a_power_of_two() {
        assert!(page_size().is_power_of_two());
        assert!(page_size() >= 4096);
    }

    #[test]
    fn reserved_memory_is_zero_and_discard_makes_it_so_again() {
        let len = page_size();
        let map = reserve(len).unwrap();
        assert_eq!(read(map), 0);
        write(map, 7);
        assert_eq!(read(map), 7);
        // SAFETY: the test's own page.
        unsafe { discard(map, len) };
        assert_eq!(read(map), 0);
        drop_map(map, len);
    }

    #[test]
    fn the_lowest_page_that_was_touched() {
        let page = page_size();
        // More than is asked for at once.
        let len = 5000 * page;
        let map = reserve(len).unwrap();
        // SAFETY: the test's own mapping.
        let lowest = || unsafe { lowest_touched(map, len) }.map(|at| (at - map.addr().get()) / page);
        assert_eq!(lowest(), None);
        for touched in [4990, 4100, 4096, 30, 0] {
            // SAFETY: inside the test's own mapping.
            write(unsafe { map.add(touched * page + 5) }, 1);
            assert_eq!(lowest(), Some(touched));
        }
        // SAFETY: the test's own mapping.
        unsafe { discard(map, len) };
        assert_eq!(lowest(), None);
        drop_map(map, len);
    }

    #[test]
    fn nothing_and_too_much_are_errors() {
        assert!(is_einval(&reserve(0).unwrap_err()));
        assert!(is_enomem(&reserve(1 << 60).unwrap_err()));
    }

    #[test]
    fn protected_page_faults_and_its_neighbour_does_not() {
        let page = page_size();
        let map = reserve(2 * page).unwrap();
        let addr = map.expose_provenance().get();
        assert!(!write_kills(addr));
        // SAFETY: the first page of the test's own mapping.
        unsafe { guard_protect(map, page) }.unwrap();
        assert!(write_kills(addr + page - 1));
        assert!(!write_kills(addr + page));
        drop_map(map, 2 * page);
    }

    #[test]
    fn marked_page_faults_even_after_discard() {
        if !markers_supported() {
            println!("skipped: this kernel has no guard markers");
            return;
        }
        let page = page_size();
        let map = reserve(2 * page).unwrap();
        let addr = map.expose_provenance().get();
        // SAFETY: the first page of the test's own mapping.
        unsafe { guard_marker(map, page) }.unwrap();
        // SAFETY: the test's own mapping.
        unsafe { discard(map, 2 * page) };
        assert!(write_kills(addr + page - 1));
        assert!(!write_kills(addr + page));
        drop_map(map, 2 * page);
    }
}
