//! One operating-system process: spawn, pidfd, signals, output, passed sockets, exit; and the guardian.
