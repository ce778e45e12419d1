//! What happens when address space, mappings, threads or descriptors run out: who asks is told, by an error that names what
//! to raise; all others go on; and what was accepted is done, late perhaps. And memory goes back after a spike.
//!
//! Limits are the process's, so each test has one of its own.

mod common;

#[path = "running_out/limits.rs"]
mod limits;

use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{in_own_process, message, on, quiet_panics_that_say, yield_until};
use layby::net::{TcpListener, TcpStream};
use layby::task::{self, JoinHandle};
use layby::{Builder, Runtime, go, sleep, spawn, unblock};
use limits::*;

const MIB: u64 = 1 << 20;

/// Runs `body` in a process of its own, which must end well. What layby has said there.
fn alone(test: &str, body: impl FnOnce()) -> Vec<String> {
    let _guard = common::watchdog(60);
    let ended = in_own_process(test, || {
        let _guard = common::watchdog(50);
        body();
    });
    ended.expect_success().reports().into_iter().map(str::to_owned).collect()
}

/// Tasks that wait until they are let go.
#[derive(Clone, Default)]
struct Crowd {
    begun: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Crowd {
    fn member(&self) -> impl FnOnce() -> usize + Send + use<> {
        let Crowd { begun, over } = self.clone();
        move || {
            let number = begun.fetch_add(1, SeqCst);
            while !over.load(SeqCst) {
                task::park();
            }
            number
        }
    }

    fn let_go(&self, members: Vec<JoinHandle<usize>>) {
        self.over.store(true, SeqCst);
        members.iter().for_each(|member| member.task().unpark());
        let mut numbers: Vec<usize> = members.into_iter().map(|member| member.join().unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..self.begun.load(SeqCst)), "each has run, once");
    }
}

/// Spawns members until that fails.
fn fill(
    crowd: &Crowd,
    spawn: impl Fn(Box<dyn FnOnce() -> usize + Send>) -> io::Result<JoinHandle<usize>>,
) -> (Vec<JoinHandle<usize>>, io::Error) {
    let mut members = Vec::with_capacity(10_000);
    loop {
        match spawn(Box::new(crowd.member())) {
            Ok(member) => members.push(member),
            Err(error) => return (members, error),
        }
        assert!(members.len() < 10_000, "the limit is not met");
    }
}

#[track_caller]
fn assert_names(error: &io::Error, limit: &str) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{text}");
    assert!(text.contains("no address space for a stack of") && text.contains(limit), "{text}");
}

/// The whole of it: fails in time, accepted tasks all start while the first live on, and afterwards all is as before.
fn spawn_until_it_fails(workers: usize, stack_size: usize, name: &str, tighten: fn(), loosen: fn()) {
    let builder = || task::Builder::new().stack_size(stack_size);
    on(workers, || {
        // Threads have what they need.
        layby::gather((0..workers * 4).map(|_| || sleep(Duration::from_millis(5))));
        let (crowd, expected) = (Crowd::default(), 100 * MIB as usize / (stack_size + (68 << 10)));
        tighten();
        let (members, error) = fill(&crowd, |f| builder().spawn(f));
        assert_names(&error, name);
        assert!(members.len() > expected / 2, "{} tasks, {expected} expected", members.len());
        assert!(members.len() <= expected * 5 / 4 + 200, "{} tasks, {expected} expected", members.len());
        // Each has a stack, though none of the others has ended. (Promised for the runtime's stack size, and for others on one worker.)
        let promised = workers == 1 || stack_size == 256 << 10;
        yield_until(|| !promised || crowd.begun.load(SeqCst) == members.len());
        // No more for now, of whatever kind. (Of two workers one may have handed tasks over meanwhile.)
        if workers == 1 {
            assert_names(&builder().spawn(|| 0).unwrap_err(), name);
            assert_names(&builder().spawn_local(|| 0).unwrap_err(), name);
        }
        // The program has memory left.
        drop(std::hint::black_box(vec![1_u8; 2 << 20]));
        crowd.let_go(members);
        // Their stacks are there for others.
        assert_eq!(builder().spawn(|| 5).unwrap().join().unwrap(), 5);
        let again = Crowd::default();
        let again_members: Vec<_> =
            (0..expected / 8).map(|_| builder().spawn(again.member()).unwrap()).collect();
        again.let_go(again_members);
        loosen();
    });
}

#[test]
fn a_spawn_without_address_space_fails_and_harms_nobody() {
    if !markers() {
        return println!("skipped: no guard markers");
    }
    let reports = alone("a_spawn_without_address_space_fails_and_harms_nobody", || {
        for workers in [1, 2] {
            for stack_size in [256 << 10, 1 << 20] {
                let tighten = || leave_addresses(108 * MIB);
                spawn_until_it_fails(
                    workers,
                    stack_size,
                    "raise `ulimit -v` (now ",
                    tighten,
                    addresses_are_unlimited,
                );
            }
        }
    });
    // With two workers, one may have to wait for the stack that the other has, and say so once.
    assert!(reports.len() <= 1, "{reports:?}");
}

/// `ulimit -d` counts stacks, too.
#[test]
fn a_spawn_without_data_space_fails_and_harms_nobody() {
    if !markers() {
        return println!("skipped: no guard markers");
    }
    alone("a_spawn_without_data_space_fails_and_harms_nobody", || {
        let tighten = || limit(rlimit::Resource::DATA, Some(status("VmData") + 108 * MIB));
        let loosen = || limit(rlimit::Resource::DATA, None);
        spawn_until_it_fails(1, 256 << 10, "raise `ulimit -d` (now ", tighten, loosen);
    });
}

/// From a thread that is no worker, which cannot reach the workers' stacks.
#[test]
fn a_spawn_from_outside_without_address_space_fails() {
    if !markers() {
        return println!("skipped: no guard markers");
    }
    alone("a_spawn_from_outside_without_address_space_fails", || {
        for workers in [1, 2] {
            let runtime = Builder::new().workers(workers).build().unwrap();
            runtime.run(|| ());
            let crowd = Crowd::default();
            leave_addresses(108 * MIB);
            quiet_panics_that_say("failed to spawn task");
            let mut members = Vec::with_capacity(10_000);
            let error = loop {
                match catch_unwind(AssertUnwindSafe(|| runtime.spawn(crowd.member()))) {
                    Ok(member) => members.push(member),
                    Err(payload) => break message(payload),
                }
                assert!(members.len() < 10_000, "the limit is not met");
            };
            assert!(error.starts_with("failed to spawn task: no address space for a stack of"), "{error}");
            assert!(error.contains("raise `ulimit -v` (now "), "{error}");
            assert!((150..500).contains(&members.len()), "{} tasks", members.len());
            while crowd.begun.load(SeqCst) < members.len() {
                thread::sleep(Duration::from_millis(1));
            }
            crowd.let_go(members);
            assert_eq!(runtime.spawn(|| 5).join().unwrap(), 5);
            addresses_are_unlimited();
        }
    });
}

/// What cannot return an error panics as std does, and leaves nothing half done.
#[test]
fn go_and_gather_panic_when_there_is_no_address_space() {
    if !markers() {
        return println!("skipped: no guard markers");
    }
    alone("go_and_gather_panic_when_there_is_no_address_space", || {
        quiet_panics_that_say("failed to spawn task");
        on(1, || {
            leave_addresses(16 * MIB);
            let crowd = Crowd::default();
            let (members, _) = fill(&crowd, |f| task::Builder::new().spawn(f));
            let dropped = common::Drops::new();
            let token = dropped.token();
            let went = catch_unwind(AssertUnwindSafe(|| drop(go!(move || drop(token)))));
            assert!(
                message(went.unwrap_err())
                    .starts_with("failed to spawn task: no address space for a stack of")
            );
            assert_eq!(dropped.count(), 1, "the closure was dropped");
            let went = catch_unwind(|| drop(layby::spawn_local(|| ())));
            assert!(message(went.unwrap_err()).starts_with("failed to spawn task: "));
            crowd.let_go(members);
            // Some of a gather's children are there already: they end before it unwinds.
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let child = || {
                begun.fetch_add(1, SeqCst);
                let _count = common::OnDrop(|| {
                    ended.fetch_add(1, SeqCst);
                });
                sleep(Duration::MAX);
            };
            let gathered = catch_unwind(AssertUnwindSafe(|| layby::gather((0..1000).map(|_| child))));
            assert!(message(gathered.unwrap_err()).starts_with("failed to spawn task: "));
            assert_eq!(begun.load(SeqCst), ended.load(SeqCst));
            // Nor do a scope's, of either kind.
            let scoped = catch_unwind(AssertUnwindSafe(|| {
                layby::scope(|s| (0..1000).for_each(|_| drop(s.spawn(child))));
            }));
            assert!(message(scoped.unwrap_err()).starts_with("failed to spawn task: "));
            assert_eq!(begun.load(SeqCst), ended.load(SeqCst));
            let fallible = || {
                child();
                Ok::<_, ()>(())
            };
            let scoped = catch_unwind(AssertUnwindSafe(|| {
                layby::try_scope(|s| {
                    (0..1000).for_each(|_| drop(s.spawn_local(fallible)));
                    Ok(())
                })
            }));
            assert!(message(scoped.unwrap_err()).starts_with("failed to spawn task: "));
            assert_eq!(begun.load(SeqCst), ended.load(SeqCst));
            layby::scope(|s| {
                let failed = (0..1000)
                    .find_map(|_| task::Builder::new().spawn_scoped(s, child).err())
                    .expect("it fails");
                assert_names(&failed, "raise `ulimit -v` (now ");
                s.cancel();
            });
            // A group goes on without the one that was not spawned.
            let mut group = task::Group::new();
            let failed = catch_unwind(AssertUnwindSafe(|| {
                (0..1000).for_each(|_| drop(group.spawn(|| sleep(Duration::MAX))));
            }));
            assert!(message(failed.unwrap_err()).starts_with("failed to spawn task: "));
            let spawned = group.len();
            group.cancel_all();
            assert_eq!(group.by_ref().count(), spawned);
            group.spawn(|| ());
            assert_eq!(group.join_all().len(), 1);
            assert_eq!(go!(|| 5).join().unwrap(), 5);
        });
    });
}

/// Takes mappings until there are none, and gives them back.
struct Hog(*mut libc::c_void, usize);

impl Hog {
    fn new() -> Hog {
        let most: usize =
            std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let (length, page) = (most * 4096, 4096);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping wherever there is room.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        for index in (0..most).step_by(2) {
            // SAFETY: within the mapping.
            let at = unsafe { start.byte_add(index * page) };
            // SAFETY: a page of the mapping made above, which nobody uses.
            if unsafe { libc::mprotect(at, page, libc::PROT_READ) } != 0 {
                return Hog(start, length);
            }
        }
        panic!("more mappings than vm.max_map_count");
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: its own mapping.
        assert_eq!(unsafe { libc::munmap(self.0, self.1) }, 0);
    }
}

/// Guards by protection: nobody can know beforehand, so closures that were accepted wait, with one warning; also if no task
/// lives whose end could free a stack.
#[test]
fn closures_wait_for_mappings_when_no_task_lives() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if most > 300_000 {
        return println!("skipped: vm.max_map_count is {most}, which would take long to use up");
    }
    let reports = alone("closures_wait_for_mappings_when_no_task_lives", || {
        // SAFETY: no other thread looks at the environment now.
        unsafe { std::env::set_var("LAYBY_STACK_GUARD", "mprotect") };
        for workers in [1, 2] {
            let runtime = Builder::new().workers(workers).build().unwrap();
            let crowd = Crowd::default();
            crowd.over.store(true, SeqCst);
            let mut members = Vec::with_capacity(100);
            let hog = Hog::new();
            members.extend((0..100).map(|_| runtime.spawn(crowd.member())));
            thread::sleep(Duration::from_millis(30)); // some tries fail; the test is right without this
            assert_eq!(crowd.begun.load(SeqCst), 0);
            drop(hog);
            crowd.let_go(members);
        }
    });
    let [warning] = &reports[..] else { panic!("{reports:?}") };
    assert!(warning.starts_with("no stack for a task, which waits until another one ends: no "), "{warning}");
    assert!(warning.contains("vm.max_map_count"), "{warning}");
}

/// Twice as many closures as there can be guards by protection: they run as others end.
#[test]
fn closures_wait_for_the_mappings_of_others() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if most > 300_000 {
        return println!("skipped: vm.max_map_count is {most}, which would take long to use up");
    }
    let reports = alone("closures_wait_for_the_mappings_of_others", || {
        // SAFETY: no other thread looks at the environment now.
        unsafe { std::env::set_var("LAYBY_STACK_GUARD", "mprotect") };
        for workers in [1, 2] {
            on(workers, || {
                let crowd = Crowd::default();
                let members: Vec<_> = (0..most).map(|_| spawn(crowd.member())).collect();
                let begun = || crowd.begun.load(SeqCst);
                yield_until(|| begun() > most / 2 - most / 16);
                (0..1000).for_each(|_| layby::yield_now());
                assert!(begun() < most / 2);
                crowd.let_go(members);
            });
        }
    });
    let [warning] = &reports[..] else { panic!("{reports:?}") };
    assert!(
        warning.contains(
            "no memory mapping left to guard a stack of 262144 bytes: raise vm.max_map_count (now "
        )
    );
}

// ---- Threads

#[test]
fn a_runtime_without_threads_is_an_error_and_leaves_nothing() {
    alone("a_runtime_without_threads_is_an_error_and_leaves_nothing", || {
        let (threads_before, descriptors_before) = (threads(), descriptors());
        leave_addresses(160 * MIB); // each has a stack of 8 MiB
        let error = Builder::new().workers(64).build().unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("a worker thread cannot be started") && text.contains("raise `ulimit -u`"),
            "{text}"
        );
        leave_addresses(160 * MIB); // ended threads leave malloc more than they found
        quiet_panics_that_say("layby::run: layby: a worker thread cannot be started");
        let ran = catch_unwind(|| on(64, || ()));
        let text = message(ran.unwrap_err());
        assert!(text.contains("a worker thread cannot be started"), "{text}");
        // One that was joined is still listed for a moment.
        while threads() > threads_before {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(descriptors(), descriptors_before);
        addresses_are_unlimited();
        on(2, || go!(|| ()).join().unwrap());
    });
}

/// Not even the root's stack.
#[test]
fn a_run_without_address_space_says_so() {
    alone("a_run_without_address_space_says_so", || {
        quiet_panics_that_say("layby::run: ");
        leave_addresses(9 * MIB);
        let ran = catch_unwind(|| on(1, || ()));
        let text = message(ran.unwrap_err());
        assert!(text.contains("no address space for a stack of 8388608 bytes: raise `ulimit -v`"), "{text}");
        addresses_are_unlimited();
        on(1, || ());
    });
}

/// With no thread in the pool and none to be had the closures run all the same, on the worker.
#[test]
fn unblock_without_threads_does_not_hang() {
    let reports = alone("unblock_without_threads_does_not_hang", || {
        for workers in [1, 2] {
            on(workers, || {
                let here = || thread::current().name().map(str::to_owned);
                layby::gather((0..50).map(|_| || sleep(Duration::from_millis(1)))); // stacks for them
                leave_addresses(MIB);
                let places = layby::gather((0..50).map(|_| || unblock(here)));
                assert!(places.iter().all(|place| place.as_deref() != Some("layby-unblock")), "{places:?}");
                let panic = catch_unwind(|| unblock(|| std::panic::resume_unwind(Box::new("its own"))));
                assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "its own");
                addresses_are_unlimited();
                if workers == 2 {
                    assert_eq!(unblock(here).as_deref(), Some("layby-unblock"));
                }
            });
        }
    });
    let [warning] = &reports[..] else { panic!("{reports:?}") };
    assert!(
        warning.starts_with("no thread for a blocking call: ") && warning.contains("`ulimit -u`"),
        "{warning}"
    );
}

// ---- Descriptors

/// At whatever descriptor the start fails, the error says what to raise, and all that were opened are closed.
#[test]
fn a_runtime_without_descriptors_is_an_error_and_leaves_nothing() {
    alone("a_runtime_without_descriptors_is_an_error_and_leaves_nothing", || {
        quiet_panics_that_say("layby::run: ");
        let before = descriptors();
        for workers in [1, 2] {
            let needed = (0..).find(|&more| {
                leave_descriptors(more);
                let built = Builder::new().workers(workers).build().map(drop);
                let ran = catch_unwind(|| on(workers, || ()));
                assert_eq!(built.is_ok(), ran.is_ok());
                let texts = [built.err().map(|error| error.to_string()), ran.err().map(message)];
                for text in texts.iter().flatten() {
                    assert!(
                        text.contains("a worker cannot get ") && text.contains("raise `ulimit -n`"),
                        "{text}"
                    );
                }
                descriptors_are_unlimited();
                assert_eq!(descriptors(), before);
                texts == [None, None]
            });
            assert_eq!(needed, Some(workers * 4), "as the message says");
        }
    });
}

/// A server that meets the limit goes on serving those it has, does not spin, and takes the others when it can.
#[test]
fn accept_without_descriptors_waits_and_recovers() {
    alone("accept_without_descriptors_waits_and_recovers", || {
        for workers in [1, 2] {
            on(workers, || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let errors = Arc::new(AtomicUsize::new(0));
                let served = Arc::new(AtomicUsize::new(0));
                let crowded = Arc::new(AtomicBool::new(false));
                let server = go!({
                    let (errors, served, crowded) = (errors.clone(), served.clone(), crowded.clone());
                    move || {
                        for stream in listener.incoming() {
                            let Ok(mut stream) = stream.inspect_err(|error| {
                                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                                errors.fetch_add(1, SeqCst);
                            }) else {
                                continue;
                            };
                            let first = served.fetch_add(1, SeqCst) == 0;
                            go!(move || {
                                let mut byte = [0];
                                while stream.read(&mut byte).unwrap() == 1 {
                                    stream.write_all(&byte).unwrap();
                                }
                            });
                            while first && !crowded.load(SeqCst) {
                                task::park();
                            }
                        }
                    }
                });
                let connect = || TcpStream::connect(address).unwrap();
                let mut echo = |client: &mut TcpStream| {
                    client.write_all(b"x").unwrap();
                    client.read_exact(&mut [0]).unwrap();
                };
                let mut first = connect();
                echo(&mut first);
                let mut late: Vec<_> = (0..3).map(|_| connect()).collect();
                leave_descriptors(0);
                crowded.store(true, SeqCst);
                server.task().unpark();
                let from = (Instant::now(), errors.load(SeqCst));
                yield_until(|| errors.load(SeqCst) >= from.1 + 10);
                let pause = from.0.elapsed() / 10;
                assert!(pause > Duration::from_millis(8), "an error each {pause:?}");
                echo(&mut first);
                assert_eq!(served.load(SeqCst), 1);
                // Each error is one that says so, here as there.
                assert_eq!(TcpStream::connect(address).unwrap_err().raw_os_error(), Some(libc::EMFILE));
                assert_eq!(TcpListener::bind("127.0.0.1:0").unwrap_err().raw_os_error(), Some(libc::EMFILE));
                descriptors_are_unlimited();
                late.iter_mut().for_each(&mut echo);
                assert_eq!(served.load(SeqCst), 4);
                drop((first, late));
                server.cancel();
                assert!(server.join().unwrap_err().is_cancelled());
            });
        }
    });
}

/// One that must not wait does not, and a cancelled one does not wait on.
#[test]
fn the_pause_of_accept_is_nobodys_trap() {
    alone("the_pause_of_accept_is_nobodys_trap", || {
        on(1, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            leave_descriptors(0);
            listener.set_nonblocking(true).unwrap();
            let from = Instant::now();
            for _ in 0..1000 {
                assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::EMFILE));
            }
            assert!(from.elapsed() < Duration::from_secs(5));
            listener.set_nonblocking(false).unwrap();
            let waits = layby::spawn_local(move || {
                let error = listener.accept().unwrap_err();
                (listener, error)
            });
            layby::yield_now();
            waits.cancel();
            assert!(waits.join().unwrap_err().is_cancelled());
            drop(client);
        });
    });
}

// ---- Memory

/// Touches so much of its stack.
#[inline(never)]
fn touch<const BYTES: usize>() -> u8 {
    std::hint::black_box([1_u8; BYTES])[BYTES / 2]
}

/// Holds `count` tasks that have touched `BYTES` of stack each, at the same time; then they end.
fn spike<const BYTES: usize>(count: usize) {
    let begun = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let begun = begun.clone();
            go!(move || {
                touch::<BYTES>();
                begun.fetch_add(1, SeqCst);
                task::park();
            })
        })
        .collect();
    yield_until(|| begun.load(SeqCst) == count);
    let seen = status("VmRSS");
    assert!(seen > (count * BYTES) as u64, "{count} tasks are {seen} bytes");
    tasks.iter().for_each(|task| task.task().unpark());
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

/// What the process needs more than before, however many tasks there were: code that had not run yet, the list of slabs, and one
/// page for each of them (100,000 tasks take 26 slabs a worker).
const ONCE: u64 = 384 << 10;

/// Within a tenth of what was resident before, in ten seconds.
fn memory_goes_back<const BYTES: usize>(test: &str, workers: usize, count: usize) {
    alone(test, || {
        on(workers, || {
            let before = status("VmRSS");
            spike::<BYTES>(count);
            let most = before + before / 10 + ONCE;
            let from = Instant::now();
            while status("VmRSS") > most {
                assert!(from.elapsed() < Duration::from_secs(10), "{before} before, {} now", status("VmRSS"));
                sleep(Duration::from_millis(50));
            }
            println!(
                "{count} tasks on {workers} workers: {before} before, {} after {:?}",
                status("VmRSS"),
                from.elapsed()
            );
        });
    });
}

/// With guards by protection, there are mappings for some 32,000.
fn crowd() -> usize {
    if cfg!(debug_assertions) || !markers() { 20_000 } else { 100_000 }
}

#[test]
fn memory_goes_back_after_many_tasks_on_one_worker() {
    memory_goes_back::<{ 4 << 10 }>("memory_goes_back_after_many_tasks_on_one_worker", 1, crowd());
}

#[test]
fn memory_goes_back_after_many_tasks_on_two_workers() {
    memory_goes_back::<{ 4 << 10 }>("memory_goes_back_after_many_tasks_on_two_workers", 2, crowd());
}

#[test]
fn memory_goes_back_after_deep_stacks() {
    memory_goes_back::<{ 64 << 10 }>("memory_goes_back_after_deep_stacks", 2, 2000);
}

/// A crowd that never was on more than a few stacks, as each member ended in its first turn.
#[test]
fn memory_goes_back_after_tasks_that_waited_to_start() {
    alone("memory_goes_back_after_tasks_that_waited_to_start", || {
        on(1, || {
            let before = status("VmRSS");
            let tasks: Vec<_> = (0..crowd()).map(|_| go!(|| ())).collect();
            assert!(status("VmRSS") > before + crowd() as u64 * 200);
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let from = Instant::now();
            while status("VmRSS") > before + before / 10 + ONCE {
                assert!(from.elapsed() < Duration::from_secs(10), "{before} before, {} now", status("VmRSS"));
                sleep(Duration::from_millis(50));
            }
        });
    });
}

/// A runtime of its own, so that its end is tested, too: closures that wait for a stack end with it.
#[test]
fn a_shutdown_while_closures_wait_ends() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if most > 300_000 {
        return println!("skipped: vm.max_map_count is {most}, which would take long to use up");
    }
    alone("a_shutdown_while_closures_wait_ends", || {
        // SAFETY: no other thread looks at the environment now.
        unsafe { std::env::set_var("LAYBY_STACK_GUARD", "mprotect") };
        for workers in [1, 2] {
            let runtime: Runtime = Builder::new().workers(workers).build().unwrap();
            let dropped = common::Drops::new();
            let mut waiting = Vec::with_capacity(100);
            let hog = Hog::new();
            waiting.extend((0..100).map(|_| {
                let token = dropped.token();
                runtime.spawn(move || drop(token))
            }));
            let ender = thread::scope(|scope| {
                // The thread could not be had now; so the hog goes first, by a moment.
                drop(hog);
                scope.spawn(move || drop(runtime)).join()
            });
            ender.unwrap();
            assert_eq!(dropped.count(), 100);
            waiting
                .into_iter()
                .for_each(|task| assert!(task.join().map_or_else(|e| e.is_cancelled(), |()| true)));
        }
    });
}
