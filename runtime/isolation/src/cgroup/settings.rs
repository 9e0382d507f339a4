//! How v1 and v2 are told what a group may use: which file, and what text.

use super::{Controller, DeviceLimit, Limits, Weight, limits::CPU_PERIOD};

/// One write to one of the kernel's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As in the configuration file.
    pub(super) key: &'static str,
    /// Of these the first that exists.
    pub(super) files: &'static [&'static str],
    pub(super) text: String,
    pub(super) presence: Presence,
}

/// Whether a group must have the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Needed,
    /// One of several kinds of the same: each kernel has its own.
    WhereThere,
}

fn set(key: &'static str, files: &'static [&'static str], text: impl ToString) -> Setting {
    Setting { key, files, text: text.to_string(), presence: Presence::Needed }
}

fn where_there(setting: Setting) -> Setting {
    Setting { presence: Presence::WhereThere, ..setting }
}

impl Limits {
    /// Whether something that is asked would not be enforced without the controller.
    pub(super) fn need(&self, controller: Controller) -> bool {
        !self.v2_settings(controller).is_empty()
    }

    /// In the order in which they must be written.
    pub(super) fn v2_settings(&self, controller: Controller) -> Vec<Setting> {
        let some: Vec<Option<Setting>> = match controller {
            Controller::Cpu => vec![
                self.cpu.map(|it| {
                    set("cpu", &["cpu.max"], format!("{} {CPU_PERIOD}", it.microseconds()))
                }),
                self.cpu_weight.map(|it| set("cpu_weight", &["cpu.weight"], it.0)),
            ],
            Controller::Cpuset => {
                vec![self.cpus.as_ref().map(|it| set("cpus", &["cpuset.cpus"], it))]
            }
            Controller::Memory => vec![
                self.swap_max.map(|it| set("swap", &["memory.swap.max"], it)),
                self.memory_low.map(|it| set("memory_low", &["memory.low"], it)),
                self.memory_high.map(|it| set("memory_high", &["memory.high"], it)),
                self.memory_max.map(|it| set("memory", &["memory.max"], it)),
            ],
            Controller::Tasks => vec![self.tasks_max.map(|it| set("tasks_max", &["pids.max"], it))],
            Controller::Io => {
                let weight = |it: Weight| {
                    // iocost's and bfq's: a disk heeds one of them.
                    [
                        set("io_weight", &["io.weight"], it.0),
                        set("io_weight", &["io.bfq.weight"], it.bfq()),
                    ]
                };
                let weights = self.io_weight.map(weight).into_iter().flatten().map(where_there);
                let devices = self.devices.iter().map(|it| set("io", &["io.max"], it.v2_line()));
                return weights.chain(devices).collect();
            }
        };
        some.into_iter().flatten().collect()
    }

    /// In the order in which they must be written.
    pub(super) fn v1_settings(&self, controller: Controller) -> Vec<Setting> {
        let some: Vec<Option<Setting>> = match controller {
            Controller::Cpu => vec![
                self.cpu.map(|_| set("cpu", &["cpu.cfs_period_us"], CPU_PERIOD)),
                self.cpu.map(|it| set("cpu", &["cpu.cfs_quota_us"], it.microseconds())),
                self.cpu_weight.map(|it| set("cpu_weight", &["cpu.shares"], it.shares())),
            ],
            Controller::Cpuset => {
                vec![self.cpus.as_ref().map(|it| set("cpus", &["cpuset.cpus"], it))]
            }
            Controller::Memory => vec![
                self.memory_high.map(|it| set("memory_high", &["memory.soft_limit_in_bytes"], it)),
                self.memory_max.map(|it| set("memory", &["memory.limit_in_bytes"], it)),
                self.memory_and_swap().map(|it| set("swap", &["memory.memsw.limit_in_bytes"], it)),
            ],
            Controller::Tasks => vec![self.tasks_max.map(|it| set("tasks_max", &["pids.max"], it))],
            Controller::Io => {
                let files = &["blkio.bfq.weight", "blkio.weight"];
                let weight = self.io_weight.map(|it| set("io_weight", files, it.bfq()));
                let devices = self.devices.iter().flat_map(DeviceLimit::v1_settings);
                return weight.into_iter().chain(devices).collect();
            }
        };
        some.into_iter().flatten().collect()
    }

    /// v1 limits memory and swap together, so swap alone means nothing.
    fn memory_and_swap(&self) -> Option<u64> {
        Some(self.memory_max?.saturating_add(self.swap_max?))
    }
}

impl DeviceLimit {
    fn rates(&self) -> [(&'static str, &'static [&'static str], Option<u64>); 4] {
        [
            ("rbps", &["blkio.throttle.read_bps_device"], self.read_bytes),
            ("wbps", &["blkio.throttle.write_bps_device"], self.write_bytes),
            ("riops", &["blkio.throttle.read_iops_device"], self.read_operations),
            ("wiops", &["blkio.throttle.write_iops_device"], self.write_operations),
        ]
    }

    fn v2_line(&self) -> String {
        let (major, minor) = self.device;
        let rates = self.rates().into_iter();
        rates
            .filter_map(|(name, _, rate)| Some(format!(" {name}={}", rate?)))
            .fold(format!("{major}:{minor}"), |line, rate| line + &rate)
    }

    fn v1_settings(&self) -> impl Iterator<Item = Setting> {
        let (major, minor) = self.device;
        let rates = self.rates().into_iter();
        rates.filter_map(move |(_, files, rate)| {
            Some(set("io", files, format!("{major}:{minor} {}", rate?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuQuota;

    fn lines(settings: impl IntoIterator<Item = Setting>) -> Vec<String> {
        settings
            .into_iter()
            .map(|it| format!("{}: {} = {}", it.key, it.files[0], it.text))
            .collect()
    }

    fn everything() -> Limits {
        let disk = DeviceLimit { device: (8, 0), read_bytes: Some(1), ..DeviceLimit::default() };
        Limits {
            cpu: CpuQuota::from_cores(1.5),
            cpu_weight: Weight::new(200),
            cpus: Some("0-1".parse().unwrap()),
            memory_max: Some(1 << 30),
            memory_high: Some(1 << 29),
            memory_low: Some(1 << 28),
            swap_max: Some(0),
            io_weight: Weight::new(500),
            devices: vec![DeviceLimit { write_operations: Some(9), ..disk }],
            tasks_max: Some(64),
            ..Limits::default()
        }
    }

    #[test]
    fn v2_is_told_in_its_words() {
        let limits = everything();
        let told = lines(Controller::ALL.into_iter().flat_map(|it| limits.v2_settings(it)));
        let expected = [
            "cpu: cpu.max = 150000 100000",
            "cpu_weight: cpu.weight = 200",
            "cpus: cpuset.cpus = 0-1",
            "io_weight: io.weight = 500",
            "io_weight: io.bfq.weight = 136",
            "io: io.max = 8:0 rbps=1 wiops=9",
            "swap: memory.swap.max = 0",
            "memory_low: memory.low = 268435456",
            "memory_high: memory.high = 536870912",
            "memory: memory.max = 1073741824",
            "tasks_max: pids.max = 64",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn v1_is_told_in_its_words() {
        let limits = everything();
        let told = lines(Controller::ALL.into_iter().flat_map(|it| limits.v1_settings(it)));
        let expected = [
            "cpu: cpu.cfs_period_us = 100000",
            "cpu: cpu.cfs_quota_us = 150000",
            "cpu_weight: cpu.shares = 2048",
            "cpus: cpuset.cpus = 0-1",
            "io_weight: blkio.bfq.weight = 136",
            "io: blkio.throttle.read_bps_device = 8:0 1",
            "io: blkio.throttle.write_iops_device = 8:0 9",
            "memory_high: memory.soft_limit_in_bytes = 536870912",
            "memory: memory.limit_in_bytes = 1073741824",
            "swap: memory.memsw.limit_in_bytes = 1073741824",
            "tasks_max: pids.max = 64",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn only_what_is_asked_needs_a_controller() {
        let needed = |limits: Limits| -> Vec<_> {
            Controller::ALL.into_iter().filter(|it| limits.need(*it)).collect()
        };
        assert_eq!(needed(Limits::default()), []);
        let limits = Limits { memory_high: Some(1), ..Limits::default() };
        assert_eq!(needed(limits), [Controller::Memory]);
    }

    #[test]
    fn each_key_can_be_left_out() {
        let mut limits = everything();
        for controller in Controller::ALL {
            for setting in limits.clone().v2_settings(controller) {
                limits.leave_out(setting.key);
            }
        }
        assert_eq!(limits, Limits::default());
    }
}
