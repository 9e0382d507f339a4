//! Content-addressed blocks on disk.
