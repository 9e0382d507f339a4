//! Blind changes to inputs: enough to notice that a parser has become careless, no search.

use crate::random::Random;

/// Longer inputs reach nothing that shorter ones do not.
const LENGTH_MAX: usize = 4096;
/// What is often special: ends of ranges, quotes, brackets, separators.
const SPECIAL: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t\"'\\{}[]()=,.:;#-_ 09aZ\xc3\xe2\xf0";
const CHANGES_MAX: u64 = 6;

/// Makes inputs of inputs; the same ones for the same seed.
#[derive(Debug)]
pub struct Mutator {
    random: Random,
    inputs: Vec<Vec<u8>>,
}

impl Mutator {
    /// Begins with these inputs, and an empty one.
    pub fn new(seed: u64, mut inputs: Vec<Vec<u8>>) -> Self {
        inputs.push(Vec::new());
        Self { random: Random::new(seed), inputs }
    }

    /// One of the inputs, with some changes.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.random.one_of(&self.inputs).clone();
        for _ in 0..self.random.between(1, CHANGES_MAX) {
            self.change(&mut bytes);
        }
        bytes.truncate(LENGTH_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.position(bytes.len());
        let end = (at + self.position(40)).min(bytes.len());
        match self.random.between(0, 7) {
            0 => bytes.insert(at, *self.random.one_of(SPECIAL)),
            1 if at < bytes.len() => bytes[at] = *self.random.one_of(SPECIAL),
            2 if at < bytes.len() => bytes[at] ^= 1 << self.random.between(0, 8),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = self.random.one_of(&self.inputs).clone();
                let from = self.position(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = self.random.bytes(end - at);
                bytes.splice(at..end, piece);
            }
        }
    }

    /// From 0 to a length, both included.
    fn position(&mut self, length: usize) -> usize {
        usize::try_from(self.random.between(0, length as u64 + 1)).expect("below a length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_every_time() {
        let inputs = || Mutator::new(3, vec![b"[services.a]".to_vec()]);
        let (mut first, mut second) = (inputs(), inputs());
        for _ in 0..1000 {
            assert_eq!(first.next_input(), second.next_input());
        }
    }
}
