//! A table of text: aligned columns, coloured cells, and what gives way on a narrow terminal.

use std::fmt::Write;

use anstyle::Style;

const GAP: &str = "  ";
/// Below this, the last column is left out instead of shortened.
const LAST_WIDTH_MIN: usize = 12;

/// One cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A column, with all its cells.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    heading: String,
    align: Align,
    /// On a narrow terminal the column with the highest number is left out first; 0 never is.
    pub(crate) expendable: u8,
    cells: Vec<Cell>,
}

impl Column {
    pub(crate) fn new(
        heading: impl Into<String>,
        align: Align,
        expendable: u8,
        cells: impl IntoIterator<Item = impl Into<Cell>>,
    ) -> Self {
        let cells = cells.into_iter().map(Into::into).collect();
        Self { heading: heading.into(), align, expendable, cells }
    }

    /// Whether no cell says anything.
    pub(crate) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.text.is_empty() || cell.text == "-")
    }

    fn heading_width(&self) -> usize {
        self.heading.chars().count()
    }

    fn width(&self) -> usize {
        let widest = self.cells.iter().map(|cell| cell.text.chars().count()).max();
        widest.unwrap_or(0).max(self.heading_width())
    }
}

/// The table as lines, with a heading. The last column is shortened, and others are left out,
/// until it fits into `width`.
pub(crate) fn render(mut columns: Vec<Column>, width: Option<usize>) -> String {
    if let Some(width) = width {
        fit(&mut columns, width);
    }
    let headings: Vec<Cell> =
        columns.iter().map(|column| Cell::styled(&column.heading, Style::new().bold())).collect();
    let mut text = line(&columns, headings.iter());
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        text.push_str(&line(&columns, columns.iter().map(|column| &column.cells[row])));
    }
    text
}

/// How wide the whole table would be.
pub(crate) fn width(columns: &[Column]) -> usize {
    let gaps = columns.len().saturating_sub(1) * GAP.len();
    columns.iter().map(Column::width).sum::<usize>() + gaps
}

fn fit(columns: &mut Vec<Column>, width: usize) {
    while self::width(columns) > width {
        let over = self::width(columns) - width;
        let last = columns.last_mut().expect("a table that is too wide has a column");
        if last.expendable > 0 && last.width() >= over + LAST_WIDTH_MIN.max(last.heading_width()) {
            let room = last.width() - over;
            last.cells.iter_mut().for_each(|cell| shorten(cell, room));
            return;
        }
        let expendable = columns.iter().map(|column| column.expendable).max().unwrap_or(0);
        if expendable == 0 {
            return;
        }
        columns.retain(|column| column.expendable != expendable);
    }
}

fn shorten(cell: &mut Cell, room: usize) {
    if cell.text.chars().count() > room {
        cell.text = cell.text.chars().take(room - 1).chain(['…']).collect();
    }
}

fn line<'a>(columns: &[Column], cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut text = String::new();
    for (index, (column, cell)) in columns.iter().zip(cells).enumerate() {
        let gap = if index == 0 { "" } else { GAP };
        let Cell { text: said, style } = cell;
        let padding = " ".repeat(column.width() - said.chars().count());
        let written = match column.align {
            Align::Left => write!(text, "{gap}{style}{said}{style:#}{padding}"),
            Align::Right => write!(text, "{gap}{padding}{style}{said}{style:#}"),
        };
        written.expect("a String takes everything");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("SERVICE", Align::Left, 0, ["api", "identity"]),
            Column::new("PID", Align::Right, 2, ["7", "4250"]),
            Column::new("NOTE", Align::Left, 1, ["", "waits for `storage`"]),
        ]
    }

    #[test]
    fn a_wide_terminal_gets_everything() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(columns(), None)), @r"
        SERVICE    PID  NOTE
        api          7
        identity  4250  waits for `storage`
        ");
    }

    #[test]
    fn the_last_column_is_shortened_first() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(columns(), Some(30))), @r"
        SERVICE    PID  NOTE
        api          7
        identity  4250  waits for `st…
        ");
    }

    #[test]
    fn then_columns_are_left_out() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(columns(), Some(26))), @r"
        SERVICE   NOTE
        api
        identity  waits for `stor…
        ");
    }

    #[test]
    fn what_cannot_be_left_out_stays() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&render(columns(), Some(3))), @r"
        SERVICE
        api
        identity
        ");
    }
}
