//! The program: see [`ocellus::cli`].

fn main() -> std::process::ExitCode {
    ocellus::cli::main()
}
