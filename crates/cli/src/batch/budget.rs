//! How many bytes of inputs may be in memory at the same time.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes that inputs may take. Shared by all permits that were taken from it.
#[derive(Clone)]
pub(super) struct Budget(Arc<Inner>);

struct Inner {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// A share of the budget, given back when it is dropped.
pub(super) struct Permit {
    bytes: u64,
    inner: Arc<Inner>,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        Self(Arc::new(Inner { limit: limit.max(1), used: Mutex::new(0), freed: Condvar::new() }))
    }

    /// Waits until there is room. What is larger than the whole budget waits until it is alone.
    pub(super) fn take(&self, bytes: u64) -> Permit {
        let bytes = bytes.min(self.0.limit);
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > self.0.limit {
            used = self.0.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Permit { bytes, inner: Arc::clone(&self.0) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.inner.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.inner.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_budget_is_out_at_once() {
        let (budget, out, most) = (Budget::new(10), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for i in 0..8 {
                let (budget, out, most) = (budget.clone(), &out, &most);
                scope.spawn(move || {
                    for bytes in [3, 4, 25, i] {
                        let permit = budget.take(bytes);
                        most.fetch_max(
                            out.fetch_add(bytes.min(10), Ordering::SeqCst) + bytes.min(10),
                            Ordering::SeqCst,
                        );
                        out.fetch_sub(bytes.min(10), Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 10);
        assert_eq!(*budget.0.used.lock().unwrap(), 0);
    }
}
