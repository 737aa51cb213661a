//! The hand-over of rule sets to workers.
//!
//! What a worker needs is built off its thread, put into its slot, taken between two batches and,
//! when it is old, handed back to be dropped elsewhere. The worker's share of it is an atomic load when
//! nothing changed and a few pointers moved when something did; it waits for nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Old sets of one worker that wait to be dropped. One comes back for every set that is taken, and all
/// are collected before the next is put there, so two would do.
const RETIRED_MAX: usize = 4;

/// What a publisher and a worker share.
#[derive(Debug)]
struct Shared<T> {
    /// Whether `next` holds something; lets the worker look without the lock.
    waiting: AtomicBool,
    next: Mutex<Option<Box<T>>>,
}

/// A worker's end.
#[derive(Debug)]
pub struct Slot<T> {
    shared: Arc<Shared<T>>,
    retired: SyncSender<Box<T>>,
}

impl<T> Slot<T> {
    /// The newest set, once, when there is one that was not taken yet. One atomic load when there is none.
    pub fn take(&self) -> Option<Box<T>> {
        if !self.shared.waiting.load(Ordering::Acquire) {
            return None;
        }
        // The publisher holds the lock for the exchange of a pointer; when that is now, the next
        // batch is early enough.
        let mut next = self.shared.next.try_lock().ok()?;
        self.shared.waiting.store(false, Ordering::Release);
        next.take()
    }

    /// Gives back a set that is no longer used, to be dropped on the publisher's thread.
    pub fn retire(&self, old: Box<T>) {
        match self.retired.try_send(old) {
            Ok(()) => {}
            // Nobody collects any more, since the host is ending, or not for a long time.
            Err(TrySendError::Full(old) | TrySendError::Disconnected(old)) => drop(old),
        }
    }
}

/// The end that publishes to all workers.
#[derive(Debug)]
pub struct Publisher<T> {
    workers: Vec<Worker<T>>,
}

/// What a publisher knows of one worker.
#[derive(Debug)]
struct Worker<T> {
    shared: Arc<Shared<T>>,
    retired: Receiver<Box<T>>,
}

impl<T> Worker<T> {
    /// A slot that is dropped leaves the publisher as the only one.
    fn is_gone(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Puts a set into the slot; returns the one that nobody took.
    fn put(&self, set: Box<T>) -> Option<Box<T>> {
        let mut next = self.shared.next.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = next.replace(set);
        self.shared.waiting.store(true, Ordering::Release);
        replaced
    }
}

impl<T> Default for Publisher<T> {
    fn default() -> Self {
        Self { workers: vec![] }
    }
}

impl<T> Publisher<T> {
    /// A new worker's end; `first` waits in it.
    pub fn slot(&mut self, first: T) -> Slot<T> {
        let (sender, receiver) = sync_channel(RETIRED_MAX);
        let next = Mutex::new(Some(Box::new(first)));
        let shared = Arc::new(Shared { waiting: AtomicBool::new(true), next });
        self.workers.push(Worker { shared: Arc::clone(&shared), retired: receiver });
        Slot { shared, retired: sender }
    }

    /// Gives every worker a set of its own. All are built before the first is given, so that workers
    /// change at about the same time. Sets that were never taken, and retired ones, are dropped
    /// here.
    pub fn publish(&mut self, mut build: impl FnMut() -> T) {
        self.collect();
        let sets: Vec<Box<T>> = self.workers.iter().map(|_| Box::new(build())).collect();
        for (worker, set) in self.workers.iter().zip(sets) {
            drop(worker.put(set));
        }
    }

    /// Drops what workers gave back, and forgets workers that ended.
    pub fn collect(&mut self) {
        for worker in &self.workers {
            worker.retired.try_iter().for_each(drop);
        }
        self.workers.retain(|worker| !worker.is_gone());
    }

    /// Workers that have a slot.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A set that tells when and on which thread it is dropped.
    #[derive(Debug)]
    struct Set {
        generation: u64,
        dropped: SyncSender<(u64, thread::ThreadId)>,
    }

    impl Drop for Set {
        fn drop(&mut self) {
            self.dropped.send((self.generation, thread::current().id())).unwrap();
        }
    }

    #[test]
    fn a_set_is_taken_once_and_nothing_waits_then() {
        let mut publisher = Publisher::default();
        let slot = publisher.slot(0);
        assert_eq!(slot.take(), Some(Box::new(0)));
        assert_eq!(slot.take(), None);
        publisher.publish(|| 1);
        assert_eq!(slot.take(), Some(Box::new(1)));
        assert_eq!(slot.take(), None);
        assert!(!slot.shared.waiting.load(Ordering::Relaxed), "the next look needs no lock");
    }

    #[test]
    fn a_newer_set_replaces_one_that_was_not_taken() {
        let (dropped, drops) = sync_channel(8);
        let set = |generation| Set { generation, dropped: dropped.clone() };
        let mut publisher = Publisher::default();
        let slot = publisher.slot(set(0));
        publisher.publish(|| set(1));
        assert_eq!(drops.try_recv().unwrap().0, 0);
        assert_eq!(slot.take().map(|set| set.generation), Some(1));
    }

    #[test]
    fn every_worker_gets_a_set_of_its_own() {
        let mut publisher = Publisher::default();
        let slots = [publisher.slot(0), publisher.slot(0)];
        let mut number = 0;
        publisher.publish(|| {
            number += 1;
            number
        });
        let taken = slots.each_ref().map(|slot| slot.take().unwrap());
        assert_eq!(taken, [Box::new(1), Box::new(2)]);
    }

    #[test]
    fn a_worker_that_ended_is_forgotten() {
        let mut publisher = Publisher::default();
        let (kept, gone) = (publisher.slot(0), publisher.slot(0));
        drop(gone);
        publisher.collect();
        assert_eq!(publisher.workers(), 1);
        drop(kept);
    }

    #[test]
    fn a_thousand_publishes_lose_no_set_and_drop_none_on_the_workers_thread() {
        const LAST: u64 = 1_000;
        let (dropped, drops) = sync_channel(2 * LAST as usize);
        let set = |generation| Set { generation, dropped: dropped.clone() };
        let mut publisher = Publisher::default();
        let slot = publisher.slot(set(0));
        let worker = thread::spawn(move || {
            let mut current = loop {
                if let Some(first) = slot.take() {
                    break first;
                }
            };
            let mut taken = vec![current.generation];
            while current.generation < LAST {
                if let Some(next) = slot.take() {
                    taken.push(next.generation);
                    slot.retire(std::mem::replace(&mut current, next));
                } else {
                    thread::yield_now();
                }
            }
            (taken, current)
        });
        for generation in 1..=LAST {
            publisher.publish(|| set(generation));
            thread::yield_now();
        }
        let worker_thread = worker.thread().id();
        let (taken, current) = worker.join().unwrap();
        assert!(taken.is_sorted_by(|a, b| a < b), "a set was taken twice or out of order");
        assert_eq!(current.generation, LAST, "the last set must always arrive");
        publisher.collect();
        drop(current);
        drop(publisher);
        drop(dropped);
        let mut all = drops.iter().collect::<Vec<_>>();
        assert!(all.iter().all(|(_, thread)| *thread != worker_thread));
        all.sort_by_key(|(generation, _)| *generation);
        let generations = all.iter().map(|(generation, _)| *generation);
        assert!(generations.eq(0..=LAST), "every set is dropped exactly once");
    }
}
