//! Happy eyeballs: connecting to several addresses, each a little after the one before, until one answers (RFC 8305).
//!
//! All attempts are the caller's own, who waits for them through one epoll; no task is started. Whichever stands first is
//! taken, the others are closed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::SockAddr;

use super::super::SocketAddr;
use crate::io::descriptor::{Descriptor, Patience, Transfer};
use crate::reactor::Direction;
use crate::sys::epoll::Epoll;
use crate::sys::poll::would_block;
use crate::sys::socket;

/// How long an attempt has for itself before the next begins (RFC 8305, section 5).
const DELAY: Duration = Duration::from_millis(250);

struct Attempt {
    socket: OwnedFd,
    address: SockAddr,
}

struct Race {
    /// Begun, and not decided.
    attempts: Vec<Attempt>,
    failure: Option<io::Error>,
}

impl Race {
    /// Begins an attempt. The stream, if it stands at once.
    fn begin(&mut self, address: SocketAddr, epoll: &Epoll) -> io::Result<Option<OwnedFd>> {
        let address = address.into();
        let socket = OwnedFd::from(socket::stream_socket(&address)?);
        match socket::connect(socket.as_fd(), &address) {
            Ok(()) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                epoll.add(socket.as_fd(), Direction::Write)?;
                self.attempts.push(Attempt { socket, address });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The stream of an attempt that stands; none if one has failed; `WouldBlock` while none is decided.
    fn look(&mut self) -> io::Result<Option<OwnedFd>> {
        let before = self.attempts.len();
        let mut index = 0;
        while let Some(attempt) = self.attempts.get(index) {
            match socket::connect(attempt.socket.as_fd(), &attempt.address) {
                Ok(()) => return Ok(Some(self.attempts.swap_remove(index).socket)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => index += 1,
                Err(error) => {
                    self.failure = Some(error);
                    self.attempts.swap_remove(index);
                }
            }
        }
        if self.attempts.len() < before { Ok(None) } else { Err(would_block()) }
    }
}

/// The first connection that stands. Waits; a suspension point.
pub(super) fn connect_first(addresses: Vec<SocketAddr>) -> io::Result<OwnedFd> {
    let epoll = Descriptor::new(Epoll::new()?);
    let mut race = Race { attempts: Vec::new(), failure: None };
    let mut addresses = alternate(addresses).into_iter();
    loop {
        if let Some(address) = addresses.next() {
            match race.begin(address, epoll.get()) {
                Ok(Some(stream)) => return Ok(stream),
                Ok(None) => {}
                Err(error) => {
                    race.failure = Some(error);
                    continue;
                }
            }
        } else if race.attempts.is_empty() {
            return Err(race.failure.unwrap_or_else(super::super::addr::no_addresses));
        }
        let more = addresses.len() > 0;
        let patience = if more { Patience::Within(DELAY, would_block) } else { Patience::Endless };
        match epoll.perform(Direction::Read, patience, |_| race.look(), |_| Transfer::Full) {
            Ok(Some(stream)) => return Ok(stream),
            // One has failed, or its time for itself is over: the next.
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The families take turns, beginning with that of the first address (RFC 8305, section 4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let turns = one.len().max(other.len());
    let (mut one, mut other) = (one.drain(..), other.drain(..));
    (0..turns).flat_map(|_| [one.next(), other.next()]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let v4 = |last| SocketAddr::from(([127, 0, 0, last], 1));
        let v6 = |last| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last], 1));
        let given = vec![v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(alternate(given), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        assert_eq!(alternate(vec![v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
        assert_eq!(alternate(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
        assert!(alternate(Vec::new()).is_empty());
    }
}
