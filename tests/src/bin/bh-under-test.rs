//! The shipped binary once more.

fn main() -> std::process::ExitCode {
    bh::main()
}
