//! Parallel work whose results come out in the order of the input.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rayon::ThreadPool;

/// Inputs in flight for each thread. Few would leave threads idle behind a slow file (one large photograph costs as much
/// as a hundred short texts); results are small, so many cost little.
const AHEAD: usize = 16;

/// Runs `work` on every input in the pool and hands the results to `take` on this thread, in the order of the input.
///
/// At most [`AHEAD`] inputs for each thread lie between the first that `take` has not seen and the last that was
/// started, so one slow file delays the output but does not pile up results. When `stop` turns true or `take` fails, nothing new
/// is started; what runs is finished, and after `stop` still handed over.
pub(crate) fn in_order<I: Send, T: Send, E>(
    pool: &ThreadPool,
    inputs: impl IntoIterator<Item = I>,
    stop: &AtomicBool,
    work: impl Fn(I) -> T + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let window = AHEAD * pool.current_num_threads();
    let mut inputs = inputs.into_iter();
    let (sender, receiver) = mpsc::channel();
    let work = &work;
    pool.in_place_scope(|scope| {
        let (mut started, mut taken) = (0_usize, 0_usize);
        let mut waiting = BTreeMap::new();
        loop {
            while started - taken < window && !stop.load(Ordering::Relaxed) {
                let Some(input) = inputs.next() else { break };
                let (sender, place) = (sender.clone(), started);
                // A panic is carried to this thread: a result that never comes would leave it waiting for ever.
                scope.spawn(move |_| {
                    let result = catch_unwind(AssertUnwindSafe(|| work(input)));
                    // Nobody listens any more after `take` failed.
                    let _ = sender.send((place, result));
                });
                started += 1;
            }
            if started == taken {
                return Ok(());
            }
            // This thread holds a sender, so the channel stays open.
            let Ok((place, result)) = receiver.recv() else { return Ok(()) };
            waiting.insert(place, result);
            while let Some(result) = waiting.remove(&taken) {
                taken += 1;
                take(result.unwrap_or_else(|payload| resume_unwind(payload)))?;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn pool(threads: usize) -> ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn results_keep_the_order_and_memory_stays_bounded() {
        let (ahead, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut out = Vec::new();
        let work = |i: usize| {
            most.fetch_max(ahead.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The first of every eight is slow.
            std::thread::sleep(Duration::from_micros(if i.is_multiple_of(8) { 3000 } else { 10 }));
            i
        };
        let done: Result<(), Infallible> = in_order(&pool(3), 0..200, &AtomicBool::new(false), work, |i| {
            ahead.fetch_sub(1, Ordering::SeqCst);
            out.push(i);
            Ok(())
        });
        assert!(done.is_ok());
        assert_eq!(out, (0..200).collect::<Vec<_>>());
        assert!(most.into_inner() <= 3 * AHEAD);
    }

    #[test]
    fn stopping_hands_over_what_was_started() {
        let stop = AtomicBool::new(false);
        let started = AtomicUsize::new(0);
        let mut out = Vec::new();
        let work = |i: usize| {
            started.fetch_add(1, Ordering::SeqCst);
            i
        };
        let done: Result<(), Infallible> = in_order(&pool(2), 0.., &stop, work, |i| {
            stop.store(i >= 10, Ordering::Relaxed);
            out.push(i);
            Ok(())
        });
        assert!(done.is_ok());
        assert_eq!(out, (0..started.into_inner()).collect::<Vec<_>>());
        assert!(out.len() <= 11 + 2 * AHEAD);
    }

    #[test]
    fn a_failing_reader_ends_the_run() {
        let done = in_order(
            &pool(2),
            0..,
            &AtomicBool::new(false),
            |i: u32| i,
            |i| if i < 5 { Ok(()) } else { Err(i) },
        );
        assert_eq!(done, Err(5));
    }

    #[test]
    #[should_panic(expected = "seven")]
    fn a_panic_in_the_work_is_not_lost() {
        let work = |i: u32| if i == 7 { panic!("seven") } else { i };
        let _: Result<(), Infallible> = in_order(&pool(2), 0..20, &AtomicBool::new(false), work, |_| Ok(()));
    }
}
