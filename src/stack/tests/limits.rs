//! What the process has only so much of: mappings and addresses.
//!
//! Each test runs in a process of its own ([`alone`]): the test harness has other threads, which
//! map memory when they like, and would fail when there is none.

use std::process::Command;
use std::time::Instant;
use std::{env, fs, io};

use super::*;

/// Runs `body` in a new process, by starting this test binary again for the test `name` only.
fn alone(name: &str, body: fn()) {
    const INSIDE: &str = "LAYBY_STACK_TEST_ALONE";
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args([&format!("{module}::{name}"), "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "{name} did not run:\n{out}");
    println!("{out}");
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Whether an address is in a mapping of this process.
fn is_mapped(addr: usize) -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| {
        let (from, rest) = line.split_once('-').unwrap();
        let (to, _) = rest.split_once(' ').unwrap();
        let parse = |hex| usize::from_str_radix(hex, 16).unwrap();
        (parse(from)..parse(to)).contains(&addr)
    })
}

#[test]
fn a_dropped_pool_unmaps_what_is_home_and_leaks_what_is_out() {
    alone("a_dropped_pool_unmaps_what_is_home_and_leaks_what_is_out", || {
        for guard in guards() {
            let mut pool = Pool::new(guard);
            let home = pool.take(DEFAULT_SIZE).unwrap();
            let out = pool.take(ROOT_SIZE).unwrap();
            let (home_at, out_at) = (home.limit(), out.limit());
            write(out_at, 42);
            pool.give(home);
            assert!(is_mapped(home_at));
            // Whoever looks up addresses keeps all.
            let slabs = pool.slabs();
            drop(pool);
            assert!(is_mapped(home_at));
            drop(slabs);
            assert!(!is_mapped(home_at));
            assert!(is_mapped(out_at));
            assert_eq!(read(out_at), 42);
            assert_eq!(out.limit(), out_at);
            assert!(out.occupant().is_null());
        }
    });
}

#[test]
fn a_hundred_thousand_stacks_are_few_mappings() {
    alone("a_hundred_thousand_stacks_are_few_mappings", || {
        if !mem::markers_supported() {
            println!("skipped: this kernel has no guard markers");
            return;
        }
        take_touch_and_give(100_000);
    });
}

/// Has `count` stacks with one page touched each, in a number of mappings that grows by slabs,
/// not by stacks.
fn take_touch_and_give(count: usize) {
    let most = 32 + count / 4096;
    let before = mappings();
    let mut pool = Pool::new(Guard::Marker);
    let start = Instant::now();
    let stacks: Vec<Stack> = (0..count).map(|_| pool.take(DEFAULT_SIZE).unwrap()).collect();
    let taken = start.elapsed();
    stacks.iter().for_each(|s| write(s.base() - 1, 1));
    let touched = start.elapsed();
    let added = mappings() - before;
    println!("{count} stacks: {added} mappings; taken after {taken:?}, touched after {touched:?}");
    assert!(added <= most, "{added} mappings");
    stacks.into_iter().for_each(|s| pool.give(s));
    println!("given back after {:?}", start.elapsed());
    assert!(mappings() - before <= most);
    drop(pool);
    assert!(mappings() <= before + 8);
}

#[test]
fn addresses_are_used_but_for_a_sixteenth_and_then_named() {
    alone("addresses_are_used_but_for_a_sixteenth_and_then_named", || {
        let room = 200 << 20;
        mem::limit_address_space(room);
        let mut pool = Pool::new(Guard::detect());
        let mut stacks = Vec::new();
        let error = loop {
            match pool.take(DEFAULT_SIZE) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("ulimit -v"), "{error}");
        // Where a large slab did not fit, smaller ones did.
        assert!(stacks.len() * (DEFAULT_SIZE + GUARD_SIZE) > room / 10 * 8, "{}", stacks.len());
        // The rest of the program goes on.
        drop(std::hint::black_box(vec![0_u8; room / 20]));
        stacks.into_iter().for_each(|s| pool.give(s));
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        pool.give(stack);
    });
}

#[test]
fn mappings_run_out_with_an_error_and_with_some_to_spare() {
    alone("mappings_run_out_with_an_error_and_with_some_to_spare", || {
        let limit: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if limit > 300_000 {
            println!("skipped: vm.max_map_count is {limit}, which would take long to use up");
            return;
        }
        let mut pool = Pool::new(Guard::Protect);
        let mut stacks = Vec::new();
        let error = loop {
            match pool.take(DEFAULT_SIZE) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert!(stacks.len() > limit / 2 - limit / 16, "{}", stacks.len());
        // The rest of the program goes on: threads start, memory is to be had.
        assert!(mappings() < limit - limit / 32);
        std::thread::spawn(|| ()).join().unwrap();
        // And so does the pool, once a stack has come home.
        let stack = stacks.pop().unwrap();
        pool.give(stack);
        stacks.push(pool.take(DEFAULT_SIZE).unwrap());
        pool.take(DEFAULT_SIZE).unwrap_err();
        // What maps a slab and then gets no guard does not map another each time.
        let slabs = pool.slabs().iter().count();
        (0..3).for_each(|_| drop(pool.take(MIN_SIZE).unwrap_err()));
        assert_eq!(pool.slabs().iter().count(), slabs + 1);
        // Another pool has to wait until this one's mappings are gone.
        Pool::new(Guard::Protect).take(DEFAULT_SIZE).unwrap_err();
        stacks.into_iter().for_each(|s| pool.give(s));
        drop(pool);
        let mut pool = Pool::new(Guard::Protect);
        let stack = pool.take(DEFAULT_SIZE).unwrap();
        pool.give(stack);
    });
}
