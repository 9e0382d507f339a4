//! What was seen of each instance so far: numbers now, what became of counters in between, and the
//! trail of each.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use blackhole_protocol::control::v1::{GetStatusResponse, InstanceStatus, Usage};

use super::{measure::Measure, spark::Trail};

/// One number for each measure.
pub(super) type Numbers = BTreeMap<Measure, f64>;

/// An instance as of the last look.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) status: InstanceStatus,
    pub(super) numbers: Numbers,
    trails: BTreeMap<Measure, Trail>,
    counters: Option<Counters>,
}

/// What only grows, and what it is read off.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Counters {
    scope: i32,
    generation: u64,
    cpu: f64,
    throttled: Option<f64>,
    read: Option<u64>,
    written: Option<u64>,
}

/// Every instance, by service and number.
#[derive(Debug, Default)]
pub(super) struct Watched {
    rows: BTreeMap<(String, u32), Row>,
    totals: BTreeMap<Measure, Trail>,
    looked_at: Option<Instant>,
}

impl Watched {
    /// Takes the next look in; instances that are gone are forgotten.
    pub(super) fn take(&mut self, status: &GetStatusResponse, now: Instant) {
        let elapsed = self.looked_at.replace(now).map(|before| now - before);
        let mut before = std::mem::take(&mut self.rows);
        for instance in &status.instances {
            let key = (instance.service.clone(), instance.instance);
            let row = Row::next(instance, before.remove(&key), elapsed);
            self.rows.insert(key, row);
        }
        let totals = self.totals();
        for measure in Measure::ALL {
            self.totals.entry(measure).or_default().push(totals.get(&measure).copied());
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Of all instances together, as far as that says something.
    pub(super) fn totals(&self) -> Numbers {
        let additive = Measure::ALL.into_iter().filter(|measure| measure.is_additive());
        let sum = |measure: Measure| {
            let numbers = self.rows.values().filter_map(|row| row.numbers.get(&measure));
            numbers.copied().reduce(|sum, number| sum + number).map(|sum| (measure, sum))
        };
        additive.filter_map(sum).collect()
    }

    pub(super) fn total_trail(&self, measure: Measure) -> Option<&Trail> {
        self.totals.get(&measure)
    }
}

impl Row {
    fn next(status: &InstanceStatus, before: Option<Self>, elapsed: Option<Duration>) -> Self {
        let (counted_before, mut trails) = match before {
            Some(row) => (row.counters, row.trails),
            None => (None, BTreeMap::new()),
        };
        let counters = status.usage.as_ref().map(|usage| Counters::of(usage, status.generation));
        let mut numbers = status.usage.as_ref().map(gauges).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "nothing restarts 2^53 times")]
        numbers.insert(Measure::Restarts, status.restarts as f64);
        match (counted_before, counters, elapsed) {
            (Some(before), Some(now), Some(elapsed)) if before.is_comparable(&now) => {
                numbers.extend(now.since(&before, elapsed));
            }
            // The first look: what the node says of the time before.
            _ => numbers.extend(status.cpu_percent.map(|percent| (Measure::Cpu, percent))),
        }
        for measure in Measure::ALL {
            trails.entry(measure).or_default().push(numbers.get(&measure).copied());
        }
        Self { status: status.clone(), numbers, trails, counters }
    }

    pub(super) fn trail(&self, measure: Measure) -> Option<&Trail> {
        self.trails.get(&measure)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gauges(usage: &Usage) -> Numbers {
    let pressures = [&usage.cpu_pressure, &usage.memory_pressure, &usage.io_pressure];
    let pressures = pressures.into_iter().flatten().map(|pressure| pressure.some_percent);
    let known = [
        (Measure::Memory, Some(usage.memory_bytes as f64)),
        (Measure::Threads, Some(usage.threads as f64)),
        (Measure::Files, usage.descriptors.map(|count| count as f64)),
        (Measure::Connections, usage.connections.map(|count| count as f64)),
        (Measure::Pressure, pressures.reduce(f64::max)),
    ];
    known.into_iter().filter_map(|(measure, number)| Some((measure, number?))).collect()
}

impl Counters {
    fn of(usage: &Usage, generation: u64) -> Self {
        let seconds = |time: &prost_types::Duration| {
            Duration::try_from(*time).map_or(0.0, |time| time.as_secs_f64())
        };
        Self {
            scope: usage.scope,
            generation,
            cpu: usage.cpu.as_ref().map_or(0.0, seconds),
            throttled: usage.throttled.as_ref().map(seconds),
            read: usage.io_read_bytes,
            written: usage.io_written_bytes,
        }
    }

    /// A process that was replaced begins at zero.
    fn is_comparable(&self, now: &Self) -> bool {
        self.scope == now.scope && self.generation == now.generation
    }

    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    fn since(&self, before: &Self, elapsed: Duration) -> Numbers {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        let percent = |now: f64, before: f64| (now - before).max(0.0) / seconds * 100.0;
        let rate = |now: Option<u64>, before: Option<u64>| {
            Some(now?.saturating_sub(before?) as f64 / seconds)
        };
        let throttled = self.throttled.zip(before.throttled);
        let known = [
            (Measure::Cpu, Some(percent(self.cpu, before.cpu))),
            (Measure::Throttled, throttled.map(|(now, before)| percent(now, before))),
            (Measure::Read, rate(self.read, before.read)),
            (Measure::Write, rate(self.written, before.written)),
        ];
        known.into_iter().filter_map(|(measure, number)| Some((measure, number?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(generation: u64, cpu_milliseconds: i32, read: u64) -> GetStatusResponse {
        let usage = Usage {
            memory_bytes: 7,
            cpu: Some(prost_types::Duration { seconds: 1, nanos: cpu_milliseconds * 1_000_000 }),
            io_read_bytes: Some(read),
            ..Usage::default()
        };
        let instance = InstanceStatus {
            service: "a".into(),
            instance: 1,
            generation,
            cpu_percent: Some(3.0),
            usage: Some(usage),
            ..InstanceStatus::default()
        };
        GetStatusResponse { instances: vec![instance], ..GetStatusResponse::default() }
    }

    #[test]
    fn counters_become_rates_and_a_replacement_begins_anew() {
        let (mut watched, start) = (Watched::default(), Instant::now());
        let mut number = |status, second, measure| {
            watched.take(&status, start + Duration::from_secs(second));
            watched.rows().next().expect("a row").numbers.get(&measure).copied()
        };
        assert_eq!(number(look(1, 0, 100), 0, Measure::Cpu), Some(3.0));
        assert_eq!(number(look(1, 500, 4196), 2, Measure::Cpu).map(f64::round), Some(25.0));
        assert_eq!(number(look(1, 500, 4196 + 2048), 3, Measure::Read), Some(2048.0));
        assert_eq!(number(look(2, 0, 0), 4, Measure::Read), None);
        assert_eq!(number(look(2, 0, 0), 5, Measure::Throttled), None);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut watched = Watched::default();
        watched.take(&look(1, 0, 0), Instant::now());
        assert_eq!(watched.totals().get(&Measure::Memory), Some(&7.0));
        watched.take(&GetStatusResponse::default(), Instant::now());
        assert_eq!(watched.rows().count(), 0);
        assert_eq!(watched.totals().get(&Measure::Memory), None);
    }
}
