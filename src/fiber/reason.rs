//! Why a task waits: one byte in its header, for whoever asks what the tasks are doing.

macro_rules! reasons {
    ($($name:ident, $text:literal;)*) => {
        /// Why a task waits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Reason { $(#[doc = $text] $name,)* }

        impl Reason {
            /// The reason with that number, as `self as u8` gave it.
            pub(crate) fn from_number(number: u8) -> Reason {
                const ALL: &[Reason] = &[$(Reason::$name),*];
                ALL[usize::from(number)]
            }

            /// In words.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    Yield, "ready, after a yield";
    Sleep, "sleep";
    Park, "park";
    Join, "join of a task";
    Read, "read on a descriptor";
    Write, "write on a descriptor";
    Unblock, "a closure on the blocking pool";
    Resolve, "the addresses of a name";
    Shutdown, "the end of a runtime";
    Gather, "the tasks of a gather";
    Lock, "a Mutex or an RwLock";
    Condvar, "a Condvar";
    Barrier, "a Barrier";
    Once, "an initialisation by another";
    Semaphore, "permits of a Semaphore";
    Event, "an Event";
    WaitGroup, "a WaitGroup";
    Scope, "the tasks of a scope";
    Group, "a task of a group";
    Send, "send into a channel";
    Receive, "receive from a channel";
    Select, "select among channels";
    Dump, "a dump of the tasks";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for number in 0..=Reason::Dump as u8 {
            let reason = Reason::from_number(number);
            assert_eq!(reason as u8, number);
            assert!(!reason.text().is_empty());
        }
    }
}
