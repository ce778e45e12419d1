//! TCP: connections and those who wait for them.

#![forbid(unsafe_code)]

mod listener;
mod race;
mod settings;
mod stream;

pub use self::listener::{Incoming, TcpListener};
pub use self::stream::TcpStream;
