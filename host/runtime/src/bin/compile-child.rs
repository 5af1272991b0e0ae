//! The compiling child as a program of its own, for this crate's tests and benchmarks. The product's binary runs the same
//! function behind a hidden verb.

fn main() -> std::process::ExitCode {
    sandboxer_runtime::compile_child_main()
}
