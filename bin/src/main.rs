//! `bh`.

fn main() -> std::process::ExitCode {
    bh::main()
}
