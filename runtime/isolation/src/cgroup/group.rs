//! The group of one instance: made with its limits, entered before exec, killed and removed as one.
//!
//! It outlives the instance's generations, so counters are those of all of them: who wants one
//! generation's keeps the value from before.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::write,
    process::{Pid, Resource, getrlimit},
};

use super::{
    Controller, GroupError, Groups, Limits,
    directories::Directories,
    file,
    groups::{check_name, is_empty, make},
    process_list,
    settings::{Presence, Setting},
    settle::Terms,
    usage::Risen,
};
use crate::{
    Bandwidth, BandwidthError, Downgrade, Enforcement, Refused, Step, bandwidth::Loaded,
    enforcement,
};

/// The group of one instance.
#[derive(Debug)]
pub struct Group {
    unified: Option<Unified>,
    pub(super) unified_controllers: BTreeSet<Controller>,
    pub(super) legacy: BTreeMap<Controller, PathBuf>,
    pub(super) tasks_max: Option<u64>,
    pub(super) oom_kills: Risen,
}

#[derive(Debug)]
struct Unified {
    directory: PathBuf,
    descriptor: OwnedFd,
}

impl Groups {
    /// Makes the group of an instance, with limits; `None` if the limits need none.
    ///
    /// # Errors
    /// What cannot be enforced here, if `enforcement` is strict; else it is added to `downgraded`.
    pub fn create(
        &self,
        name: &str,
        limits: &Limits,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Option<Group>, GroupError> {
        check_name(name)?;
        let mut settled = self.settle(limits, enforcement, downgraded)?;
        let bandwidth = self.load_bandwidth(&mut settled, enforcement, downgraded)?;
        let mut terms = Terms { enforcement, downgraded };
        let directories = self.make_directories(name, &mut settled, &mut terms)?;
        if directories.is_empty() {
            let nowhere = bandwidth.map_or(Ok(()), |_| Err(hierarchy_is_gone()));
            enforcement.settle("network", nowhere, downgraded)?;
            return Ok(None);
        }
        let Directories { unified, legacy } = directories.clone();
        let made =
            Group::open(unified, self.unified_controllers.clone(), legacy).and_then(|mut group| {
                group.limit(&settled, enforcement, downgraded)?;
                group.tasks_max = settled.tasks_max;
                if let Some(bandwidth) = &bandwidth {
                    enforcement.settle("network", group.attach(bandwidth), downgraded)?;
                }
                Ok(group)
            });
        made.inspect_err(|_| directories.remove()).map(Some)
    }

    /// What [`Groups::create`] would refuse or leave out; nothing is made.
    ///
    /// # Errors
    /// As [`Groups::create`].
    pub(crate) fn rehearse(
        &self,
        limits: &Limits,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<(), GroupError> {
        let mut settled = self.settle(limits, enforcement, downgraded)?;
        self.load_bandwidth(&mut settled, enforcement, downgraded).map(drop)
    }

    /// What is to be attached to the group, if the limits need that.
    fn load_bandwidth(
        &self,
        limits: &mut Limits,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<Option<Loaded>, GroupError> {
        if limits.bandwidth == Bandwidth::default() {
            return Ok(None);
        }
        let loaded = match self.unified.is_some() || self.unified_possible {
            true => limits.bandwidth.load(),
            false => Err(BandwidthError::NoHierarchy),
        };
        let loaded = loaded.map_err(|error| GroupError::NotEnforceable {
            key: "network",
            reason: enforcement::told(&error),
        });
        let loaded = enforcement.settle("network", loaded, downgraded)?.flatten();
        if loaded.is_none() {
            limits.bandwidth = Bandwidth::default();
        }
        Ok(loaded)
    }
}

/// What a crash left behind may have limits that nobody asks for now.
pub(super) fn make_anew(directory: &Path) -> Result<(), GroupError> {
    if directory.is_dir() {
        if !is_empty(directory)? {
            let processes = process_list::processes(directory)?.len();
            return Err(GroupError::Busy { path: directory.to_owned(), processes });
        }
        process_list::remove(directory)?;
    }
    make(directory)
}

impl Group {
    pub(super) fn open(
        unified: Option<PathBuf>,
        unified_controllers: BTreeSet<Controller>,
        legacy: BTreeMap<Controller, PathBuf>,
    ) -> Result<Self, GroupError> {
        let unified = unified.map(Unified::open).transpose()?;
        let (tasks_max, oom_kills) = (None, Risen::default());
        Ok(Self { unified, unified_controllers, legacy, tasks_max, oom_kills })
    }

    /// Changes limits of a group with living processes; what `limits` leaves open stays as it is.
    ///
    /// # Errors
    /// As [`Groups::create`].
    pub fn limit(
        &self,
        limits: &Limits,
        enforcement: Enforcement,
        downgraded: &mut Vec<Downgrade>,
    ) -> Result<(), GroupError> {
        for controller in Controller::ALL {
            let (settings, directory) =
                match (self.legacy.get(&controller), self.unified_for(controller)) {
                    (Some(directory), _) => (limits.v1_settings(controller), directory.as_path()),
                    (None, Some(directory)) => (limits.v2_settings(controller), directory),
                    (None, None) => continue,
                };
            write_all(directory, settings, enforcement, downgraded)?;
        }
        Ok(())
    }

    /// Where the group is in v2, if a controller is there.
    pub(super) fn unified_for(&self, controller: Controller) -> Option<&Path> {
        self.unified_controllers.contains(&controller).then(|| self.unified_directory())?
    }

    pub(super) fn unified_directory(&self) -> Option<&Path> {
        self.unified.as_ref().map(|unified| unified.directory.as_path())
    }

    pub(super) fn directories(&self) -> BTreeSet<&Path> {
        self.unified_directory()
            .into_iter()
            .chain(self.legacy.values().map(PathBuf::as_path))
            .collect()
    }

    /// What to clone into.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|unified| unified.descriptor.as_fd())
    }

    fn attach(&self, bandwidth: &Loaded) -> Result<(), GroupError> {
        Ok(bandwidth.attach(self.descriptor().ok_or_else(hierarchy_is_gone)?)?)
    }

    /// The processes in it, grandchildren included.
    ///
    /// # Errors
    /// When the kernel's list cannot be read.
    pub fn processes(&self) -> Result<BTreeSet<u32>, GroupError> {
        Ok(self.pids()?.into_iter().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect())
    }

    fn pids(&self) -> Result<Vec<Pid>, GroupError> {
        let mut all = Vec::new();
        for directory in self.directories() {
            all.extend(process_list::processes(directory)?);
        }
        all.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        all.dedup();
        Ok(all)
    }

    /// Kills every process in it, and waits until they have ended; blocks.
    ///
    /// On v2 they are frozen meanwhile, so that none forks away; elsewhere it is repeated until none
    /// is left. `cgroup.kill` would be one word, but Linux 6.14 and later (6.18 was tried) then
    /// kill whatever is cloned into the group ever after: `cgroup_post_fork` compares how often the
    /// group was killed with how often the parent's was.
    ///
    /// # Errors
    /// [`GroupError::Busy`] when some have not within `patience`.
    pub fn end(&self, patience: Duration) -> Result<(), GroupError> {
        let freezer = self.unified_directory().map(|it| it.join("cgroup.freeze"));
        let freezer = freezer.filter(|freezer| freezer.exists());
        let frozen = freezer.map(|freezer| file::Kept::open(freezer, "1")).transpose()?;
        let ended = self.kill_until_none_is_left(patience);
        // Whoever comes next must run, though there be no descriptor to say so with any more.
        frozen.map_or(Ok(()), |frozen| frozen.written("0").map(drop)).and(ended)
    }

    fn kill_until_none_is_left(&self, patience: Duration) -> Result<(), GroupError> {
        let deadline = Instant::now() + patience;
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let path = self.directories().into_iter().next().unwrap_or(Path::new(""));
                return Err(GroupError::Busy { path: path.to_owned(), processes: pids.len() });
            }
            process_list::kill_each(&pids, || self.pids())?;
            process_list::wait_for_end(&pids, deadline);
        }
    }

    /// Ends what is left in it and removes it, with groups that the instance made below; blocks. One in which
    /// nothing is left goes at once, and without a descriptor to look into it.
    ///
    /// # Errors
    /// As [`Group::end`].
    pub fn remove(&self, patience: Duration) -> Result<(), GroupError> {
        if self.directories().into_iter().all(remove_if_empty) {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        self.end(patience)?;
        let mut directories = self.directories().into_iter();
        directories.try_for_each(|directory| process_list::remove_by(directory, deadline))
    }
}

/// Removes it if nothing is in it; whether it is gone.
fn remove_if_empty(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn hierarchy_is_gone() -> GroupError {
    let reason = "the hierarchy of cgroup v2 is gone".to_owned();
    GroupError::NotEnforceable { key: "network", reason }
}

impl Unified {
    fn open(directory: PathBuf) -> Result<Self, GroupError> {
        match File::open(&directory) {
            Ok(file) => Ok(Self { directory, descriptor: file.into() }),
            Err(source) => Err(GroupError::Open { path: directory, source }),
        }
    }
}

/// Some limits can only be raised after others, and lowered before: a second round settles that.
fn write_all(
    directory: &Path,
    settings: Vec<Setting>,
    enforcement: Enforcement,
    downgraded: &mut Vec<Downgrade>,
) -> Result<(), GroupError> {
    let refused: Vec<Setting> =
        settings.into_iter().filter(|setting| setting.write_in(directory).is_err()).collect();
    let said_before = downgraded.len();
    for setting in refused {
        let is_said = downgraded[said_before..].iter().any(|it| it.key == setting.key);
        if let Err(error) = setting.write_in(directory)
            && !is_said
        {
            enforcement.relent(setting.key, error, downgraded)?;
        }
    }
    Ok(())
}

impl Setting {
    fn write_in(&self, directory: &Path) -> Result<(), GroupError> {
        let found = self.files.iter().map(|name| directory.join(name)).find(|path| path.exists());
        match (found, self.presence) {
            (Some(path), _) => file::write(path, &self.text),
            (None, Presence::WhereThere) => Ok(()),
            (None, Presence::Needed) => Err(GroupError::NotEnforceable {
                key: self.key,
                reason: format!("the kernel has no `{}`", self.files.join("` or `")),
            }),
        }
    }
}

/// A process that may open so many files can hold a few for each instance.
const PLENTY_OF_FILES: u64 = 1 << 14;

/// How a child gets into its group, with everything allocated before.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    legacy: Box<[CString]>,
    /// The same, opened, if there are plenty of descriptors: to open them takes as long as to enter.
    held: Option<Box<[OwnedFd]>>,
    unified: Option<CString>,
}

impl Entry {
    pub(crate) fn of(group: &Group) -> Self {
        let paths: BTreeSet<_> = group.legacy.values().map(|it| it.join("tasks")).collect();
        let unified = group.unified_directory().map(|it| c_path(&it.join("cgroup.procs")));
        let files_max = getrlimit(Resource::Nofile).current;
        let held = files_max.is_none_or(|files_max| files_max >= PLENTY_OF_FILES).then(|| {
            let open = |path: &PathBuf| File::options().write(true).open(path).map(OwnedFd::from);
            paths.iter().map(open).collect::<Result<_, _>>().ok()
        });
        let legacy = paths.iter().map(|path| c_path(path)).collect();
        Self { legacy, held: held.flatten(), unified }
    }

    /// v1, for a child that has the caller's descriptors: whether it is in all of its groups. One that was made
    /// anew is entered by its path only. Async-signal-safe.
    pub(crate) fn enter_held(&self) -> bool {
        let enter = |file: &OwnedFd| write(file, b"0").is_ok();
        self.legacy.is_empty() || self.held.as_ref().is_some_and(|held| held.iter().all(enter))
    }

    /// v1: `tasks` takes a fraction of the time of `cgroup.procs`, which waits for all other
    /// threads of the host. Async-signal-safe.
    pub(crate) fn enter_legacy(&self) -> Result<(), Refused> {
        self.legacy.iter().try_for_each(enter)
    }

    /// v2, for who cannot clone into a group. Async-signal-safe.
    pub(crate) fn enter_unified(&self) -> Result<(), Refused> {
        self.unified.iter().try_for_each(enter)
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path that exists has no NUL")
}

fn enter(path: &CString) -> Result<(), Refused> {
    let refused = || Refused::at(Step::EnterGroup);
    let file = open(path.as_c_str(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    write(file.map_err(refused())?, b"0").map_err(refused()).map(drop)
}
