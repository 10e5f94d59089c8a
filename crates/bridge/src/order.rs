//! One order in which several replicas of a database change. Each has a [`Reader`]: before it changes anything it
//! takes in what the others have done since, and adds its own deed behind that. So all do the same in the same order,
//! and agree; who has nothing to add only asks now and then whether there is something new, which costs one load.
//!
//! The lock is held to copy deeds that are a few words long, never while they are done, and nobody ever waits for room:
//! where a replica is too far behind, the deed is refused, and whoever wanted it tries again later.

// Tests have the same file with loom's types in the place of these.
use super::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

/// The deeds that somebody has not taken in yet.
struct Log<T> {
    /// A ring: deed number `n` lies in place `n % deeds.len()`.
    deeds: Box<[Option<T>]>,
    /// The number of the next deed.
    next: u64,
    /// By reader: the number of the first deed that it does not know.
    known: Vec<u64>,
}

impl<T> Log<T> {
    /// How many deeds the reader that is furthest behind does not know.
    fn backlog(&self) -> usize {
        let first = self.known.iter().min().copied().unwrap_or(self.next);
        (self.next - first) as usize
    }
}

struct Shared<T> {
    log: Mutex<Log<T>>,
    /// [`Log::next`], to be asked without the lock.
    next: AtomicU64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Log<T>> {
        // Nothing that runs while it is locked can panic.
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One replica's place in the order.
pub(crate) struct Reader<T> {
    shared: Arc<Shared<T>>,
    number: usize,
    /// The number of the first deed that it does not know.
    at: u64,
    /// Somebody was far behind when this one added something.
    far_behind: bool,
}

impl<T: Copy> Reader<T> {
    /// The readers of a new order that has room for so many deeds, which must not be zero.
    pub(crate) fn all(readers: usize, room: usize) -> Vec<Self> {
        let deeds = vec![None; room].into_boxed_slice();
        let log = Log { deeds, next: 0, known: vec![0; readers] };
        let shared = Arc::new(Shared { log: Mutex::new(log), next: AtomicU64::new(0) });
        let reader = |number| Self { shared: Arc::clone(&shared), number, at: 0, far_behind: false };
        (0..readers).map(reader).collect()
    }

    /// Whether there is a deed that it does not know.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.next.load(Ordering::Acquire) != self.at
    }

    /// Appends to `news` what it does not know yet.
    pub(crate) fn catch_up(&mut self, news: &mut Vec<T>) {
        let shared = Arc::clone(&self.shared);
        self.take_in(&mut shared.lock(), news);
    }

    /// Appends to `news` what it does not know yet, and adds a deed of its own behind that, which comes next; `false`
    /// if there is no room for it.
    pub(crate) fn add(&mut self, deed: T, news: &mut Vec<T>) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut log = shared.lock();
        self.take_in(&mut log, news);
        let (backlog, room) = (log.backlog(), log.deeds.len());
        self.far_behind |= backlog >= room / 2;
        if backlog >= room {
            return false;
        }
        let place = (log.next % room as u64) as usize;
        log.deeds[place] = Some(deed);
        log.next += 1;
        self.at = log.next;
        log.known[self.number] = self.at;
        shared.next.store(log.next, Ordering::Release);
        true
    }

    /// Whether, since this was asked last, some other replica was so far behind that it should be made to look.
    #[inline]
    pub(crate) fn others_are_far_behind(&mut self) -> bool {
        std::mem::take(&mut self.far_behind)
    }

    fn take_in(&mut self, log: &mut Log<T>, news: &mut Vec<T>) {
        let room = log.deeds.len() as u64;
        let deeds = (self.at..log.next).filter_map(|number| log.deeds[(number % room) as usize]);
        news.extend(deeds);
        self.at = log.next;
        log.known[self.number] = self.at;
    }
}
