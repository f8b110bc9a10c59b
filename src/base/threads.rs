//! How many threads are of use.

/// Threads that the machine runs at once.
pub fn machine() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// More than so many only take memory and time from one another.
pub fn most() -> usize {
    4 * machine()
}
