//! Which files a process may touch, by landlock: whatever its user may do, it may do no more than
//! this. Needs no right, so an ordinary user's node can do it too.
//!
//! A path must be looked up where the child sees it. Where that is what the parent sees, it makes the rules known
//! to the kernel once, for all children whose paths lead to the same places; else each child does, which takes
//! as long as a fifth of a start. Looking at nine paths alone takes a tenth, so the paths that every strict service
//! has are looked at once a second, and only the others for each child. What is mounted meanwhile is heard of at once:
//! what comes to lie at a path may have the numbers of what lay there.

mod mounts;

use std::{
    ffi::{CString, OsStr},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open, stat},
    io::Errno,
};

use crate::{Host, Refused, Step, sandbox, seccomp, syscall, view};

/// Which files a process may touch: these and what is below them, and no others. Implies
/// `no_new_privileges`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathRules {
    /// May be read.
    pub read: Vec<PathBuf>,
    /// May be read and executed.
    pub execute: Vec<PathBuf>,
    /// May be read, written, made and removed, but not executed.
    pub write: Vec<PathBuf>,
}

/// Rules that cannot be enforced here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathRuleError {
    /// A rule for nothing would permit nothing.
    #[error("could not look at `{}`, which the service is to have access to", path.display())]
    Path {
        /// As written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would not be there.
    #[error(
        "`{}`, which the service is to have access to, is not there for it: it sees a `{}` of its own\n\
         hint: put it elsewhere (what belongs to a service is below `--data-dir`), or leave `private_tmp` or `hidden` out",
        path.display(),
        by.display()
    )]
    Hidden {
        /// As written.
        path: PathBuf,
        /// What is private or hidden.
        by: PathBuf,
    },
    /// The kernel is older than 5.13, or was started without.
    #[error(
        "this kernel has no landlock\nhint: start it with `lsm=landlock,…`, or leave out the paths"
    )]
    NoLandlock,
}

/// Rules as the kernel wants them.
#[derive(Debug)]
pub(crate) struct Checked {
    handled: u64,
    rules: Box<[(CString, u64)]>,
    /// So many of the first are about paths that every strict service has.
    common: usize,
    /// What this version does not know to refuse.
    filters: seccomp::Checked,
    known: Mutex<Option<Known>>,
}

/// Rules that the kernel knows.
#[derive(Debug)]
struct Known {
    rules: Arc<OwnedFd>,
    /// Device and inode to which each path led.
    places: Vec<(u64, u64)>,
    /// When it was seen last that all of them still lead there.
    looked: Instant,
    /// How often mounts had changed before.
    mounts: u64,
}

/// Nobody puts another `/dev/null` in the place of this one, but somebody may.
const COMMON_AGAIN_AFTER: Duration = Duration::from_secs(1);

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIRECTORY: u64 = 1 << 3;
/// Of version 1: everything up to making symbolic links.
const VERSION_1: u64 = (1 << 13) - 1;
/// Since version 2.
const REFER: u64 = 1 << 13;
/// Since version 3.
const TRUNCATE: u64 = 1 << 14;
/// Since version 5.
const DEVICE_CONTROL: u64 = 1 << 15;
/// What makes sense for something that is not a directory.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL;

fn known(version: u32) -> u64 {
    let since = [(2, REFER), (3, TRUNCATE), (5, DEVICE_CONTROL)].into_iter();
    since.filter(|(first, _)| version >= *first).fold(VERSION_1, |all, (_, access)| all | access)
}

impl PathRules {
    pub(crate) fn check(
        &self,
        host: &Host,
        view: &view::Checked,
        made: &[PathBuf],
    ) -> Result<Checked, PathRuleError> {
        for path in self.read.iter().chain(&self.execute).chain(&self.write) {
            if let Some(by) = view.hides(path) {
                return Err(PathRuleError::Hidden { path: path.clone(), by: by.to_owned() });
            }
        }
        let version = host.landlock_version.ok_or(PathRuleError::NoLandlock)?;
        let handled = known(version);
        let read = READ_FILE | READ_DIRECTORY;
        let write = handled & !EXECUTE;
        let rules = of(&self.read, read)
            .chain(of(&self.execute, read | EXECUTE))
            .chain(of(&self.write, write))
            .map(|(path, access)| (path, access & handled));
        let (mut rules, own): (Vec<_>, Vec<_>) =
            rules.partition(|(path, _)| sandbox::is_common(path));
        let common = rules.len();
        rules.extend(own);
        let rules = rules.into_iter().map(|rule| checked(rule, made)).collect::<Result<_, _>>()?;
        let filters = match handled & TRUNCATE {
            0 => seccomp::without_truncation(),
            _ => seccomp::Checked::default(),
        };
        Ok(Checked { handled, rules, common, filters, known: Mutex::default() })
    }
}

fn of(paths: &[PathBuf], access: u64) -> impl Iterator<Item = (&Path, u64)> {
    paths.iter().map(move |path| (path.as_path(), access))
}

/// What is yet to be made is a directory.
fn checked(
    (path, access): (&Path, u64),
    made: &[PathBuf],
) -> Result<(CString, u64), PathRuleError> {
    let failed = |source| PathRuleError::Path { path: path.to_owned(), source };
    let is_directory = match fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(_) if made.iter().any(|it| it == path) => true,
        Err(error) => return Err(failed(error)),
    };
    let access = if is_directory { access } else { access & OF_FILES };
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    Ok((path, access))
}

impl Checked {
    /// Whether a file may be executed, as far as these rules say; `program` has no symbolic link in it.
    pub(crate) fn permits_executing(&self, program: &Path) -> bool {
        self.rules.iter().filter(|(_, access)| access & EXECUTE != 0).any(|(path, _)| {
            let path = Path::new(OsStr::from_bytes(path.to_bytes()));
            fs::canonicalize(path).is_ok_and(|path| program.starts_with(path))
        })
    }

    /// Rules for who sees the paths as the caller does. Nothing if that fails: then the child tells how.
    pub(crate) fn known(&self) -> Option<Arc<OwnedFd>> {
        let mut kept = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.take().and_then(|known| self.confirmed(known)).or_else(|| self.learn())?;
        Some(kept.insert(known).rules.clone())
    }

    /// Nothing if a path leads elsewhere now, or that could not be found out.
    fn confirmed(&self, mut known: Known) -> Option<Known> {
        let all = known.looked.elapsed() >= COMMON_AGAIN_AFTER;
        let (first, looked) = (if all { 0 } else { self.common }, Instant::now());
        let unchanged =
            mounts::changes()? == known.mounts && self.places(first).ok()? == known.places[first..];
        if all {
            known.looked = looked;
        }
        unchanged.then_some(known)
    }

    fn learn(&self) -> Option<Known> {
        let (mounts, looked) = (mounts::changes()?, Instant::now());
        let places = self.places(0).ok()?;
        Some(Known { rules: Arc::new(self.tell().ok()?), places, looked, mounts })
    }

    fn places(&self, first: usize) -> Result<Vec<(u64, u64)>, Errno> {
        let place = |path: &CString| stat(path.as_c_str()).map(|it| (it.st_dev, it.st_ino));
        self.rules[first..].iter().map(|(path, _)| place(path)).collect()
    }

    /// Async-signal-safe.
    fn tell(&self) -> Result<OwnedFd, Errno> {
        let rules = syscall::landlock_rules(self.handled)?;
        for (path, access) in &self.rules {
            let place = open(path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            syscall::landlock_permit(&rules, &place, *access)?;
        }
        Ok(rules)
    }

    /// By known rules, or those that are made now. Needs `no_new_privs`. Async-signal-safe.
    pub(crate) fn restrict(&self, known: Option<BorrowedFd<'_>>) -> Result<(), Refused> {
        let restricted = match known {
            Some(rules) => syscall::landlock_restrict(rules),
            None => self.tell().and_then(|rules| syscall::landlock_restrict(rules.as_fd())),
        };
        restricted.map_err(Refused::at(Step::RestrictPaths))?;
        self.filters.install()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Temporary, View};

    #[test]
    fn a_kernel_without_landlock_and_a_path_that_is_not_there_are_named() {
        let rules = PathRules { read: vec!["/no/such/path".into()], ..PathRules::default() };
        let without = Host { landlock_version: None, ..Host::detect() };
        let error = rules.check(&without, &view::Checked::default(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("this kernel has no landlock"), "{error}");
        let with = Host { landlock_version: Some(7), ..Host::detect() };
        let error = rules.check(&with, &view::Checked::default(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("could not look at `/no/such/path`"), "{error}");
    }

    #[test]
    fn a_path_that_would_not_be_there_is_refused_and_says_what_hides_it() {
        let host = Host { landlock_version: Some(7), user_namespaces: true, ..Host::detect() };
        let private = View { temporary: Temporary::Private, ..View::default() };
        let view = private.check(&host, &BTreeSet::new(), &mut Vec::new()).unwrap();
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let below = PathRules { write: vec![directory.path().into()], ..PathRules::default() };
        let error = below.check(&host, &view, &[]).unwrap_err().to_string();
        assert!(error.contains("it sees a `/tmp` of its own"), "{error}");
        let made = below.write.clone();
        fs::remove_dir(directory.path()).unwrap();
        assert!(matches!(below.check(&host, &view, &made), Err(PathRuleError::Hidden { .. })));
        assert!(below.check(&host, &view::Checked::default(), &made).is_ok());
        assert!(below.check(&host, &view::Checked::default(), &[]).is_err());
        fs::create_dir(directory.path()).unwrap();
        let itself = PathRules { write: vec!["/tmp".into()], ..PathRules::default() };
        itself.check(&host, &view, &[]).unwrap();
        below.check(&host, &view::Checked::default(), &[]).unwrap();
    }

    #[test]
    fn rules_are_made_anew_when_a_path_leads_elsewhere() {
        let Some(_version) = syscall::landlock_version() else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::create_dir(&path).unwrap();
        let rules = PathRules { write: vec![path.clone()], ..PathRules::default() };
        let checked = rules.check(&Host::detect(), &view::Checked::default(), &[]).unwrap();
        let first = checked.known().unwrap();
        assert!(Arc::ptr_eq(&first, &checked.known().unwrap()));
        fs::rename(&path, directory.path().join("old")).unwrap();
        assert!(checked.known().is_none());
        fs::create_dir(&path).unwrap();
        assert!(!Arc::ptr_eq(&first, &checked.known().unwrap()));
    }

    #[test]
    fn where_paths_lead_that_every_strict_service_has_is_looked_at_again_after_a_second() {
        let Some(_version) = syscall::landlock_version() else { return };
        let write = vec!["/proc/self".into(), "/dev/null".into()];
        let rules = PathRules { write, ..PathRules::default() };
        let checked = rules.check(&Host::detect(), &view::Checked::default(), &[]).unwrap();
        let first = checked.known().unwrap();
        let led_elsewhere = |since: Duration| {
            let mut known = checked.known.lock().unwrap();
            let known = known.as_mut().unwrap();
            known.places[0] = (0, 0);
            known.looked = Instant::now().checked_sub(since).unwrap();
        };
        led_elsewhere(Duration::ZERO);
        assert!(Arc::ptr_eq(&first, &checked.known().unwrap()));
        led_elsewhere(COMMON_AGAIN_AFTER);
        assert!(!Arc::ptr_eq(&first, &checked.known().unwrap()));
    }

    #[test]
    fn rules_are_made_anew_when_anything_was_mounted() {
        let Some(_version) = syscall::landlock_version() else { return };
        let rules = PathRules { write: vec!["/dev/null".into()], ..PathRules::default() };
        let checked = rules.check(&Host::detect(), &view::Checked::default(), &[]).unwrap();
        let first = checked.known().unwrap();
        checked.known.lock().unwrap().as_mut().unwrap().mounts += 1;
        assert!(!Arc::ptr_eq(&first, &checked.known().unwrap()));
    }

    #[test]
    fn rules_that_were_found_wrong_are_not_used_again_when_none_could_be_made() {
        let Some(_version) = syscall::landlock_version() else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::create_dir(&path).unwrap();
        let rules = PathRules { write: vec![path.clone()], ..PathRules::default() };
        let checked = rules.check(&Host::detect(), &view::Checked::default(), &[]).unwrap();
        let first = checked.known().unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        assert!(checked.known().is_none());
        fs::rename(&elsewhere, &path).unwrap();
        assert!(!Arc::ptr_eq(&first, &checked.known().unwrap()));
    }

    #[test]
    fn an_old_kernel_is_told_only_what_it_knows() {
        let rules =
            PathRules { write: vec!["/".into(), "/dev/null".into()], ..PathRules::default() };
        let old = Host { landlock_version: Some(1), ..Host::detect() };
        let checked = rules.check(&old, &view::Checked::default(), &[]).unwrap();
        assert_eq!(checked.handled, VERSION_1);
        let access: Vec<u64> = checked.rules.iter().map(|(_, access)| *access).collect();
        assert_eq!(access, [VERSION_1 & !EXECUTE, WRITE_FILE | READ_FILE]);
    }
}
