//! The table that `bh status` prints, and the phrase that tells how a process ended.

use anstyle::{AnsiColor, Style};
use blackhole_protocol::control::v1::{
    Budget, BudgetShare, GetStatusResponse, InstanceState, InstanceStatus, LastExit, NodeStatus,
    Usage,
};
use jiff::Timestamp;

use crate::{
    table::{self, Align, Cell, Column},
    text,
};

/// Which columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    Usual,
    Wide,
}

/// The node in a line, then the instances in a table.
pub(crate) fn render(
    status: &GetStatusResponse,
    now: Timestamp,
    which: Columns,
    terminal_width: Option<usize>,
) -> String {
    let node = status.node.as_ref().map(heading).unwrap_or_default();
    let budget = status.budget.as_ref().map(budget_lines).unwrap_or_default();
    let node = node + &budget;
    if status.instances.is_empty() {
        return format!("{node}\nno services\n");
    }
    let table = table::render(columns(&status.instances, now, which), terminal_width);
    format!("{node}\n{table}")
}

fn heading(node: &NodeStatus) -> String {
    let bold = Style::new().bold();
    let guardian = match node.guardian_pid {
        0 => String::new(),
        pid => format!(" (guardian {pid})"),
    };
    format!(
        "{bold}{}{bold:#}  {}, up {}, pid {}{guardian}, version {}\n",
        text::visible(&node.name),
        text::node_state(node.state()),
        text::duration(node.uptime.as_ref()),
        node.pid,
        text::visible(&node.version),
    )
}

/// What there is of each resource, and who is held back for want of it.
fn budget_lines(budget: &Budget) -> String {
    let cores = |cores: f64| format!("{}", (cores * 100.0).round() / 100.0);
    let memory = |amount| text::bytes(Some(text::whole_bytes(amount)));
    let cpu = budget.cpu.as_ref().map(|share| budget_line("cpu", share, cores));
    let memory = budget.memory.as_ref().map(|share| budget_line("memory", share, memory));
    [cpu, memory].into_iter().flatten().collect()
}

fn budget_line(resource: &str, share: &BudgetShare, written: impl Fn(f64) -> String) -> String {
    let squeezed = match share.squeezed.as_slice() {
        [] => String::new(),
        names => format!("; squeezed: {}", text::visible(&names.join(", "))),
    };
    let [total, guaranteed, wanted] = [share.total, share.guaranteed, share.wanted].map(written);
    format!("budget of {resource}: {wanted} of {total} wanted, {guaranteed} guaranteed{squeezed}\n")
}

/// Columns in which nothing stands are left out: most files have no groups and one instance each.
fn columns(instances: &[InstanceStatus], now: Timestamp, which: Columns) -> Vec<Column> {
    let mut columns = identity_columns(instances);
    columns.extend(process_columns(instances));
    if which == Columns::Wide {
        columns.extend(usage_columns(instances));
    }
    let exits = instances.iter().map(|instance| last_exit(instance.last_exit.as_ref(), now));
    columns.push(Column::new("LAST EXIT", Align::Left, 1, exits));
    let notes = instances.iter().map(|instance| note(&instance.note, &instance.unenforced));
    let notes = Column::new("NOTE", Align::Left, 4, notes);
    columns.extend((!notes.is_blank()).then_some(notes));
    columns
}

fn identity_columns(instances: &[InstanceStatus]) -> Vec<Column> {
    let names = instances.iter().map(|instance| instance.service.as_str());
    let mut columns = vec![Column::new("SERVICE", Align::Left, 0, names)];
    if instances.iter().any(|instance| instance.instance > 1) {
        let numbers = instances.iter().map(|instance| instance.instance.to_string());
        columns.push(Column::new("INSTANCE", Align::Right, 0, numbers));
    }
    let groups = Column::new(
        "GROUP",
        Align::Left,
        3,
        instances.iter().map(|instance| or_dash(&instance.group)),
    );
    columns.extend((!groups.is_blank()).then_some(groups));
    columns
}

fn process_columns(instances: &[InstanceStatus]) -> Vec<Column> {
    let states = instances.iter().map(|instance| {
        Cell::styled(text::instance_state(instance.state()), state_style(instance.state()))
    });
    let ready = instances.iter().map(|instance| if instance.ready { "yes" } else { "no" });
    let pids = instances.iter().map(|instance| optional(instance.pid));
    let uptimes = instances.iter().map(|instance| text::duration(instance.uptime.as_ref()));
    let restarts = instances.iter().map(|instance| instance.restarts.to_string());
    let memory = instances.iter().map(|instance| text::bytes(instance.memory_bytes));
    let cpu = instances.iter().map(|instance| percent(instance.cpu_percent));
    vec![
        Column::new("STATE", Align::Left, 0, states),
        Column::new("READY", Align::Left, 7, ready),
        Column::new("PID", Align::Right, 2, pids),
        Column::new("UPTIME", Align::Right, 1, uptimes),
        Column::new("RESTARTS", Align::Right, 1, restarts),
        Column::new("MEMORY", Align::Right, 5, memory),
        Column::new("CPU", Align::Right, 6, cpu),
    ]
}

/// What stands in no row is left out.
fn usage_columns(instances: &[InstanceStatus]) -> impl Iterator<Item = Column> {
    let column = |heading, written: fn(&Usage) -> String| {
        let usages = instances.iter().map(|instance| instance.usage.as_ref());
        let cells = usages.map(|usage| usage.map_or_else(|| "-".to_owned(), written));
        Column::new(heading, Align::Right, 8, cells)
    };
    let columns = [
        column("PEAK", |usage| text::bytes(usage.memory_peak_bytes)),
        column("LIMIT", |usage| text::bytes(usage.memory_max_bytes)),
        column("SWAP", |usage| text::bytes(usage.swap_bytes)),
        column("READ", |usage| text::bytes(usage.io_read_bytes)),
        column("WRITTEN", |usage| text::bytes(usage.io_written_bytes)),
        column("PROCESSES", |usage| usage.processes.to_string()),
        column("THREADS", |usage| usage.threads.to_string()),
        column("FILES", |usage| optional(usage.descriptors)),
        column("CONNS", |usage| optional(usage.connections)),
        column("THROTTLED", |usage| match &usage.throttled {
            Some(time) => text::duration(Some(time)),
            None => "-".to_owned(),
        }),
        column("PRESSURE", pressures),
    ];
    columns.into_iter().filter(|column| !column.is_blank())
}

/// Of cpu, memory and disks, in percent of the time in which some tasks waited.
fn pressures(usage: &Usage) -> String {
    let all = [&usage.cpu_pressure, &usage.memory_pressure, &usage.io_pressure];
    if all.iter().all(|pressure| pressure.is_none()) {
        return "-".to_owned();
    }
    let percents = all.map(|pressure| match pressure {
        Some(pressure) => format!("{:.0}", pressure.some_percent),
        None => "-".to_owned(),
    });
    format!("{}%", percents.join("/"))
}

/// The colour of a state.
pub(crate) fn state_style(state: InstanceState) -> Style {
    let color = match state {
        InstanceState::Ready => AnsiColor::Green,
        InstanceState::Failed => AnsiColor::Red,
        InstanceState::Unready | InstanceState::BackingOff => AnsiColor::Yellow,
        InstanceState::Starting | InstanceState::Stopping | InstanceState::Pending => {
            AnsiColor::Cyan
        }
        InstanceState::Stopped
        | InstanceState::Completed
        | InstanceState::Disabled
        | InstanceState::Unspecified => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(color.into()))
}

/// What it says about itself or waits for, and the keys of what does not hold.
pub(crate) fn note(text: &str, unenforced: &[String]) -> String {
    let keys: Vec<&str> =
        unenforced.iter().map(|lack| lack.split(':').next().unwrap_or(lack)).collect();
    let lack = match keys.is_empty() {
        true => String::new(),
        false => format!("not enforced: {}", keys.join(", ")),
    };
    let both = [text, &lack].into_iter().filter(|part| !part.is_empty());
    text::visible(&both.collect::<Vec<_>>().join("; "))
}

fn last_exit(exit: Option<&LastExit>, now: Timestamp) -> String {
    let Some(exit) = exit else {
        return "-".to_owned();
    };
    let how = how_it_ended(&exit.reason, exit.code, exit.signal.as_deref());
    format!("{how} {}", text::ago(exit.at.as_ref(), now)).trim_end().to_owned()
}

/// `exit 1`, `signal SIGKILL`, `probe SIGKILL`, `spawn`: the reason and what is known beyond it.
pub(crate) fn how_it_ended(reason: &str, code: Option<i32>, signal: Option<&str>) -> String {
    let reason = text::visible(reason);
    match (signal, code) {
        (Some(signal), _) => format!("{reason} {}", text::visible(signal)),
        (None, Some(code)) => format!("{reason} {code}"),
        (None, None) => reason,
    }
}

/// A dash where there is no number.
pub(crate) fn optional(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn or_dash(group: &str) -> String {
    if group.is_empty() { "-".to_owned() } else { text::visible(group) }
}

fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}%"))
}
