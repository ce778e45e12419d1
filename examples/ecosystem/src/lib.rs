//! Crates that know nothing of layby, on top of it: what several of the programs in `src/bin` share.
//!
//! | kind of crate | how it runs on layby | here |
//! |---|---|---|
//! | generic over `Read` and `Write`: rustls, tungstenite, flate2, tar | over a [`layby::net::TcpStream`], as it is | [`tls`] |
//! | with a seam of its own for connections: ureq | a small adapter | [`transport`] |
//! | opens its own connections and blocks: rusqlite, postgres, redis | through [`layby::unblock`] | [`pool`] |

#![forbid(unsafe_code)]

pub mod pool;
pub mod tls;
pub mod transport;

/// What goes wrong in the programs, from whichever crate.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Listens at that address, or at 127.0.0.1:8080, and says so on stdout (which tells the port where 0 was asked for).
///
/// # Errors
/// Those of [`TcpListener::bind`](layby::net::TcpListener::bind).
pub fn listen(address: Option<&str>) -> Result<layby::net::TcpListener, Error> {
    let address = address.unwrap_or("127.0.0.1:8080");
    let listener = layby::net::TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address:?}: {error}"))?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// The arguments of the program, or its usage where their number is not right.
///
/// # Errors
/// The usage.
pub fn arguments(number: std::ops::RangeInclusive<usize>, usage: &str) -> Result<Vec<String>, Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if number.contains(&arguments.len()) { Ok(arguments) } else { Err(format!("usage: {usage}").into()) }
}
