//! What the children do: each case ends the process in its own way, or says by its exit code that all is well.

use std::hint::black_box;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{mem, ptr, thread};

use layby::{Builder, go, task};

use super::handlers::{self, CALLS, EXPECTED};
use super::ways;

pub(crate) fn main(case: &str) {
    // A core file takes time, and nobody wants it.
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0).unwrap();
    let words: Vec<&str> = case.split(' ').collect();
    match words[..] {
        ["task", way, workers, others] => {
            let (workers, others) = (workers.parse().unwrap(), others.parse().unwrap());
            Builder::new().workers(workers).run(|| {
                let others = park_others(others);
                overflow(task::Builder::new(), way);
                drop(others);
            });
        }
        ["named"] => layby::run(|| {
            overflow(task::Builder::new().name("deep one".into()).stack_size(1 << 20), "recursion")
        }),
        ["long-name"] => layby::run(|| overflow(task::Builder::new().name("x".repeat(5000)), "recursion")),
        ["root"] => overflow_root(),
        ["worker-threads"] => worker_threads(),
        ["second-stack"] => second_stack(),
        ["second-runtime"] => {
            // Handler and signal stack of the first are still right for the second.
            Builder::new().workers(2).run(|| go!(|| 1).join().unwrap());
            Builder::new().workers(2).run(|| overflow(task::Builder::new(), "recursion"));
        }
        ["all-at-once"] => all_at_once(),
        ["no-stderr"] => layby::run(|| {
            // SAFETY: nobody here needs it.
            unsafe { libc::close(2) };
            overflow(task::Builder::new(), "recursion");
        }),
        ["no-signal-stack"] => {
            set_signal_stack(0, libc::SS_DISABLE);
            overflow_root();
        }
        ["small-signal-stack"] => {
            set_signal_stack(minimal_signal_stack(), 0);
            overflow_root();
        }
        ["signal-stack-afterwards"] => signal_stack_afterwards(),
        ["null"] => layby::run(|| go!(|| ways::touch(16)).join().unwrap()),
        ["null-root"] => layby::run(|| ways::touch(16)),
        ["null-afterwards"] => {
            layby::run(|| go!(|| ()).join().unwrap());
            ways::touch(16);
        }
        ["own-stack"] => layby::run(|| {
            go!(|| {
                let page = (ways::here() - (100 << 10)) & !0xfff;
                make_inaccessible(page);
                ways::touch(page);
            })
            .join()
            .unwrap()
        }),
        ["stray-running"] => stray(true),
        ["stray-idle"] => stray(false),
        ["bus"] => layby::run(|| go!(ways::bus).join().unwrap()),
        ["non-canonical"] => layby::run(|| go!(|| ways::touch(1 << 62)).join().unwrap()),
        ["thread"] => layby::run(|| {
            let thread = thread::Builder::new().name("plain".into());
            thread.spawn(|| black_box(ways::recursion(0))).unwrap().join().unwrap();
        }),
        ["blocking"] => layby::run(|| assert_ne!(layby::unblock(|| ways::recursion(0)), 0)),
        ["before", handler, fault] => {
            handlers::install(handler);
            layby::run(|| go_wrong(fault));
        }
        ["after", handler, fault] => layby::run(|| {
            handlers::install(handler);
            go_wrong(fault);
        }),
        _ => panic!("no case {case:?}"),
    }
}

/// Tells the parent where the caller is. libtest may have begun the line.
#[track_caller]
fn tell_place() {
    println!("\nat {}", Location::caller());
}

/// A task that overflows, and the caller waits for it.
fn overflow(builder: task::Builder, way: &str) {
    let way = way.to_owned();
    #[track_caller]
    fn spawn(builder: task::Builder, way: String) -> layby::JoinHandle<()> {
        tell_place();
        builder.spawn(move || ways::go(&way)).unwrap()
    }
    spawn(builder, way).join().unwrap();
}

fn overflow_root() {
    #[track_caller]
    fn run() {
        tell_place();
        layby::run(|| ways::go("recursion"));
    }
    run();
}

/// That many tasks, all started, all waiting.
fn park_others(others: usize) -> Vec<layby::JoinHandle<()>> {
    let started = Arc::new(AtomicUsize::new(0));
    let tasks = (0..others).map(|_| {
        let started = started.clone();
        go!(move || {
            started.fetch_add(1, SeqCst);
            task::park();
        })
    });
    let tasks = tasks.collect();
    while started.load(SeqCst) < others {
        task::yield_now();
    }
    tasks
}

/// On a thread that is layby's own.
fn worker_threads() {
    let runtime = Builder::new().workers(3).build().unwrap();
    #[track_caller]
    fn spawn(runtime: &layby::Runtime) -> layby::JoinHandle<()> {
        tell_place();
        runtime.spawn(|| ways::go("recursion"))
    }
    spawn(&runtime).join().unwrap();
}

/// On a stack that another task has used before, and after the overflowing one has parked.
fn second_stack() {
    Builder::new().workers(1).run(|| {
        for _ in 0..3 {
            go!(|| assert_eq!(black_box([1_u8; 100_000])[9], 1)).join().unwrap();
        }
        #[track_caller]
        fn spawn() -> layby::JoinHandle<()> {
            tell_place();
            layby::spawn(|| {
                task::park();
                ways::go("recursion");
            })
        }
        let task = spawn();
        task::yield_now();
        task.task().unpark();
        task.join().unwrap();
    });
}

fn all_at_once() {
    Builder::new().workers(4).run(|| {
        let tasks: Vec<_> = (0..100).map(|_| go!(|| ways::go("recursion"))).collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

/// A write into the guard of a stack that the writer does not run on.
fn stray(of_a_task: bool) {
    Builder::new().workers(1).run(move || {
        let victim = go!(move || {
            let here = ways::here();
            if of_a_task {
                PLACE.store(here, SeqCst);
                task::park();
            }
            here
        });
        while of_a_task && PLACE.load(SeqCst) == 0 {
            task::yield_now();
        }
        let place = if of_a_task { PLACE.load(SeqCst) } else { victim.join().unwrap() };
        // Close below its top, and further down than the size plus two pages for colour and oddness: in the guard.
        let writer = task::Builder::new().stack_size(1 << 20).spawn(move || ways::touch(place - (300 << 10)));
        writer.unwrap().join().unwrap();
    });
    static PLACE: AtomicUsize = AtomicUsize::new(0);
}

/// A fault in a task, of the kind that the case says.
fn go_wrong(fault: &str) {
    match fault {
        "null" => {
            let page = inaccessible_page();
            EXPECTED.store(page + 24, SeqCst);
            go!(move || ways::touch(page + 24)).join().unwrap();
            // It was repaired. Once more, elsewhere.
            let page = inaccessible_page();
            go!(move || ways::touch(page)).join().unwrap();
            assert_eq!(CALLS.load(SeqCst), 2);
        }
        "raise" => go!(|| {
            for _ in 0..2 {
                // SAFETY: a signal may come at any time.
                unsafe { libc::raise(libc::SIGSEGV) };
            }
        })
        .join()
        .unwrap(),
        _ => overflow(task::Builder::new(), fault),
    }
}

fn inaccessible_page() -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses a place where nothing is.
    let map = unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(map, libc::MAP_FAILED);
    map.expose_provenance()
}

/// A page that was accessible.
fn make_inaccessible(page: usize) {
    let page = ptr::without_provenance_mut(page);
    // SAFETY: nothing that is in use lies there, by the callers.
    assert_eq!(unsafe { libc::mprotect(page, 4096, libc::PROT_NONE) }, 0);
}

/// The least that the kernel takes, which leaves a handler hardly any room.
fn minimal_signal_stack() -> usize {
    // SAFETY: takes a number.
    let told = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    libc::MINSIGSTKSZ.max(told as usize)
}

/// What this thread has, replaced by `new` if that is given.
fn signal_stack(new: Option<libc::stack_t>) -> libc::stack_t {
    // SAFETY: all zeros is a valid stack_t.
    let mut old: libc::stack_t = unsafe { mem::zeroed() };
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: null, or memory that the callers give up for good.
    assert_eq!(unsafe { libc::sigaltstack(new, &raw mut old) }, 0);
    old
}

fn set_signal_stack(size: usize, flags: libc::c_int) -> libc::stack_t {
    let memory = Vec::leak(vec![0_u8; size]);
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: flags, ss_size: size };
    signal_stack(Some(stack))
}

fn signal_stack_afterwards() {
    let std = signal_stack(None);
    for (size, flags) in [(0, libc::SS_DISABLE), (minimal_signal_stack(), 0), (1 << 16, 0)] {
        set_signal_stack(size, flags);
        let before = signal_stack(None);
        let during = layby::run(|| signal_stack(None).ss_size);
        assert!(during >= minimal_signal_stack() + 4096);
        let after = signal_stack(None);
        assert_eq!(
            (after.ss_sp, after.ss_flags, after.ss_size),
            (before.ss_sp, before.ss_flags, before.ss_size)
        );
    }
    signal_stack(Some(std));
}
