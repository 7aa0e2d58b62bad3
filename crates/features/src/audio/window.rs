//! Cuts a recording into the windows that the network scores.

use std::ops::Range;

use crate::Waveform;

/// Samples of one window: 4 s.
pub const WINDOW: usize = 4 * Waveform::RATE as usize;

/// One window of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioWindow {
    /// Start in seconds.
    pub start: f64,
    /// End in seconds; for a recording shorter than a window, its own end.
    pub end: f64,
    /// The samples it covers.
    pub range: Range<usize>,
}

/// Windows of 4 s, `hop` seconds apart (0.01 s or more; 1 s is usual), over a recording of `len` samples.
///
/// The last window ends with the recording. A recording that is shorter than a window gives one window over all of
/// it, to be repeated with [`tile`]; an empty one gives none.
pub fn windows(len: usize, hop: f64) -> Vec<AudioWindow> {
    if len == 0 {
        return Vec::new();
    }
    let rate = f64::from(Waveform::RATE);
    let hop = ((hop.max(0.01) * rate) as usize).min(len);
    let last = len.saturating_sub(WINDOW);
    (0..last)
        .step_by(hop.max(1))
        .chain([last])
        .map(|start| {
            let range = start..(start + WINDOW).min(len);
            AudioWindow { start: start as f64 / rate, end: range.end as f64 / rate, range }
        })
        .collect()
}

/// Exactly `len` samples: the beginning of `samples`, repeated as often as needed, as AASIST (Jung et al. 2022)
/// does with short clips. Silence if there are no samples.
pub fn tile(samples: &[f32], len: usize) -> Vec<f32> {
    if samples.is_empty() {
        return vec![0.0; len];
    }
    samples.iter().copied().cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_and_end_with_the_recording() {
        for len in [1, 100, WINDOW - 1, WINDOW, WINDOW + 1, 5 * 16_000, 100_001, 600_000] {
            let all = windows(len, 1.0);
            assert_eq!((all[0].range.start, all[all.len() - 1].range.end), (0, len));
            for pair in all.windows(2) {
                assert!(
                    pair[0].range.start < pair[1].range.start && pair[1].range.start <= pair[0].range.end
                );
                assert_eq!(pair[1].range.len(), WINDOW);
            }
        }
        assert!(windows(0, 1.0).is_empty());
        assert_eq!(windows(80_000, 1.0).len(), 2);
        assert_eq!(windows(100_000, f64::NAN).len(), 226);
    }

    #[test]
    fn short_clips_repeat() {
        assert_eq!(tile(&[1.0, 2.0, 3.0], 7), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
        assert_eq!(tile(&[1.0, 2.0, 3.0], 2), [1.0, 2.0]);
        assert_eq!(tile(&[], 2), [0.0, 0.0]);
    }
}
