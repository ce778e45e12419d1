//! TCP: connections and those who wait for them.

#![forbid(unsafe_code)]

mod connection;
mod incoming;
mod listener;
mod settings;
mod stream;
mod transfer;

pub use self::incoming::Incoming;
pub use self::listener::TcpListener;
pub use self::stream::TcpStream;
