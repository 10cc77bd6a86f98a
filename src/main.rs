//! The program: see [`ocellus::cli`].

/// Maps of networks are large, and are wanted again with the next picture.
#[global_allocator]
static MEMORY: ocellus::kernels::memory::Memory = ocellus::kernels::memory::Memory::new();

fn main() -> std::process::ExitCode {
    ocellus::cli::main()
}
