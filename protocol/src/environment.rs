//! Names of environment variables: what places a node, and what the node tells a child.

/// Where sockets and state live; read by `bh`, told to children.
pub const RUNTIME_DIR: &str = "BLACKHOLE_RUNTIME_DIR";
/// Where data lives. Read by `bh` for the node; told to a child as `<data_dir>/<service>`.
pub const DATA_DIR: &str = "BLACKHOLE_DATA_DIR";
/// Where log files live; read by `bh`.
pub const LOG_DIR: &str = "BLACKHOLE_LOG_DIR";
/// The node's name, told to children.
pub const NODE: &str = "BLACKHOLE_NODE";
/// The service's name, told to children.
pub const SERVICE: &str = "BLACKHOLE_SERVICE";
/// Which of the service's processes this is, counted from 1; told to children.
pub const INSTANCE: &str = "BLACKHOLE_INSTANCE";
/// Which incarnation of the instance this is, counted from 1; told to children.
pub const GENERATION: &str = "BLACKHOLE_GENERATION";
/// What the node has told of its name and directories, `NODE:RUNTIME_DIR:DATA_DIR`; told to children,
/// so that a node which one of them starts does not take these for its own configuration.
pub const TOLD: &str = "BLACKHOLE_TOLD";
/// Marks every descendant of a node's children, so that an escaped daemon can be told apart.
/// The value is unique to one generation of one instance.
pub const TOKEN: &str = "BLACKHOLE_TOKEN";
/// The number of the descriptor that carries the link to the node; told to native children.
pub const LINK_FD: &str = "BLACKHOLE_LINK_FD";
/// The descriptor over which guardian and node hold on to each other.
pub const GUARDIAN_FD: &str = "BLACKHOLE_GUARDIAN_FD";
