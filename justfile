# Recipes for `just` (https://just.systems); each is an ordinary cargo line.

# The example product: learn, inspect, draw.
demo:
    sh examples/demo.sh

# All tests.
test:
    cargo test

# One x86-64 file that needs no library: target/x86_64-unknown-linux-gnu/release/ocellus
static:
    cargo static

# Formatting and lints, as .ci/run checks them.
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Kernels and stages, measured.
bench:
    cargo bench

# Licences and advisories of the dependencies (cargo install cargo-deny).
deny:
    cargo deny check
