//! The table as people see it: the order of its rows, which of them are shown, and what keys do.

use std::{cmp::Ordering, time::Instant};

use anstyle::{AnsiColor, Style};
use blackhole_protocol::control::v1::GetStatusResponse;
use clap::ValueEnum;

use super::{
    measure::Measure,
    record::Record,
    spark::Trail,
    watched::{Numbers, Row, Watched},
};
use crate::{
    status_table::{self, optional},
    table::{self, Align, Cell, Column},
    terminal::{Key, Size},
    text,
};

/// How wide a sparkline is.
const SPARK_WIDTH: usize = 8;
/// So many sparklines, those of what matters most, are shown rather than further columns.
const SPARKS_MIN: usize = 2;

const HELP: &str =
    "q quit   ←→ or a letter: sort by   R reverse   ↑↓ PgUp PgDn scroll   space pause";

/// By what rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    By(Measure),
}

/// Everything that is known, and how it is looked at.
#[derive(Debug)]
pub(crate) struct Table {
    watched: Watched,
    status: GetStatusResponse,
    sort: Sort,
    order: Order,
    offset: usize,
    refresh: Refresh,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Names from the first on, numbers from the largest on.
    Usual,
    Reversed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Running,
    Paused,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    Draw,
    Quit,
}

impl Table {
    pub(crate) fn new(sort: Sort, order: Order) -> Self {
        Self {
            watched: Watched::default(),
            status: GetStatusResponse::default(),
            sort,
            order,
            offset: 0,
            refresh: Refresh::Running,
        }
    }

    /// Takes the next look in, unless the page is paused.
    pub(crate) fn take(&mut self, status: GetStatusResponse) {
        if self.refresh == Refresh::Running {
            self.watched.take(&status, Instant::now());
            self.status = status;
        }
    }

    /// Does what a key says, on a page of this size.
    pub(crate) fn press(&mut self, key: Key, size: Size) -> Reaction {
        let page = rows_shown(size);
        match key {
            Key::Interrupt | Key::Escape | Key::Character('q' | 'Q') => return Reaction::Quit,
            Key::Up | Key::Character('k') => self.offset = self.offset.saturating_sub(1),
            Key::Down | Key::Character('j') => self.offset += 1,
            Key::PageUp => self.offset = self.offset.saturating_sub(page),
            Key::PageDown => self.offset += page,
            Key::Home => self.offset = 0,
            Key::End => self.offset = usize::MAX - page,
            Key::Left | Key::Character('<') => self.sort_beside(Measure::ALL.len()),
            Key::Right | Key::Character('>') => self.sort_beside(1),
            Key::Character('R') => {
                self.order = match self.order {
                    Order::Usual => Order::Reversed,
                    Order::Reversed => Order::Usual,
                };
            }
            Key::Character(' ') => {
                self.refresh = match self.refresh {
                    Refresh::Running => Refresh::Paused,
                    Refresh::Paused => Refresh::Running,
                };
            }
            Key::Character('n') => self.sort = Sort::Name,
            Key::Character(letter) => {
                let measure = Measure::ALL.into_iter().find(|it| it.key() == letter);
                self.sort = measure.map_or(self.sort, Sort::By);
            }
        }
        self.offset = self.offset.min(self.watched.rows().count().saturating_sub(page));
        Reaction::Draw
    }

    /// So many columns further to the right; the name is the first.
    fn sort_beside(&mut self, steps: usize) {
        let columns: Vec<Sort> =
            [Sort::Name].into_iter().chain(Measure::ALL.map(Sort::By)).collect();
        let now = columns.iter().position(|it| *it == self.sort).unwrap_or(0);
        self.sort = columns[(now + steps) % columns.len()];
    }

    /// The page: the node, the headings, the total, the rows that fit, and what the keys do.
    pub(crate) fn page(&self, size: Size) -> String {
        let rows = self.ordered();
        let table = self.render(&rows, Some(size.columns), Trails::Drawn);
        let mut lines = table.lines();
        let mut text = self.heading(size.columns);
        let shown = rows_shown(size);
        let offset = self.offset.min(rows.len().saturating_sub(shown));
        let head: Vec<&str> = lines.by_ref().take(2).collect();
        let body: Vec<&str> = lines.skip(offset).take(shown).collect();
        for line in head.iter().chain(&body) {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&"\n".repeat(shown - body.len()));
        text.push_str(&footer(offset, body.len(), rows.len(), size.columns));
        text
    }

    /// All rows without a page around them, for a file or a pipe.
    pub(crate) fn listing(&self, width: Option<usize>) -> String {
        self.render(&self.ordered(), width, Trails::Hidden)
    }

    /// All rows for a program, in their order.
    pub(crate) fn record(&self) -> Record {
        Record::of(self.status.node.as_ref(), self.ordered().into_iter())
    }

    fn ordered(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.watched.rows().collect();
        let by = |a: &&Row, b: &&Row| match self.sort {
            Sort::Name => Ordering::Equal,
            Sort::By(measure) => {
                let number = |row: &&Row| row.numbers.get(&measure).copied().unwrap_or(-1.0);
                number(b).total_cmp(&number(a))
            }
        };
        rows.sort_by(by);
        if self.order == Order::Reversed {
            rows.reverse();
        }
        rows
    }

    fn heading(&self, width: usize) -> String {
        let Some(node) = &self.status.node else { return "\n\n".to_owned() };
        let ready = self.watched.rows().filter(|row| row.status.ready).count();
        let paused = match self.refresh {
            Refresh::Running => "",
            Refresh::Paused => "   PAUSED",
        };
        let counts = format!("{} instances, {ready} ready{paused}", self.watched.rows().count());
        let bold = Style::new().bold();
        let plain = format!(
            "{}  {}, up {}   {counts}",
            text::visible(&node.name),
            text::node_state(node.state()),
            text::duration(node.uptime.as_ref())
        );
        let shown: String = plain.chars().take(width).collect();
        format!("{bold}{shown}{bold:#}\n\n")
    }

    fn render(&self, rows: &[&Row], width: Option<usize>, trails: Trails) -> String {
        let measures = self.measures(rows);
        let mut drawn: Vec<Measure> = match trails {
            Trails::Drawn => measures.clone(),
            Trails::Hidden => Vec::new(),
        };
        drawn.sort_by_key(|measure| self.expendable(*measure));
        loop {
            let columns = self.columns(rows, &measures, &drawn);
            let fits = width.is_none_or(|width| table::width(&columns) <= width);
            if fits || drawn.len() <= SPARKS_MIN {
                return table::render(columns, width);
            }
            drawn.pop();
        }
    }

    /// On a narrow terminal the column with the highest number is left out first.
    fn expendable(&self, measure: Measure) -> u8 {
        if self.sort == Sort::By(measure) { 0 } else { measure.expendable() }
    }

    /// Columns in which nothing ever stands are left out, unless the order is by one of them.
    fn measures(&self, rows: &[&Row]) -> Vec<Measure> {
        let says_something = |measure: &Measure| {
            rows.iter().any(|row| row.numbers.contains_key(measure))
                || self.sort == Sort::By(*measure)
        };
        Measure::ALL.into_iter().filter(says_something).collect()
    }

    /// With a sparkline beside those that are `drawn`.
    fn columns(&self, rows: &[&Row], measures: &[Measure], drawn: &[Measure]) -> Vec<Column> {
        let mut columns = self.identity_columns(rows);
        let totals = self.watched.totals();
        for measure in measures {
            columns.push(self.number_column(*measure, rows, &totals));
            if drawn.contains(measure) {
                columns.push(self.spark_column(*measure, rows));
            }
        }
        columns
    }

    fn identity_columns(&self, rows: &[&Row]) -> Vec<Column> {
        let several = rows.iter().any(|row| row.status.instance > 1);
        let name = |row: &&Row| match several {
            true => format!("{}-{}", text::visible(&row.status.service), row.status.instance),
            false => text::visible(&row.status.service),
        };
        let dimmed = Style::new().dimmed();
        let names = [Cell::styled("total", dimmed)]
            .into_iter()
            .chain(rows.iter().map(|row| Cell::from(name(row))));
        let states = [Cell::default()].into_iter().chain(rows.iter().map(|row| {
            let state = row.status.state();
            Cell::styled(text::instance_state(state), status_table::state_style(state))
        }));
        let pids = [String::new()].into_iter();
        let pids = pids.chain(rows.iter().map(|row| optional(row.status.pid)));
        let uptimes = [String::new()].into_iter();
        let uptimes =
            uptimes.chain(rows.iter().map(|row| text::duration(row.status.uptime.as_ref())));
        vec![
            Column::new(self.marked("SERVICE", Sort::Name), Align::Left, 0, names),
            Column::new("STATE", Align::Left, 0, states),
            Column::new("PID", Align::Right, 9, pids),
            Column::new("UPTIME", Align::Right, 2, uptimes),
        ]
    }

    fn number_column(&self, measure: Measure, rows: &[&Row], totals: &Numbers) -> Column {
        let total = match measure.is_additive() {
            true => measure.written(totals.get(&measure).copied()),
            false => String::new(),
        };
        let total = [Cell::styled(total, Style::new().dimmed())];
        let numbers = rows.iter().map(|row| {
            let number = row.numbers.get(&measure).copied();
            Cell::styled(measure.written(number), number_style(measure, row))
        });
        let heading = self.marked(measure.heading(), Sort::By(measure));
        Column::new(
            heading,
            Align::Right,
            self.expendable(measure),
            total.into_iter().chain(numbers),
        )
    }

    fn spark_column(&self, measure: Measure, rows: &[&Row]) -> Column {
        let cyan = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
        let draw = |trail: Option<&Trail>| {
            let drawn = trail.map(|trail| trail.draw(SPARK_WIDTH, measure.floor()));
            Cell::styled(drawn.unwrap_or_else(|| " ".repeat(SPARK_WIDTH)), cyan)
        };
        let total = [draw(self.watched.total_trail(measure))];
        let cells = total.into_iter().chain(rows.iter().map(|row| draw(row.trail(measure))));
        Column::new("", Align::Left, self.expendable(measure).max(1), cells)
    }

    fn marked(&self, heading: &str, sort: Sort) -> String {
        match (self.sort == sort, self.order) {
            (false, _) => heading.to_owned(),
            (true, Order::Usual) => format!("{heading}▼"),
            (true, Order::Reversed) => format!("{heading}▲"),
        }
    }
}

/// Whether sparklines stand beside the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trails {
    Drawn,
    Hidden,
}

/// Red is what is near its limit, or waits most of the time; yellow what is held back.
fn number_style(measure: Measure, row: &Row) -> Style {
    let number = row.numbers.get(&measure).copied().unwrap_or(0.0);
    let limit = row.status.usage.as_ref().and_then(|usage| usage.memory_max_bytes);
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let percent = match (measure, limit) {
        (Measure::Memory, Some(limit)) if limit > 0 => number / limit as f64 * 100.0,
        (Measure::Throttled | Measure::Pressure, _) => number,
        _ => 0.0,
    };
    let color = match percent {
        high if high >= 90.0 => AnsiColor::Red,
        raised if raised >= 50.0 => AnsiColor::Yellow,
        _ => return Style::new(),
    };
    Style::new().fg_color(Some(color.into()))
}

/// Beside the node's two lines, the headings, the total, and the line about keys.
fn rows_shown(size: Size) -> usize {
    size.rows.saturating_sub(5).max(1)
}

fn footer(offset: usize, shown: usize, all: usize, width: usize) -> String {
    let place = match shown == all {
        true => String::new(),
        false => format!("{}-{} of {all}   ", offset + 1, offset + shown),
    };
    let dimmed = Style::new().dimmed();
    let text: String = format!("{place}{HELP}").chars().take(width).collect();
    format!("{dimmed}{text}{dimmed:#}")
}

impl ValueEnum for Sort {
    fn value_variants<'a>() -> &'a [Self] {
        const VARIANTS: [Sort; 11] = {
            let all = Measure::ALL;
            let mut variants = [Sort::Name; 11];
            let mut index = 0;
            while index < all.len() {
                variants[index + 1] = Sort::By(all[index]);
                index += 1;
            }
            variants
        };
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::Name => Some(clap::builder::PossibleValue::new("name")),
            Self::By(measure) => measure.to_possible_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use blackhole_protocol::control::v1::{InstanceState, InstanceStatus, NodeStatus, Usage};

    use super::*;

    const SIZE: Size = Size { columns: 100, rows: 8 };

    fn table() -> Table {
        let instance = |service: &str, cpu, memory: u64| InstanceStatus {
            service: service.into(),
            instance: 1,
            state: InstanceState::Ready.into(),
            pid: Some(7),
            cpu_percent: Some(cpu),
            usage: Some(Usage { memory_bytes: memory << 20, threads: 1, ..Usage::default() }),
            ..InstanceStatus::default()
        };
        let node = NodeStatus { name: "dev".into(), ..NodeStatus::default() };
        let instances = vec![
            instance("api", 5.0, 30),
            instance("cache", 1.0, 90),
            instance("web", 77.0, 3),
            instance("worker", 0.0, 1),
        ];
        let mut table = Table::new(Sort::By(Measure::Cpu), Order::Usual);
        table.take(GetStatusResponse { node: Some(node), instances, budget: None });
        table
    }

    fn names(table: &Table) -> String {
        let names = table.ordered().into_iter().map(|row| row.status.service.clone());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_change_the_order() {
        let mut table = table();
        assert_eq!(names(&table), "web api cache worker");
        table.press(Key::Character('m'), SIZE);
        assert_eq!(names(&table), "cache api web worker");
        table.press(Key::Character('R'), SIZE);
        assert_eq!(names(&table), "worker web api cache");
        table.press(Key::Left, SIZE);
        table.press(Key::Left, SIZE);
        assert_eq!(table.sort, Sort::Name);
        table.press(Key::Right, SIZE);
        assert_eq!(table.sort, Sort::By(Measure::Cpu));
    }

    #[test]
    fn a_page_shows_the_rows_that_fit_and_scrolls_to_the_others() {
        let mut table = table();
        let page = strip_str(&table.page(SIZE)).to_string();
        assert_eq!(page.lines().count(), SIZE.rows);
        insta::assert_snapshot!(page);
        for _ in 0..9 {
            table.press(Key::Down, SIZE);
        }
        let page = strip_str(&table.page(SIZE)).to_string();
        assert!(page.contains("worker") && !page.contains("web "), "{page}");
        assert!(page.contains("2-4 of 4"), "{page}");
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        let table = table();
        for columns in [34, 40, 60, 80, 200] {
            let page = strip_str(&table.page(Size { columns, rows: 20 })).to_string();
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns), "{columns}:\n{page}");
        }
    }

    #[test]
    fn a_paused_page_stays_as_it_is() {
        let mut table = table();
        table.press(Key::Character(' '), SIZE);
        table.take(GetStatusResponse::default());
        assert_eq!(table.ordered().len(), 4);
        assert!(table.page(SIZE).contains("PAUSED"));
    }

    #[test]
    fn several_keys_quit() {
        for key in [Key::Character('q'), Key::Escape, Key::Interrupt] {
            assert_eq!(table().press(key, SIZE), Reaction::Quit);
        }
    }
}
