//! A directory as a tar.gz, by tar and flate2: `archive DIRECTORY [ADDR]`, then `curl http://localhost:8080/ | tar tz`.
//!
//! The archive is nowhere in one piece: tar writes into flate2's encoder, and that into the connection, which parks the
//! task where the client takes no more. The files are read through layby's `File`, off the worker.

#![forbid(unsafe_code)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use layby::fs::{self, File};
use layby::go;
use layby::net::TcpStream;
use layby::task;
use layby_ecosystem::{Error, arguments, listen};
use tar::{Builder, Header};

const USAGE: &str = "archive DIRECTORY [ADDR]    (default 127.0.0.1:8080)";

/// flate2 wants more than the default: see docs/porting.md.
const STACK: usize = 1 << 20;

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=2, USAGE)?;
    let root: Arc<Path> = Path::new(&arguments[0]).into();
    layby::run(|| {
        for stream in listen(arguments.get(1).map(String::as_str))?.incoming() {
            let (stream, root) = (stream?, root.clone());
            let task = task::Builder::new().stack_size(STACK);
            go!(task, move || {
                if let Err(error) = serve(&stream, &root) {
                    eprintln!("a connection ended: {error}");
                }
            });
        }
        Ok(())
    })
}

fn serve(mut stream: &TcpStream, root: &Path) -> Result<(), Error> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break; // the end of the request, whatever it was
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nConnection: close\r\n\r\n")?;
    let mut archive = Builder::new(GzEncoder::new(stream, Compression::fast()));
    add(&mut archive, root, root)?;
    archive.into_inner()?.finish()?;
    Ok(())
}

fn add(archive: &mut Builder<GzEncoder<&TcpStream>>, directory: &Path, root: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            add(archive, &path, root)?;
        } else if kind.is_file() {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            let mut header = Header::new_gnu();
            header.set_metadata(&metadata);
            // No more than the header says, though the file may have grown.
            let file = std::io::Read::take(BufReader::with_capacity(64 * 1024, file), metadata.len());
            archive.append_data(&mut header, path.strip_prefix(root)?, file)?;
        }
    }
    Ok(())
}
