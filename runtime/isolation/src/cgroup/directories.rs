//! The directories of one instance's group, made where its limits need them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Controller, GroupError, Groups, Limits, group::make_anew, groups::prepare, settle::Terms,
};
use crate::enforcement::told;

/// The directories of one instance's group.
#[derive(Debug, Clone, Default)]
pub(super) struct Directories {
    pub(super) unified: Option<PathBuf>,
    pub(super) legacy: BTreeMap<Controller, PathBuf>,
}

impl Groups {
    /// Makes what `limits` need. A controller that has gone, or may not be changed any more, since the
    /// node was started is left out of them.
    ///
    /// # Errors
    /// As [`Groups::create`]; then none is left.
    pub(super) fn make_directories(
        &self,
        name: &str,
        limits: &mut Limits,
        terms: &mut Terms<'_>,
    ) -> Result<Directories, GroupError> {
        let mut made = Directories::default();
        let done = self
            .make_legacy(name, limits, terms, &mut made)
            .and_then(|()| self.make_unified(name, limits, terms, &mut made));
        match done {
            Ok(()) => Ok(made),
            Err(error) => {
                made.remove();
                Err(error)
            }
        }
    }

    fn make_legacy(
        &self,
        name: &str,
        limits: &mut Limits,
        terms: &mut Terms<'_>,
        made: &mut Directories,
    ) -> Result<(), GroupError> {
        for (controller, root) in &self.legacy {
            if !limits.need(*controller) {
                continue;
            }
            let directory = root.join(name);
            match make_anew(&directory).and_then(|()| prepare(*controller, &directory)) {
                Ok(()) => drop(made.legacy.insert(*controller, directory)),
                Err(error) => {
                    remove(&directory);
                    let reason = reason(*controller, &told_if_gone(error)?);
                    terms.leave_out(limits, *controller, &reason)?;
                }
            }
        }
        Ok(())
    }

    /// Wherever there is v2: only there can a process be cloned into a group.
    fn make_unified(
        &self,
        name: &str,
        limits: &mut Limits,
        terms: &mut Terms<'_>,
        made: &mut Directories,
    ) -> Result<(), GroupError> {
        let Some(directory) = self.unified.as_ref().map(|root| root.join(name)) else {
            return Ok(());
        };
        if *limits == Limits::default() {
            return Ok(());
        }
        let Err(error) = make_anew(&directory) else {
            made.unified = Some(directory);
            return Ok(());
        };
        let told = told_if_gone(error)?;
        for controller in &self.unified_controllers {
            terms.leave_out(limits, *controller, &reason(*controller, &told))?;
        }
        Ok(())
    }
}

fn reason(controller: Controller, told: &str) -> String {
    format!("the `{controller}` controller is gone: {told}")
}

/// The error for a reader, if it says that somebody has taken the hierarchy away, or the right to change
/// it.
fn told_if_gone(error: GroupError) -> Result<String, GroupError> {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        Some(NotFound | PermissionDenied | ReadOnlyFilesystem) => Ok(told(&error)),
        Some(_) | None => Err(error),
    }
}

impl Directories {
    pub(super) fn is_empty(&self) -> bool {
        self.unified.is_none() && self.legacy.is_empty()
    }

    pub(super) fn remove(&self) {
        self.unified.iter().chain(self.legacy.values()).for_each(|directory| remove(directory));
    }
}

/// Nothing can be below one that was just made; to look would need a descriptor, of which the want may be
/// why it goes. Whatever is in the way is in the way of the next start too, and said then.
fn remove(directory: &Path) {
    let _left = fs::remove_dir(directory);
}
