//! `fs`, from tasks on one and on several workers and from plain OS threads.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use layby::fs::{self, DirBuilder, File, OpenOptions};
use layby::{gather, go};

fn everywhere(body: impl Fn(&Path)) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        let dir = Dir::new();
        crate::common::on(workers, || body(&dir.0));
    }
    body(&Dir::new().0);
}

/// A directory that nobody else has, gone with this.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("layby-fs-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn surface() {
    fn file<T>()
    where
        T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static,
        T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>,
        T: From<std::fs::File> + Into<std::fs::File> + Into<std::process::Stdio>,
        T: Read + Write + Seek + FileExt,
        for<'a> &'a T: Read + Write + Seek,
    {
    }
    file::<File>();
}

#[test]
fn files() {
    everywhere(|dir| {
        let path = dir.join("file");
        let bytes = crate::common::Rng::new(4).bytes(1 << 20);
        let mut file = File::create_new(&path).unwrap();
        file.write_all(&bytes).unwrap();
        file.flush().unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.seek(SeekFrom::Start(1000)).unwrap(), 1000);
        let mut part = [0; 100];
        file.read_exact(&mut part).unwrap();
        assert_eq!(part, bytes[1000..1100]);
        assert_eq!(file.stream_position().unwrap(), 1100);
        assert_eq!(file.read_at(&mut part, 5).unwrap(), 100);
        assert_eq!(part, bytes[5..105]);
        file.write_all_at(b"at the end", 1 << 20).unwrap();
        assert_eq!(fs::read(&path).unwrap()[1 << 20..], *b"at the end");
        file.set_len(4).unwrap();
        file.rewind().unwrap();
        let mut all = Vec::new();
        (&file).read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes[..4]);
        let mut clone = file.try_clone().unwrap();
        clone.rewind().unwrap();
        let wrote = clone.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap();
        file.rewind().unwrap();
        let (mut one, mut two) = ([0; 1], [0; 3]);
        let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!((wrote, file.read_vectored(&mut parts).unwrap()), (4, 4));
        assert_eq!((&one, &two), (b"a", b"bcd"));
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
        file.set_modified(hour).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), hour);
        let debug = format!("{file:?}");
        assert_eq!(format!("{:?}", std::fs::File::from(file)), debug);
    });
}

#[test]
fn functions() {
    everywhere(|dir| {
        let (one, two, three) = (dir.join("one"), dir.join("two"), dir.join("three"));
        fs::write(&one, "text").unwrap();
        assert_eq!(fs::copy(&one, &two).unwrap(), 4);
        assert_eq!(fs::read_to_string(&two).unwrap(), "text");
        fs::rename(&two, &three).unwrap();
        assert!(!fs::exists(&two).unwrap() && fs::exists(&three).unwrap());
        fs::hard_link(&one, &two).unwrap();
        fs::remove_file(&three).unwrap();
        fs::symlink(&one, &three).unwrap();
        assert_eq!(fs::read_link(&three).unwrap(), one);
        assert!(fs::symlink_metadata(&three).unwrap().is_symlink());
        assert!(fs::metadata(&three).unwrap().is_file());
        assert_eq!(fs::canonicalize(&three).unwrap(), std::fs::canonicalize(&one).unwrap());
        fs::set_permissions(&one, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(fs::metadata(&one).unwrap().permissions().readonly());
        fs::create_dir_all(dir.join("a/b/c")).unwrap();
        fs::create_dir(dir.join("a/d")).unwrap();
        fs::remove_dir(dir.join("a/d")).unwrap();
        DirBuilder::new().mode(0o700).create(dir.join("e")).unwrap();
        assert_eq!(fs::metadata(dir.join("e")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::remove_dir_all(dir.join("a")).unwrap();
    });
}

/// More of them than come with one call on the pool.
#[test]
fn directories() {
    everywhere(|dir| {
        for count in [0_usize, 1, 64, 200] {
            let sub = dir.join(count.to_string());
            fs::create_dir(&sub).unwrap();
            for number in 0..count {
                std::fs::write(sub.join(number.to_string()), "").unwrap();
            }
            let mut seen: Vec<usize> = fs::read_dir(&sub)
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    assert!(entry.file_type().unwrap().is_file() && entry.metadata().unwrap().len() == 0);
                    assert_eq!(entry.path(), sub.join(entry.file_name()));
                    entry.file_name().into_string().unwrap().parse().unwrap()
                })
                .collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count));
        }
    });
}

#[test]
fn errors_are_stds() {
    everywhere(|dir| {
        let missing = dir.join("missing");
        assert_eq!(File::open(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(dir).unwrap_err().kind(), ErrorKind::IsADirectory);
        File::create(&missing).unwrap();
        assert_eq!(File::create_new(&missing).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mut read_only = File::open(&missing).unwrap();
        let theirs = std::fs::File::open(&missing).unwrap().write(b"x").unwrap_err();
        assert_eq!(read_only.write(b"x").unwrap_err().to_string(), theirs.to_string());
        let mut log = OpenOptions::new().append(true).open(&missing).unwrap();
        log.write_all(b"x").unwrap();
        assert_eq!(read_only.read(&mut [0; 8]).unwrap(), 1);
    });
}

/// Guards: a call that waits keeps the task, not the worker.
#[test]
fn the_worker_goes_on() {
    let _guard = crate::common::watchdog(30);
    let dir = Dir::new();
    crate::common::on(1, || {
        let path = dir.0.join("lock");
        let (held, waiting) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        held.lock().unwrap();
        assert!(matches!(waiting.try_lock(), Err(fs::TryLockError::WouldBlock)));
        let task = go!(move || waiting.lock());
        for _ in 0..10 {
            layby::yield_now();
        }
        assert!(!task.is_finished());
        held.unlock().unwrap();
        task.join().unwrap().unwrap();
    });
}

#[test]
fn many_at_once() {
    everywhere(|dir| {
        let write = |number: usize| {
            let path = dir.join(number.to_string());
            move || {
                fs::write(&path, vec![7; 10_000]).unwrap();
                fs::read(&path).unwrap().len()
            }
        };
        assert!(gather((0..100).map(write)).into_iter().all(|length| length == 10_000));
    });
}

/// Guards: a cancelled task begins nothing more.
#[test]
fn cancelled_before_it_begins() {
    let _guard = crate::common::watchdog(30);
    let dir = Dir::new();
    crate::common::on(1, || {
        let path = dir.0.join("never");
        let inside = path.clone();
        let task = go!(move || {
            // It goes on here, cancelled: nothing of layby's is between this and the call.
            std::panic::catch_unwind(layby::yield_now).unwrap_err();
            fs::write(inside, "x")
        });
        layby::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(!path.exists());
    });
}
