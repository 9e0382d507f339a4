//! The program that drops what comes too fast, and the bucket that it fills.
//!
//! The bucket is one number: the time at which what has passed would have been sent at exactly the rate
//! (the "theoretical arrival time" of the generic cell rate algorithm). Each packet that passes moves it
//! on; one that comes while it is more than [`WINDOW`] ahead is dropped. So in any time that begins with
//! an empty bucket there passes what the rate allows, what it allows in a window, and one packet.
//!
//! Processors that see packets at the same time may each let one pass where one alone would have dropped
//! it: the bucket is added to atomically, but looked at before. One that was interrupted after it had found
//! the bucket empty empties it again, which is another window's worth.
//!
//! Only packets of IP come here. Who has the capability `net_raw` can send others.

use super::Direction;

/// One instruction of the kernel's machine, `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    pub(super) code: u8,
    /// Source above destination.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

/// What the map holds: the time.
pub(super) const BYTES: u32 = 8;

/// How far ahead of the rate one may be, in nanoseconds. TCP that was refused a packet, and waits for no
/// answer, tries again after 200 ms: with less than that, it would never come up to the rate.
const WINDOW: i32 = 300_000_000;
/// From here on TCP is told to send less, before it loses packets.
const CONGESTED: i32 = WINDOW / 2;
const NANOSECONDS: i32 = 1_000_000_000;

const LOAD_CONSTANT: u8 = 0x18;
const LOAD_WORD: u8 = 0x61;
const LOAD_DOUBLE: u8 = 0x79;
const STORE_DOUBLE: u8 = 0x7b;
const ADD_ATOMICALLY: u8 = 0xdb;
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
const SUBTRACT: u8 = 0x1f;
const MULTIPLY_BY: u8 = 0x27;
const DIVIDE: u8 = 0x3f;
const JUMP_IF_AT_LEAST: u8 = 0x3d;
const JUMP_IF_ABOVE: u8 = 0x25;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// Says that a constant is the address of a map's first value.
const OF_MAP: u8 = 2;
/// `bpf_ktime_get_ns`.
const NOW: i32 = 5;
/// Where `struct __sk_buff` has the length of the packet, with the headers of IP.
const LENGTH: i16 = 0;

/// What becomes of a packet. Of one that is received the kernel knows only the first two.
const DROPPED: i32 = 0;
const PASSED: i32 = 1;
const DROPPED_FOR_CONGESTION: i32 = 2;
const PASSED_IN_CONGESTION: i32 = 3;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const COST: u8 = 1;
const RATE: u8 = 2;
const AHEAD: u8 = 3;
/// These keep their values over a call.
const PACKET: u8 = 6;
const BUCKET: u8 = 7;

/// For a map of one value with [`BYTES`], whose descriptor only this process has.
pub(super) fn program(direction: Direction, bytes_per_second: u64, map: i32) -> Vec<Instruction> {
    let (congested, dropped) = match direction {
        Direction::Egress => (PASSED_IN_CONGESTION, DROPPED_FOR_CONGESTION),
        Direction::Ingress => (PASSED, DROPPED),
    };
    let [bucket, bucket_end] = constant(BUCKET, OF_MAP, map, 0);
    // The kernel's own form of a large number: its lower half, then its upper.
    let (lower, upper) = (bytes_per_second as i32, (bytes_per_second >> 32) as i32);
    let [rate, rate_end] = constant(RATE, 0, lower, upper);
    vec![
        between(MOVE, PACKET, CONTEXT),
        with(CALL, RESULT, NOW),
        bucket,
        bucket_end,
        // How far the bucket is ahead of now; one behind it is empty, and begins now.
        at(LOAD_DOUBLE, AHEAD, BUCKET, 0),
        at(JUMP_IF_AT_LEAST, AHEAD, RESULT, 2),
        at(STORE_DOUBLE, BUCKET, RESULT, 0),
        between(MOVE, AHEAD, RESULT),
        between(SUBTRACT, AHEAD, RESULT),
        Instruction { offset: 10, ..with(JUMP_IF_ABOVE, AHEAD, WINDOW) },
        // What the packet takes at the rate.
        at(LOAD_WORD, COST, PACKET, LENGTH),
        with(MULTIPLY_BY, COST, NANOSECONDS),
        rate,
        rate_end,
        between(DIVIDE, COST, RATE),
        at(ADD_ATOMICALLY, BUCKET, COST, 0),
        with(SET, RESULT, congested),
        Instruction { offset: 1, ..with(JUMP_IF_ABOVE, AHEAD, CONGESTED) },
        with(SET, RESULT, PASSED),
        with(EXIT, 0, 0),
        with(SET, RESULT, dropped),
        with(EXIT, 0, 0),
    ]
}

fn at(code: u8, destination: u8, source: u8, offset: i16) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate: 0 }
}

fn between(code: u8, destination: u8, source: u8) -> Instruction {
    at(code, destination, source, 0)
}

fn with(code: u8, destination: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: destination, offset: 0, immediate }
}

/// The only instruction that is two.
fn constant(destination: u8, kind: u8, lower: i32, upper: i32) -> [Instruction; 2] {
    let first = Instruction { immediate: lower, ..between(LOAD_CONSTANT, destination, kind) };
    [first, with(0, 0, upper)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with a program for one packet.
    fn run(program: &[Instruction], bucket: &mut u64, now: u64, length: u64) -> u64 {
        const MAP: u64 = 0xb0c;
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let Instruction { code, registers: named, offset, immediate } = program[at];
            let (to, from) = (usize::from(named & 15), usize::from(named >> 4));
            let (value, constant) = (registers[from], i64::from(immediate) as u64);
            at += 1;
            let mut jump = |holds: bool| at += if holds { offset as usize } else { 0 };
            match code {
                LOAD_CONSTANT => {
                    let upper = program[at].immediate as u32;
                    let number = u64::from(upper) << 32 | u64::from(immediate as u32);
                    registers[to] = if named >> 4 == OF_MAP { MAP } else { number };
                    at += 1;
                }
                CALL => registers[usize::from(RESULT)] = now,
                LOAD_WORD => registers[to] = length,
                LOAD_DOUBLE => registers[to] = if value == MAP { *bucket } else { panic!() },
                STORE_DOUBLE => *bucket = value,
                ADD_ATOMICALLY => *bucket += value,
                MOVE => registers[to] = value,
                SET => registers[to] = constant,
                SUBTRACT => registers[to] -= value,
                MULTIPLY_BY => registers[to] *= constant,
                DIVIDE => registers[to] /= value,
                JUMP_IF_AT_LEAST => jump(registers[to] >= value),
                JUMP_IF_ABOVE => jump(registers[to] > constant),
                EXIT => return registers[usize::from(RESULT)],
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    fn passes(verdict: u64) -> bool {
        [PASSED, PASSED_IN_CONGESTION].contains(&(verdict as i32))
    }

    const SECOND: u64 = NANOSECONDS as u64;

    #[test]
    fn in_a_second_there_passes_the_rate_and_a_window() {
        for rate in [100_000, 10_000_000, 10_000_000_000] {
            let program = program(Direction::Ingress, rate, 3);
            let (mut bucket, begin, length) = (0, 500 * SECOND, rate / 1000);
            let packets = (0..100_000).map(|step| begin + step * SECOND / 100_000);
            let passed = packets.filter(|now| passes(run(&program, &mut bucket, *now, length)));
            let bytes = passed.count() as u64 * length;
            let window = rate / 10 * 3;
            assert!((rate + window..=rate + window + length).contains(&bytes), "{bytes} at {rate}");
        }
    }

    #[test]
    fn who_was_silent_has_saved_up_no_more_than_a_window() {
        let program = program(Direction::Ingress, 1000, 3);
        let mut bucket = 0;
        let mut at_once =
            |now| (0..10_000).filter(|_| passes(run(&program, &mut bucket, now, 10))).count();
        assert_eq!(at_once(SECOND), 31);
        assert_eq!(at_once(SECOND), 0);
        assert_eq!(at_once(1000 * SECOND), 31);
    }

    #[test]
    fn who_sends_is_told_of_congestion_before_anything_is_dropped() {
        let program = program(Direction::Egress, 1000, 3);
        let mut bucket = 0;
        let verdicts: Vec<i32> =
            (0..40).map(|_| run(&program, &mut bucket, SECOND, 10) as i32).collect();
        let (early, late) = verdicts.split_at(16);
        assert!(early.iter().all(|it| *it == PASSED), "{verdicts:?}");
        assert!(late[..15].iter().all(|it| *it == PASSED_IN_CONGESTION), "{verdicts:?}");
        assert!(late[15..].iter().all(|it| *it == DROPPED_FOR_CONGESTION), "{verdicts:?}");
    }
}
