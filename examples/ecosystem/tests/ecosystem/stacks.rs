//! How much stack the crates need, as docs/porting.md says, and what somebody sees who has given them too little.

use crate::common::{Finished, Process, installed, watchdog};
use crate::{Certificates, program};

fn on_stack(kib: usize, work: &str, files: &Certificates) -> Finished {
    let mut command = program!("stacks", files.certificate(), files.key(), files.authority());
    command.arg(work).arg((kib * 1024).to_string());
    Process::run(command)
}

#[test]
fn what_is_said_suffices() {
    let _guard = watchdog(60);
    if !installed("openssl", true) {
        return;
    }
    let files = Certificates::new();
    for (work, kib) in [
        ("rustls-server", 128),
        ("rustls-client", 128),
        ("tungstenite-server", 64),
        ("tungstenite-client", 64),
        ("ureq", 256),
        ("decompress", 256),
        ("compress", 512),
    ] {
        on_stack(kib, work, &files).expect_success();
    }
}

/// Guards: the program ends with a message that says which task it was and what to raise.
#[test]
fn too_little_says_so() {
    let _guard = watchdog(60);
    if !installed("openssl", true) {
        return;
    }
    let finished = on_stack(64, "compress", &Certificates::new());
    assert!(!finished.status.success());
    let reports = finished.reports().join("\n");
    assert!(reports.contains("src/bin/stacks.rs:"), "{reports}");
    assert!(reports.contains("has overflowed its stack of 65536 bytes"), "{reports}");
    assert!(reports.contains("task::Builder::stack_size"), "{reports}");
}
