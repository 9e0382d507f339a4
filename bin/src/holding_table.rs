//! What would hold on this host, here and now: for `bh check`, as notes beside the file's keys and
//! as the tables of `--explain sandbox`.

use anstyle::{AnsiColor, Style};
use blackhole_config::{Kind, Loaded, Mode, Preset, Service, explain};
use blackhole_node::holding::{Holds, Survey, Verdict};
use serde_json::{Value as Json, json};

use crate::{
    output,
    table::{self, Align, Cell, Column},
};

/// Adds a note for each key that does not hold as it is written.
pub(crate) fn note(loaded: &mut Loaded) {
    let survey = Survey::of_this_host();
    let config = loaded.config.clone();
    for service in config.services.values().filter(|service| is_process(service)) {
        for verdict in survey.of_service(&config, service) {
            let rule = match (verdict.holds, verdict.why.as_str()) {
                (Holds::Enforced, "") => continue,
                (Holds::Enforced, why) => why.to_owned(),
                (Holds::Downgraded, why) => format!("does not hold on this host: {why}"),
                (Holds::Refused, why) => format!("stops the start on this host: {why}"),
            };
            loaded.note(&format!("services.{}.{}", service.name, verdict.key), &rule, None);
        }
    }
}

/// What an embedded service is not held by is a warning of the file's already.
fn is_process(service: &Service) -> bool {
    let embedded = matches!(service.kind, Kind::Native { mode: Mode::Embedded, .. });
    service.enabled && !embedded
}

/// The presets, and every service that is limited or kept from something; or one service.
pub(crate) fn sections(loaded: &Loaded, only: Option<&str>) -> Vec<(String, Vec<Verdict>)> {
    let survey = Survey::of_this_host();
    let presets = [("standard", Preset::Standard), ("strict", Preset::Strict)];
    let presets = presets.into_iter().filter(|_| only.is_none());
    let mut sections: Vec<_> = presets
        .map(|(name, preset)| (format!("preset {name}"), survey.of_preset(preset)))
        .collect();
    let wanted = |service: &&Service| only.is_none_or(|only| service.name.as_str() == only);
    for service in loaded.config.services.values().filter(wanted).filter(|it| it.enabled) {
        let verdicts = survey.of_service(&loaded.config, service);
        sections.push((format!("service {}", service.name), verdicts));
    }
    sections
}

pub(crate) fn render(loaded: &Loaded, sections: &[(String, Vec<Verdict>)]) -> String {
    let blocks = sections.iter().map(|(title, verdicts)| match verdicts.is_empty() {
        true => format!("{title}: as the node\n"),
        false => {
            let columns = columns(loaded, title, verdicts);
            format!("{title}\n{}", table::render(columns, output::terminal_width()))
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn columns(loaded: &Loaded, title: &str, verdicts: &[Verdict]) -> Vec<Column> {
    let keys = verdicts.iter().map(|verdict| verdict.key.clone());
    let values = verdicts.iter().map(|verdict| value(loaded, title, &verdict.key));
    let holds = verdicts.iter().map(|verdict| Cell::styled(verdict.holds.as_str(), style(verdict)));
    let whys = verdicts.iter().map(|verdict| verdict.why.clone());
    let columns = [
        Column::new("KEY", Align::Left, 0, keys),
        Column::new("VALUE", Align::Left, 2, values),
        Column::new("HERE", Align::Left, 0, holds),
        Column::new("WHY", Align::Left, 1, whys),
    ];
    columns.into_iter().filter(|column| !column.is_blank()).collect()
}

/// As it was written, or by which preset it came.
fn value(loaded: &Loaded, title: &str, key: &str) -> String {
    let Some(service) = title.strip_prefix("service ") else { return "-".to_owned() };
    let written = |key: &str| explain(loaded, &format!("services.{service}.{key}")).ok()?.value;
    let of_preset = |value: &String| key.starts_with("sandbox.") && !value.starts_with('{');
    let preset = || written("sandbox").filter(of_preset);
    written(key).or_else(preset).unwrap_or_else(|| "-".to_owned())
}

fn style(verdict: &Verdict) -> Style {
    let color = match verdict.holds {
        Holds::Enforced => AnsiColor::Green,
        Holds::Downgraded => AnsiColor::Yellow,
        Holds::Refused => AnsiColor::Red,
    };
    Style::new().fg_color(Some(color.into()))
}

pub(crate) fn to_json(sections: &[(String, Vec<Verdict>)]) -> Json {
    let section = |(title, verdicts): &(String, Vec<Verdict>)| json!({ "of": title, "keys": verdicts.iter().map(verdict_to_json).collect::<Vec<_>>() });
    sections.iter().map(section).collect()
}

pub(crate) fn verdict_to_json(verdict: &Verdict) -> Json {
    json!({ "key": verdict.key, "here": verdict.holds.as_str(), "why": verdict.why })
}
