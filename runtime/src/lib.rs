//! Services run the way Erlang runs processes: supervised child processes, from a Rust program.
