//! The same cases with std's TCP types on threads, to see that they are true, and with layby's on
//! threads, on tasks, and on both at once. Nothing but the `use` lines differs.

mod cases;
mod surface;

use std::net;
use std::os::linux::net as linux;
use std::thread;

use layby::Builder;

/// One test for each case; a case that is missing here is dead code, which CI does not let pass.
macro_rules! tests {
    ($run:expr) => {
        tests! { $run;
            bind_errors connect_errors connect_timeouts names both_families end_of_stream
            write_to_a_closed_peer one_after_the_other greedy lazy partial_reads vectored
            vectored_nothing bound_twice clone_reads_while_original_writes clones_read clones_write
            shutdown_of_write shutdown_reaches_all_clones shutdown_wakes_readers
            shutdown_wakes_a_writer cloned_while_reading clones_accept clones_accept_at_once
            debug_output timeouts_are_kept zero_timeouts read_timeouts write_timeouts
            settings nonblocking_stream nonblocking_listener peeking half_close
            reset_wakes_a_reader reset_wakes_a_writer broken_pipe after_a_reset descriptors
            whole_helpers
        }
    };
    ($run:expr; $($case:ident)*) => {
        #[test]
        fn surface() {
            surface::compiles();
        }

        $(
        #[test]
        fn $case() {
            let _guard = crate::common::watchdog(60);
            $run(cases::$case);
        }
        )*
    };
}

macro_rules! instance {
    ($name:ident, $thread:path, $run:expr) => {
        mod $name {
            use layby::net::{self, linux};
            use $thread as thread;

            mod cases {
                include!("tcp_std/cases.rs");
            }
            mod surface {
                include!("tcp_std/surface.rs");
            }

            tests! { $run }
        }
    };
}

mod std_on_threads {
    use super::{cases, surface};

    tests! { |case: fn()| case() }
}

instance!(on_threads, std::thread, |case: fn()| case());
instance!(on_default_tasks, layby::thread, |case: fn()| case());
instance!(on_one_worker, layby::thread, |case: fn()| crate::tcp_std::on_workers(1, case));
instance!(on_four_workers, layby::thread, |case: fn()| crate::tcp_std::on_workers(4, case));
// The case's own body is a task, and what it spawns are threads.
instance!(task_and_threads, std::thread, |case: fn()| crate::tcp_std::on_workers(1, case));

fn on_workers(workers: usize, case: fn()) {
    Builder::new().workers(workers).run(case);
}
