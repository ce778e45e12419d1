//! A memory barrier on all threads of the process at once, so that the others need none.

use std::sync::OnceLock;

/// From `linux/membarrier.h`.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// What each other thread of the process did before some moment of this call is seen by the caller afterwards, and what the caller did before is
/// seen by what they do after that moment. False: the kernel does not do that here.
pub(crate) fn on_all_threads() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED)) && membarrier(PRIVATE_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: it takes no pointer.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    done == 0
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_can_be_called_again() {
        let first = super::on_all_threads();
        assert_eq!(super::on_all_threads(), first);
    }
}
