//! `[services.X.sandbox]`: a preset and the keys over it. A file of system calls is read here, so
//! that a service never gets another list than the one that was checked.

use std::path::Path;

use blackhole_isolation::{Capabilities, Seccomp, SeccompProfile};

use super::{Context, environment};
use crate::{
    Paths, Sandbox, Template,
    problem::{Draft, Problems},
    raw::{Filter, PathTemplate, RawPaths, RawSandbox, RawSandboxKeys, RawService},
    read::{Field, Located},
    source::explained,
};

pub(super) fn validate(raw: &RawService, context: Context<'_>, problems: &mut Problems) -> Sandbox {
    match raw.sandbox.value() {
        None => Sandbox::default(),
        Some(RawSandbox::Preset(preset)) => Sandbox { preset: Some(*preset), ..Sandbox::default() },
        Some(RawSandbox::Keys(keys)) => of_keys(keys, context, problems),
    }
}

fn of_keys(raw: &RawSandboxKeys, context: Context<'_>, problems: &mut Problems) -> Sandbox {
    let names = |names: &Vec<Located<_>>| {
        let names = names.iter().map(|name: &Located<crate::raw::Capability>| &*name.value.0);
        Capabilities::from_names(names).expect("each name was found when it was read")
    };
    let sandbox = Sandbox {
        preset: raw.preset.value().copied(),
        capabilities: raw.capabilities.value().map(names),
        no_new_privileges: raw.no_new_privileges.value().copied(),
        seccomp: raw.seccomp.given().and_then(|filter| seccomp(filter, context, problems)),
        paths: raw.paths.given().map(|paths| self::paths(paths, context, problems)),
        private_tmp: raw.private_tmp.value().copied(),
        read_only: templates(&raw.read_only, context),
        hidden: templates(&raw.hidden, context),
        network: raw.network.value().copied(),
        private_pids: raw.private_pids.value().copied(),
        optional: raw.optional.value().into_iter().flatten().map(|part| part.value).collect(),
    };
    let needs = sandbox.preset.is_some()
        || sandbox.paths.is_some()
        || matches!(sandbox.seccomp, Some(Some(_)));
    if let Some(given) = raw.no_new_privileges.given().filter(|given| needs && !given.value) {
        let rule = "cannot be false: a preset, `seccomp` and `paths` hold only with it";
        problems.push(Draft::new(&given.place, rule));
    }
    sandbox
}

fn templates(field: &Field<Vec<Located<PathTemplate>>>, context: Context<'_>) -> Vec<Template> {
    let absolute = |path: &Located<PathTemplate>| {
        let base = context.source.base(&path.place.origin, context.host);
        path.value.0.clone().relative_to(base)
    };
    field.value().into_iter().flatten().map(absolute).collect()
}

fn paths(raw: &Located<RawPaths>, context: Context<'_>, problems: &mut Problems) -> Paths {
    if let (Some(read), true) = (raw.value.read.given(), raw.value.execute.is_absent()) {
        let rule = "needs `execute` beside it, in which the program itself must lie";
        let hint = "add `execute = [\"/usr\", \"/lib\", \"/lib64\", \"/bin\"]`";
        problems.push(Draft::new(&read.key, rule).hint(hint));
    }
    Paths {
        read: templates(&raw.value.read, context),
        write: templates(&raw.value.write, context),
        execute: raw.value.execute.given().map(|_| templates(&raw.value.execute, context)),
    }
}

/// What was written; `None` after a problem.
fn seccomp(
    filter: &Located<Filter>,
    context: Context<'_>,
    problems: &mut Problems,
) -> Option<Option<Seccomp>> {
    match &filter.value {
        Filter::None => Some(None),
        Filter::Default => Some(Some(Seccomp::Default)),
        Filter::Strict => Some(Some(Seccomp::Strict)),
        Filter::File(name) => {
            let base = context.source.base(&filter.place.origin, context.host);
            match profile(&base.join(name)) {
                Ok(profile) => Some(Some(Seccomp::Own(profile))),
                Err((rule, hint)) => {
                    let draft = Draft::new(&filter.place, rule).found(format!("{name:?}"));
                    problems.push(draft.maybe_hint(hint));
                    None
                }
            }
        }
    }
}

fn profile(path: &Path) -> Result<SeccompProfile, (String, Option<String>)> {
    let text = environment::text(path).map_err(|error| (explained(&error), None))?;
    text.parse::<SeccompProfile>().map_err(|error| {
        let text = error.to_string();
        let (rule, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        (format!("names a profile that is wrong: {rule}"), hint)
    })
}
