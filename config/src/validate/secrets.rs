//! `[services.X.secrets]`: names that can be files', and one source for each.

use super::Context;
use crate::{
    Secret, SecretSource,
    problem::{Draft, Problems},
    raw::{RawSecret, RawService, variable_name_rule},
    read::{Field, Located},
};

/// Secrets of one service.
const SECRETS_MAX: usize = 64;
/// A secret's name, in characters.
const NAME_LENGTH_MAX: usize = 64;

pub(super) fn validate(
    raw: &RawService,
    context: Context<'_>,
    problems: &mut Problems,
) -> Vec<Secret> {
    let entries = raw.secrets.value().map(|entries| entries.0.as_slice()).unwrap_or_default();
    if let Some((name, _)) = entries.get(SECRETS_MAX) {
        let rule = format!("is one too many: a service has at most {SECRETS_MAX} secrets");
        problems.push(Draft::new(&name.key, rule));
    }
    let mut secrets = Vec::new();
    for (name, raw) in entries {
        if !is_file_name(&name.value) {
            let rule = format!(
                "has a wrong name: it becomes a file's, of 1 to {NAME_LENGTH_MAX} letters, digits, `.`, `_` or `-`, not beginning with `.`"
            );
            problems.push(Draft::new(&name.key, rule));
        }
        let Field::Given(raw) = raw else { continue };
        if let Some(source) = source(raw, context, problems) {
            secrets.push(Secret { name: name.value.clone(), source });
        }
    }
    secrets
}

fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=NAME_LENGTH_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(allowed)
}

fn source(
    raw: &Located<RawSecret>,
    context: Context<'_>,
    problems: &mut Problems,
) -> Option<SecretSource> {
    let RawSecret { file, env, credential } = &raw.value;
    let given = [file.given(), env.given(), credential.given()];
    match given.into_iter().flatten().count() {
        1 => {}
        0 if [file, env, credential].into_iter().all(Field::is_absent) => {
            let hint = "write { file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";
            problems.push(Draft::new(&raw.place, "does not say where it comes from").hint(hint));
            return None;
        }
        0 => return None,
        _ => {
            let rule = "has more than one source: one of `file`, `env` and `credential`";
            problems.push(Draft::new(&raw.place, rule));
            return None;
        }
    }
    if let Some(file) = file.given() {
        let folder = context.source.base(&file.place.origin, context.host);
        return Some(SecretSource::File(folder.join(&file.value)));
    }
    if let Some(env) = env.given() {
        if let Some(rule) = variable_name_rule(&env.value) {
            problems.push(Draft::new(&env.place, rule));
        }
        return Some(SecretSource::Environment(env.value.clone()));
    }
    let credential = credential.given()?;
    if !is_file_name(&credential.value) {
        let rule = "must be the name of a file in `$CREDENTIALS_DIRECTORY`";
        problems.push(Draft::new(&credential.place, rule).found(format!("{:?}", credential.value)));
    }
    Some(SecretSource::Credential(credential.value.clone()))
}
