//! Files: `layby::fs` is std's, on the blocking pool.

use layby::{fs, gather};
use std::io;

pub(super) fn run() {
    layby::run(|| -> io::Result<()> {
        let directory = std::env::temp_dir().join(format!("layby-asyncio-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let paths: Vec<_> = (0..3).map(|n| directory.join(format!("{n}.txt"))).collect();
        for (n, path) in paths.iter().enumerate() {
            fs::write(path, "line\n".repeat(n + 1))?;
        }
        let texts = gather(paths.iter().map(|path| move || fs::read_to_string(path)));
        let lines = texts.into_iter().map(|text| Ok(text?.lines().count())).collect::<io::Result<Vec<_>>>();
        println!("{:?}", lines?);
        if fs::read_to_string(directory.join("missing")).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            println!("there is no such file");
        }
        fs::remove_dir_all(directory)
    })
    .expect("a directory for temporary files");
}
