//! Limits of this process, set so that little is left, and what it has.

use std::fs;

use rlimit::Resource;

/// Sets the soft limit, of which `None` is what it was at first: the hard one.
pub(crate) fn limit(resource: Resource, most: Option<u64>) {
    let (_, hard) = resource.get().unwrap();
    resource.set(most.unwrap_or(hard), hard).unwrap();
}

/// A field of /proc/self/status that is in KiB, in bytes.
pub(crate) fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Leaves the process so many more bytes of addresses.
pub(crate) fn leave_addresses(bytes: u64) {
    limit(Resource::AS, Some(status("VmSize") + bytes));
}

pub(crate) fn addresses_are_unlimited() {
    limit(Resource::AS, None);
}

/// The numbers of the open descriptors.
pub(crate) fn descriptors() -> Vec<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let entries: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // One of them was the directory's own.
    let open = entries.iter().filter(|fd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok());
    open.map(|fd| fd.parse().unwrap()).collect()
}

/// Lets the process open so many more.
pub(crate) fn leave_descriptors(more: usize) {
    let open = descriptors();
    limit(Resource::NOFILE, (0..).filter(|fd| !open.contains(fd)).nth(more));
}

pub(crate) fn descriptors_are_unlimited() {
    limit(Resource::NOFILE, None);
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Whether stacks are guarded by markers, in a process that has no say in it.
pub(crate) fn markers() -> bool {
    if std::env::var("LAYBY_STACK_GUARD").is_ok_and(|guard| guard == "mprotect") {
        return false;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}
