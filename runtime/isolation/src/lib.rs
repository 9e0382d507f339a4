//! What a process may use: planned in the parent, applied in the child between clone and exec.
