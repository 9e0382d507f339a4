//! Cuts a stream of bytes into lines of bounded length.
//!
//! Complete lines are handed on without copying. What follows the last line feed is kept in a
//! buffer that exists only while there is such a rest. There is no timer: a rest waits until its
//! line is completed, grows too long, or the stream ends.

use memchr::memchr;

/// How a piece of output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// With a line feed, or with the stream.
    Whole,
    /// In the middle of a line.
    Cut,
}

/// The rest of a stream: at most the longest line.
#[derive(Debug, Default)]
pub(crate) struct Rest(Vec<u8>);

impl Rest {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes more of the stream and hands on every piece that is ready.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        length_max: usize,
        mut emit: impl FnMut(&[u8], Piece),
    ) {
        while let Some(end) = memchr(b'\n', bytes) {
            let line = &bytes[..end];
            bytes = &bytes[end + 1..];
            if self.0.is_empty() {
                let end = cut(line, length_max, &mut emit);
                emit(end, Piece::Whole);
            } else {
                let mut joined = std::mem::take(&mut self.0);
                joined.extend_from_slice(line);
                let end = cut(&joined, length_max, &mut emit);
                emit(end, Piece::Whole);
            }
        }
        self.keep(bytes, length_max, emit);
    }

    /// Hands on the rest, if there is one.
    pub(crate) fn flush(&mut self, piece: Piece, mut emit: impl FnMut(&[u8], Piece)) {
        if !self.0.is_empty() {
            emit(&std::mem::take(&mut self.0), piece);
        }
    }

    fn keep(&mut self, bytes: &[u8], length_max: usize, mut emit: impl FnMut(&[u8], Piece)) {
        if self.0.is_empty() {
            self.0 = cut(bytes, length_max, &mut emit).to_vec();
            return;
        }
        self.0.reserve_exact(bytes.len());
        self.0.extend_from_slice(bytes);
        if self.0.len() > length_max {
            self.0 = cut(&self.0, length_max, &mut emit).to_vec();
        }
    }
}

/// Emits pieces from the front until the last one fits, and returns that one.
fn cut<'a>(
    mut bytes: &'a [u8],
    length_max: usize,
    emit: &mut impl FnMut(&[u8], Piece),
) -> &'a [u8] {
    while bytes.len() > length_max {
        let (piece, rest) = bytes.split_at(character_start(bytes, length_max));
        emit(piece, Piece::Cut);
        bytes = rest;
    }
    bytes
}

/// The nearest position up to `at` that is not inside a UTF-8 character; `at` if there is none near.
fn character_start(bytes: &[u8], at: usize) -> usize {
    let inside = |position: &usize| bytes[*position] & 0b1100_0000 == 0b1000_0000;
    let candidates = (at.saturating_sub(3).max(1)..=at).rev();
    candidates.into_iter().find(|position| !inside(position)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[Vec<u8>], length_max: usize) -> (Vec<(Vec<u8>, Piece)>, usize) {
        let (mut pieces, mut rest, mut longest) = (Vec::new(), Rest::default(), 0);
        for chunk in chunks {
            rest.feed(chunk, length_max, |line, piece| pieces.push((line.to_vec(), piece)));
            longest = longest.max(rest.len());
        }
        rest.flush(Piece::Whole, |line, piece| pieces.push((line.to_vec(), piece)));
        (pieces, longest)
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let (pieces, _) = split(&["aé".repeat(3).into_bytes(), b"\nb".to_vec()], 5);
        let texts: Vec<_> = pieces
            .iter()
            .map(|(line, piece)| (std::str::from_utf8(line).expect("whole characters"), *piece))
            .collect();
        assert_eq!(texts, [("aéa", Piece::Cut), ("éaé", Piece::Whole), ("b", Piece::Whole)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_long(
            chunks in prop::collection::vec(
                prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..40), 0..8),
            length_max in 1..20_usize,
        ) {
            let (pieces, longest) = split(&chunks, length_max);
            prop_assert!(longest <= length_max);
            let mut joined = Vec::new();
            for (line, piece) in &pieces {
                prop_assert!(line.len() <= length_max);
                joined.extend_from_slice(line);
                if *piece == Piece::Whole { joined.push(b'\n') }
            }
            let mut printed = chunks.concat();
            if !printed.is_empty() && !printed.ends_with(b"\n") { printed.push(b'\n') }
            prop_assert_eq!(joined, printed);
        }
    }
}
