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

# The static binary for an ARM board, aarch64 or armv7, and its tests under emulation (Debian 12 or later on x86-64).
arm architecture="aarch64":
    tools/arm-build.sh {{architecture}}
arm-test architecture="aarch64":
    tools/arm-test.sh {{architecture}}

# Release archives of all three architectures with SHA256SUMS, in dist/.
dist:
    tools/dist.sh

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
