//! The ways to run out of stack, and other ways to touch what one should not.

use std::hint::black_box;
use std::ptr;

/// Each ends the process.
pub(crate) const WAYS: [(&str, fn()); 6] = [
    ("recursion", || assert_ne!(recursion(0), 0)),
    ("allocating", || drop(black_box(allocating(0)))),
    ("array", array),
    ("large-array", large_array),
    ("skip", skip),
    ("past", past),
];

pub(crate) fn go(name: &str) {
    let (_, way) = WAYS.iter().find(|(way, _)| *way == name).unwrap_or_else(|| panic!("no way {name:?}"));
    way();
    panic!("{name} has not overflowed");
}

pub(crate) fn recursion(depth: u64) -> u64 {
    let frame = black_box([depth; 20]);
    // `black_box`, so that this is neither a loop nor known to be endless.
    if black_box(true) { recursion(depth + 1) + frame[7] } else { depth }
}

/// Strikes, most likely, inside the allocator or the formatting machinery.
fn allocating(depth: usize) -> String {
    let text = format!("{depth}{}", "x".repeat(depth % 300 + 1));
    if black_box(true) { allocating(depth + 1) + &text } else { text }
}

/// 64 KiB and a bit at a time: rustc touches each page of such a frame on entry.
#[inline(never)]
fn array() {
    let frame = black_box([1_u8; 70_000]);
    if black_box(true) {
        array();
    }
    black_box(frame[9]);
}

/// More than the stack in one frame.
#[inline(never)]
fn large_array() {
    black_box([1_u8; 1 << 20]);
}

/// As C code whose frames, of 60 KiB, are touched at their lower end only.
fn skip() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: not sound, which is the point: it goes down until a fault ends the process.
    unsafe {
        std::arch::asm!("2: sub rsp, 61440", "mov byte ptr [rsp], 1", "jmp 2b", options(noreturn));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("2: sub sp, sp, #15, lsl #12", "strb wzr, [sp]", "b 2b", options(noreturn));
    }
}

/// As C code with one frame of 2 MiB, larger than stack and guard, which is then filled from its upper end. The
/// stack pointer is far away, in somebody else's stack.
fn past() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as in `skip`.
    unsafe {
        std::arch::asm!(
            "mov rax, rsp",
            "sub rsp, 2097152",
            "2: sub rax, 64",
            "mov byte ptr [rax], 1",
            "jmp 2b",
            options(noreturn),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as in `skip`.
    unsafe {
        std::arch::asm!(
            "mov x9, sp",
            "sub sp, sp, #512, lsl #12",
            "2: sub x9, x9, #64",
            "strb wzr, [x9]",
            "b 2b",
            options(noreturn),
        );
    }
}

/// Writes to an address.
pub(crate) fn touch(addr: usize) {
    // SAFETY: not sound, which is the point.
    unsafe { ptr::without_provenance_mut::<u8>(addr).write_volatile(1) }
}

/// An address about where the caller's frame is.
#[inline(never)]
pub(crate) fn here() -> usize {
    let local = 0_u8;
    black_box(&raw const local).addr()
}

/// An access to a file's mapping beyond the file's end.
pub(crate) fn bus() {
    // SAFETY: makes a descriptor for an empty file that has no name.
    let fd = unsafe { libc::memfd_create(c"empty".as_ptr(), 0) };
    assert!(fd >= 0);
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the kernel chooses a place where nothing is.
    let map = unsafe { libc::mmap(ptr::null_mut(), 4096, prot, flags, fd, 0) };
    assert_ne!(map, libc::MAP_FAILED);
    touch(map.addr());
}
