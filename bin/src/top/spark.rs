//! A sparkline: the last numbers of a row as blocks of eight heights, the newest at the right.

use std::collections::VecDeque;

/// Numbers kept of each: at least as many as a sparkline shows.
const LENGTH_MAX: usize = 12;

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last numbers, oldest first; what was not known is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail(VecDeque<Option<f64>>);

impl Trail {
    pub(super) fn push(&mut self, number: Option<f64>) {
        if self.0.len() == LENGTH_MAX {
            self.0.pop_front();
        }
        self.0.push_back(number);
    }

    /// `width` characters. The highest block is the largest of the numbers, or `floor` where that is
    /// more: little is not made to look like much.
    pub(super) fn draw(&self, width: usize, floor: f64) -> String {
        let top = self.0.iter().flatten().copied().fold(floor, f64::max);
        let shown = self.0.iter().skip(self.0.len().saturating_sub(width));
        let blocks: String = shown.map(|number| number.map_or(' ', |it| block(it, top))).collect();
        format!("{blocks:>width$}")
    }
}

fn block(number: f64, top: f64) -> char {
    let steps = (HEIGHTS.len() - 1) as f64;
    let height = if top > 0.0 { (number / top * steps).round().clamp(0.0, steps) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    HEIGHTS[height as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(numbers: &[Option<f64>], width: usize, floor: f64) -> String {
        let mut trail = Trail::default();
        numbers.iter().for_each(|number| trail.push(*number));
        trail.draw(width, floor)
    }

    #[test]
    fn the_largest_is_the_highest_and_the_newest_the_last() {
        assert_eq!(drawn(&[Some(0.0), Some(50.0), Some(100.0)], 5, 0.0), "  ▁▅█");
        assert_eq!(drawn(&[Some(1.0), None, Some(100.0)], 2, 0.0), " █");
    }

    #[test]
    fn little_does_not_look_like_much_and_nothing_is_flat() {
        assert_eq!(drawn(&[Some(1.0), Some(2.0)], 2, 100.0), "▁▁");
        assert_eq!(drawn(&[Some(0.0), Some(0.0)], 2, 0.0), "▁▁");
    }

    #[test]
    fn only_the_last_ones_are_kept() {
        let many: Vec<_> = (0..100).map(|number| Some(f64::from(number))).collect();
        assert_eq!(drawn(&many, 100, 0.0).trim().chars().count(), LENGTH_MAX);
    }
}
