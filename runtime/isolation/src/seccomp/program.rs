//! From verdicts about system calls to the instructions that the kernel runs before each call.
//!
//! For every process that installs a filter the kernel compiles it anew, a quarter of a microsecond for each
//! instruction, and asks it about every number there is, which takes longer still: five nanoseconds for each step.
//! Hence one program for all verdicts, a search that halves the numbers down to a few, arguments that are loaded
//! once, and few shared ends. What the calls mean is not known here.

use std::collections::BTreeMap;

use libc::sock_filter;

/// What happens to a call, as the kernel wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Action(u32);

impl Action {
    pub(crate) const ALLOW: Self = Self(libc::SECCOMP_RET_ALLOW);
    pub(crate) const KILL: Self = Self(libc::SECCOMP_RET_KILL_PROCESS);

    /// The call fails with this error.
    pub(crate) const fn errno(number: i32) -> Self {
        Self(libc::SECCOMP_RET_ERRNO | (number.unsigned_abs() & libc::SECCOMP_RET_DATA))
    }
}

/// How an argument is looked at; its lower 32 bits only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Equal(u32),
    AtLeast(u32),
    AtMost(u32),
    /// These bits, and what they must be.
    Bits(u32, u32),
    /// One of these bits at least.
    Any(u32),
}

/// An argument, counted from 0, and how it is looked at.
pub(crate) type Condition = (u8, Test);

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Always(Action),
    /// If all conditions of one of these hold; else what happens to any other call.
    If(Vec<Vec<Condition>>, Action),
}

/// What happens to every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// By number.
    pub(crate) calls: BTreeMap<u32, Verdict>,
    pub(crate) otherwise: Action,
}

const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ABOVE: u16 = 0x25;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const JUMP_IF_ANY: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

/// Where the kernel's `seccomp_data` has the call's number, the architecture and the arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xc000_00b7;

/// On x86-64 every call has a second number, of the x32 ABI, that no list names: from here up.
const FOREIGN_FROM: u32 = 0x4000_0000;

/// So many numbers are looked for one after the other: to halve them takes more instructions, and no fewer steps.
const CHAIN_MAX: usize = 2;

/// The kernel asks once about every number up to its last call, which is below this.
const ASKED_BELOW: u32 = 500;

/// The longest jump that depends on something, less the room for one jump in between.
const REACH: usize = u8::MAX as usize - 1;

impl Verdicts {
    /// A call of another architecture than this program's kills; a number of the x32 ABI is unknown.
    pub(crate) fn compile(&self) -> Vec<sock_filter> {
        let mut program = Program::default();
        let ranges = self.ranges(&mut program);
        let search = program.search(&ranges, u32::MAX);
        let search = program.load(NUMBER, search);
        let foreign = program.end(Action::KILL);
        let known = program.jump_if(JUMP_IF_EQUAL, OWN_ARCHITECTURE, search, foreign);
        program.load(ARCHITECTURE, known);
        program.reversed.reverse();
        program.reversed
    }

    /// Where each range of numbers begins, and what happens in it.
    fn ranges(&self, program: &mut Program) -> Vec<(u32, Goal)> {
        let otherwise = Goal::End(self.otherwise);
        let mut ranges = vec![(0, otherwise)];
        for (number, verdict) in &self.calls {
            let goal = match verdict {
                Verdict::Always(action) => Goal::End(*action),
                Verdict::If(some, action) => {
                    Goal::At(program.any_of(some, *action, self.otherwise))
                }
            };
            begin(&mut ranges, *number, goal);
            begin(&mut ranges, number + 1, otherwise);
        }
        begin(&mut ranges, FOREIGN_FROM, Goal::End(Action::errno(libc::ENOSYS)));
        ranges
    }
}

/// A range that begins where the last one does replaces it; one that goes on like it is none.
fn begin(ranges: &mut Vec<(u32, Goal)>, number: u32, goal: Goal) {
    ranges.pop_if(|(start, _)| *start == number);
    if ranges.last().is_none_or(|(_, last)| *last != goal) {
        ranges.push((number, goal));
    }
}

/// The range whose beginning halves the numbers that the kernel asks about best.
fn middle(ranges: &[(u32, Goal)], end: u32) -> usize {
    let asked = |number: u32| number.min(ASKED_BELOW);
    let twice = asked(ranges[0].0) + asked(end);
    // Beyond those that are asked about all are alike.
    let off =
        |at: &usize| (twice.abs_diff(2 * asked(ranges[*at].0)), at.abs_diff(ranges.len() / 2));
    (1..ranges.len()).min_by_key(off).expect("a single range is not halved")
}

/// Where a jump leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    End(Action),
    At(Place),
}

/// An instruction, counted from the last one.
type Place = usize;

/// An instruction that counts on an argument's having been loaded, or on nothing.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    argument: Option<u8>,
}

/// Written from its end, because jumps only lead forward: where they lead is known then.
#[derive(Debug, Default)]
struct Program {
    reversed: Vec<sock_filter>,
    /// The nearest of each.
    ends: BTreeMap<Action, Place>,
}

impl Program {
    fn push(&mut self, code: u16, [jt, jf]: [u8; 2], k: u32) -> Place {
        self.reversed.push(sock_filter { code, jt, jf, k });
        self.reversed.len() - 1
    }

    /// How many instructions the next one would jump over.
    fn distance(&self, place: Place) -> usize {
        self.reversed.len() - 1 - place
    }

    fn end(&mut self, action: Action) -> Place {
        match self.ends.get(&action) {
            Some(place) if self.distance(*place) < REACH => *place,
            _ => {
                let place = self.push(RETURN, [0, 0], action.0);
                self.ends.insert(action, place);
                place
            }
        }
    }

    fn jump(&mut self, place: Place) -> Place {
        let distance = u32::try_from(self.distance(place)).expect("4096 instructions at most");
        self.push(JUMP, [0, 0], distance)
    }

    fn jump_if(&mut self, code: u16, k: u32, met: Place, unmet: Place) -> Place {
        let [met, unmet] = [met, unmet].map(|place| match self.distance(place) < REACH {
            true => place,
            false => self.jump(place),
        });
        let offsets = [met, unmet].map(|place| {
            u8::try_from(self.distance(place)).expect("what is farther is reached by a jump")
        });
        self.push(code, offsets, k)
    }

    /// Loads a word and goes on there.
    fn load(&mut self, offset: u32, next: Place) -> Place {
        if self.distance(next) > 0 {
            self.jump(next);
        }
        self.push(LOAD_WORD, [0, 0], offset)
    }

    fn goal(&mut self, goal: Goal) -> Place {
        match goal {
            Goal::End(action) => self.end(action),
            Goal::At(place) => place,
        }
    }

    /// The number has been loaded, and is below the end.
    fn search(&mut self, ranges: &[(u32, Goal)], end: u32) -> Place {
        if let Some(chain) = self.chain(ranges, end) {
            return chain;
        }
        let (lower, upper) = ranges.split_at(middle(ranges, end));
        let above = self.search(upper, end);
        let below = self.search(lower, upper[0].0);
        self.jump_if(JUMP_IF_AT_LEAST, upper[0].0, above, below)
    }

    /// Number by number, where all but a few lead to the same.
    fn chain(&mut self, ranges: &[(u32, Goal)], end: u32) -> Option<Place> {
        let ends = ranges.iter().skip(1).map(|(start, _)| *start).chain([end]);
        let ranges: Vec<_> =
            ranges.iter().zip(ends).map(|((start, goal), end)| (*start..end, *goal)).collect();
        let (_, most) = ranges.iter().max_by_key(|(numbers, _)| numbers.len())?;
        let others = || ranges.iter().filter(|(_, goal)| goal != most);
        if others().map(|(numbers, _)| numbers.len()).sum::<usize>() > CHAIN_MAX {
            return None;
        }
        let mut next = self.goal(*most);
        for (numbers, goal) in others().rev() {
            for number in numbers.clone().rev() {
                let met = self.goal(*goal);
                next = self.jump_if(JUMP_IF_EQUAL, number, met, next);
            }
        }
        Some(next)
    }

    fn any_of(&mut self, some: &[Vec<Condition>], met: Action, unmet: Action) -> Place {
        let mut next = Entry { place: self.end(unmet), argument: None };
        for conditions in some.iter().rev() {
            let mut goal = Entry { place: self.end(met), argument: None };
            for condition in conditions.iter().rev() {
                goal = self.test(*condition, goal, next);
            }
            next = goal;
        }
        self.provide(next, None)
    }

    fn test(&mut self, (argument, test): Condition, met: Entry, unmet: Entry) -> Entry {
        let (code, k, [met, unmet]) = match test {
            Test::Equal(value) | Test::Bits(_, value) => (JUMP_IF_EQUAL, value, [met, unmet]),
            Test::AtLeast(value) => (JUMP_IF_AT_LEAST, value, [met, unmet]),
            Test::AtMost(value) => (JUMP_IF_ABOVE, value, [unmet, met]),
            Test::Any(bits) => (JUMP_IF_ANY, bits, [met, unmet]),
        };
        let loaded = (!matches!(test, Test::Bits(..))).then_some(argument);
        let [met, unmet] = [met, unmet].map(|entry| self.provide(entry, loaded));
        let place = self.jump_if(code, k, met, unmet);
        let place = match test {
            Test::Bits(mask, _) => self.push(AND, [0, 0], mask),
            Test::Equal(_) | Test::AtLeast(_) | Test::AtMost(_) | Test::Any(_) => place,
        };
        Entry { place, argument: Some(argument) }
    }

    /// Where to go from where an argument is loaded.
    fn provide(&mut self, entry: Entry, loaded: Option<u8>) -> Place {
        match entry.argument {
            // x86-64 and aarch64 have the lower half first.
            Some(wanted) if loaded != Some(wanted) => {
                self.load(ARGUMENTS + 8 * u32::from(wanted), entry.place)
            }
            Some(_) | None => entry.place,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The verdict about a call, without a program.
    fn expected(verdicts: &Verdicts, number: u32, arguments: [u32; 6]) -> Action {
        let holds = |(argument, test): &Condition| {
            let value = arguments[usize::from(*argument)];
            match test {
                Test::Equal(wanted) => value == *wanted,
                Test::AtLeast(least) => value >= *least,
                Test::AtMost(most) => value <= *most,
                Test::Bits(mask, wanted) => value & mask == *wanted,
                Test::Any(bits) => value & bits != 0,
            }
        };
        match verdicts.calls.get(&number) {
            Some(Verdict::Always(action)) => *action,
            Some(Verdict::If(some, action))
                if some.iter().any(|conditions| conditions.iter().all(holds)) =>
            {
                *action
            }
            Some(Verdict::If(..)) | None => verdicts.otherwise,
        }
    }

    /// Compares a program with the verdicts that it comes from, for all calls with many arguments.
    pub(in super::super) fn means_what_its_verdicts_say(verdicts: &Verdicts) {
        const VALUES: [u32; 9] = [0, 1, 2, 3, 10, 16, 17, 40, u32::MAX];
        let program = verdicts.compile();
        let bits = (0..32).map(|bit| 1 << bit);
        let values: Vec<u32> = VALUES.into_iter().chain(bits).chain(4..16).collect();
        for number in 0..700 {
            for (first, second) in
                values.iter().flat_map(|it| values.iter().map(move |at| (*it, *at)))
            {
                let arguments = [first, second, first ^ second, 0, 0, 0];
                let found = run(&program, OWN_ARCHITECTURE, number, arguments);
                assert_eq!(found, expected(verdicts, number, arguments), "{number} {arguments:x?}");
            }
        }
    }

    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u32; 6]) -> Action {
        run_counting(program, architecture, number, arguments).0
    }

    /// Instructions that the kernel runs to ask about each number that it has.
    pub(in super::super) fn steps(verdicts: &Verdicts) -> usize {
        let program = verdicts.compile();
        let steps = |number| run_counting(&program, OWN_ARCHITECTURE, number, [0; 6]).1;
        (0..ASKED_BELOW).map(steps).sum()
    }

    /// What the kernel does with a program, and in how many steps.
    fn run_counting(
        program: &[sock_filter],
        architecture: u32,
        number: u32,
        arguments: [u32; 6],
    ) -> (Action, usize) {
        let (mut at, mut accumulator) = (0, 0);
        for step in 1.. {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                LOAD_WORD if k == NUMBER => accumulator = number,
                LOAD_WORD if k == ARCHITECTURE => accumulator = architecture,
                LOAD_WORD => accumulator = arguments[(k - ARGUMENTS) as usize / 8],
                AND => accumulator &= k,
                JUMP => at += k as usize,
                JUMP_IF_EQUAL => at += jump(accumulator == k),
                JUMP_IF_ABOVE => at += jump(accumulator > k),
                JUMP_IF_AT_LEAST => at += jump(accumulator >= k),
                JUMP_IF_ANY => at += jump(accumulator & k != 0),
                RETURN => return (Action(k), step),
                other => panic!("unknown instruction {other:#x}"),
            }
        }
        unreachable!("a program ends")
    }

    fn refused() -> Action {
        Action::errno(libc::EPERM)
    }

    #[test]
    fn every_number_gets_its_own_verdict_however_long_the_list_is() {
        for step in [1, 2, 3] {
            let numbers = (1..900).filter(|number| number % step == 0);
            let calls = numbers.map(|it| (it, Verdict::Always(refused()))).collect();
            let verdicts = Verdicts { calls, otherwise: Action::ALLOW };
            let program = verdicts.compile();
            assert!(program.len() < 4096, "{}", program.len());
            for number in 0..1000 {
                let found = run(&program, OWN_ARCHITECTURE, number, [0; 6]);
                let expected = verdicts.calls.contains_key(&number);
                assert_eq!(found == refused(), expected, "{number} of every {step}");
            }
        }
    }

    #[test]
    fn conditions_are_all_met_or_the_next_ones_are_asked() {
        let some = vec![
            vec![(0, Test::Equal(2)), (1, Test::Bits(0xf, 3))],
            vec![(0, Test::AtLeast(10)), (0, Test::AtMost(12))],
        ];
        let calls = BTreeMap::from([(41, Verdict::If(some, refused()))]);
        let program = Verdicts { calls, otherwise: Action::ALLOW }.compile();
        let asked = |first, second| {
            run(&program, OWN_ARCHITECTURE, 41, [first, second, 0, 0, 0, 0]) == refused()
        };
        assert!(asked(2, 0x73) && asked(10, 0) && asked(12, 0));
        assert!(!asked(2, 0x74) && !asked(9, 3) && !asked(13, 3) && !asked(3, 3));
        assert_eq!(run(&program, OWN_ARCHITECTURE, 42, [2, 3, 0, 0, 0, 0]), Action::ALLOW);
    }

    #[test]
    fn another_architecture_kills_and_a_number_of_another_abi_is_unknown() {
        let program = Verdicts { calls: BTreeMap::new(), otherwise: Action::ALLOW }.compile();
        assert_eq!(run(&program, 0x4000_0003, 1, [0; 6]), Action::KILL);
        let found = run(&program, OWN_ARCHITECTURE, FOREIGN_FROM + 1, [0; 6]);
        assert_eq!(found, Action::errno(libc::ENOSYS));
        assert_eq!(run(&program, OWN_ARCHITECTURE, 1, [0; 6]), Action::ALLOW);
    }
}
