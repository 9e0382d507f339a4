//! Programs and folders that are not there.
//!
//! These are warnings: the file may be checked on another host or before the program is installed,
//! and it is the start of the process that decides, with an error of its own. But a misspelt program
//! should be seen before that.

use std::{
    fs::Metadata,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Context, Unit};
use crate::{
    Config, Kind, Service,
    problem::{Draft, Problems},
    raw::RawService,
    tree::Place,
};

pub(super) fn check(
    units: &[Unit<'_, RawService>],
    config: &Config,
    context: Context<'_>,
    problems: &mut Problems,
) {
    for (unit, service) in units.iter().zip(config.services.values()) {
        let start = start_folder(service, context);
        if let (Some(folder), Some(written)) = (&start, unit.raw.working_directory.given())
            && service.enabled
            && !folder.is_dir()
        {
            let rule = match folder.exists() {
                true => "is not a directory",
                false => "is a folder that is not there",
            };
            let draft = Draft::new(&written.place, rule).found(folder.display());
            problems.push(draft.warning());
        }
        let (Kind::Command(command), Some(written)) = (&service.kind, unit.raw.command.given())
        else {
            continue;
        };
        if let (Some(program), true) = (command[0].literal(), service.enabled) {
            let search = Search { service, context, start };
            let place = first_element(&written.place);
            if let Some(draft) = search.complaint(program, &place) {
                problems.push(draft.warning());
            }
        }
    }
}

fn start_folder(service: &Service, context: Context<'_>) -> Option<PathBuf> {
    match &service.working_directory {
        Some(template) => template.literal().map(PathBuf::from),
        None => Some(context.host.current_dir.clone()),
    }
}

fn first_element(list: &Place) -> Place {
    Place { origin: list.origin.clone(), path: format!("{}[0]", list.path).into() }
}

struct Search<'a> {
    service: &'a Service,
    context: Context<'a>,
    start: Option<PathBuf>,
}

impl Search<'_> {
    fn complaint(&self, program: &str, place: &Place) -> Option<Draft> {
        if program.contains('/') {
            let path = self.start.as_ref()?.join(program);
            return match std::fs::metadata(&path) {
                Ok(metadata) => not_executable(&metadata, &path, place),
                Err(error) => {
                    let rule = format!("cannot be started: {}", reason(&error));
                    Some(Draft::new(place, rule).found(path.display()))
                }
            };
        }
        let path = self.search_path()?;
        let found: Vec<(PathBuf, Metadata)> = path
            .split(':')
            .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(program))
            .filter_map(|file| std::fs::metadata(&file).ok().map(|metadata| (file, metadata)))
            .collect();
        if found.iter().any(|(_, metadata)| is_executable(metadata)) {
            return None;
        }
        match found.first() {
            Some((file, metadata)) => not_executable(metadata, file, place),
            None => Some(
                Draft::new(place, "is not found in PATH")
                    .found(program)
                    .hint("install it, or write its absolute path"),
            ),
        }
    }

    /// The service's own `PATH` where it has one that can be known.
    fn search_path(&self) -> Option<String> {
        let environment = &self.service.environment;
        if let Some(template) = environment.inline.get("PATH") {
            return template.literal().map(str::to_owned);
        }
        let from_file = environment.from_files.iter().rev().find(|(name, _)| name == "PATH");
        from_file.map(|(_, path)| path.clone()).or(self.context.host.path.clone())
    }
}

fn not_executable(metadata: &Metadata, path: &Path, place: &Place) -> Option<Draft> {
    if metadata.is_dir() {
        return Some(Draft::new(place, "is a directory, not a program").found(path.display()));
    }
    (!is_executable(metadata)).then(|| {
        Draft::new(place, "has no execute permission")
            .found(path.display())
            .hint(format!("`chmod +x {}`", path.display()))
    })
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => crate::source::explained(error).replace("cannot be read: ", ""),
    }
}
