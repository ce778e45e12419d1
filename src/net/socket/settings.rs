//! The settings that all sockets have, once for those that say nothing else of them than TCP's do.

/// The methods of the type, whose `socket` is a [`Socket`](super::Socket).
macro_rules! settings {
    ($type:ident) => {
        impl $type {
            /// Limits how long receiving waits; `None` for as long as it takes. A call that waits already keeps its
            /// limit.
            ///
            /// When the time is over, the call fails with `WouldBlock`, as std's on Unix does.
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero.
            ///
            /// # Examples
            /// As for [`TcpStream::set_read_timeout`](crate::net::TcpStream::set_read_timeout).
            pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.socket.set_read_timeout(timeout)
            }

            /// Limits how long sending waits; `None` for as long as it takes. The rest is as for
            /// [`set_read_timeout`](Self::set_read_timeout).
            ///
            /// # Errors
            /// `InvalidInput` for a duration of zero.
            pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.socket.set_write_timeout(timeout)
            }

            /// The limit of [`set_read_timeout`](Self::set_read_timeout), rounded by the kernel.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.as_std().read_timeout()
            }

            /// The limit of [`set_write_timeout`](Self::set_write_timeout), rounded by the kernel.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.as_std().write_timeout()
            }

            /// With `true`, calls that would wait return `WouldBlock` instead, on all clones.
            ///
            /// # Errors
            /// None; the signature is std's.
            ///
            /// # Examples
            /// As for [`TcpStream::set_nonblocking`](crate::net::TcpStream::set_nonblocking).
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.socket.set_nonblocking(nonblocking);
                Ok(())
            }

            /// Takes the socket's pending error (`SO_ERROR`), which the next call would otherwise report.
            ///
            /// # Errors
            /// Those of `getsockopt(2)`.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.as_std().take_error()
            }
        }
    };
}

pub(in crate::net) use settings;
