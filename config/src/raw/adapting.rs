//! The node's budget and how services take part in it, as written.

use std::time::Duration;

use super::{Cores, Count, Share, Size};
use crate::read::keys;

keys! {
    /// What all services may have together: guarantees are kept within it, and follow use. Off when absent.
    RawBudget {
        /// CPUs' time. Default: what the host or the node's control group has, less the reserve.
        cpu: Cores,
        /// Memory. Default: what the host or the node's control group has, less the reserve.
        memory: Size,
        /// The share that a default leaves to the host and the node. Default: 0.1.
        reserve: Share,
        /// How often use is looked at. Default: 10s.
        every: Duration,
        /// How far back rolling use remembers. Default: 5m.
        window: Duration,
    }
}

keys! {
    /// What is kept in the node's budget for each process, used or not.
    RawGuarantee {
        /// CPUs' time.
        cpu: Cores,
        /// Memory.
        memory: Size,
    }
}

keys! {
    /// More instances while they are busy, fewer while they are idle.
    RawScale {
        /// Never fewer. Default: 1.
        min: Count<1, 1000>,
        /// Never more.
        max: Count<1, 1000>,
        /// CPUs' time of one instance on average, beyond which they are busy.
        cpu_above: Cores,
        /// Below which they are idle. Default: half of cpu_above.
        cpu_below: Cores,
        /// Memory of one instance on average, beyond which they are busy.
        memory_above: Size,
        /// Below which they are idle. Default: half of memory_above.
        memory_below: Size,
        /// How often use is looked at. Default: 10s.
        every: Duration,
        /// How long they must have been busy or idle. Default: 30s.
        window: Duration,
        /// No instance is added sooner than this after a change. Default: 1m.
        up_cooldown: Duration,
        /// No instance is removed sooner than this after a change. Default: 5m.
        down_cooldown: Duration,
    }
}
