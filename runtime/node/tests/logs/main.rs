//! What services print, with real pipes, processes and files.

mod bench;
mod capturing;
mod fixture;
mod reading;
mod storing;
