#!/usr/bin/env bash
# The static ARM binary, built on Debian 12 or later for x86-64 with nothing but Debian's packages:
#
#     tools/arm-build.sh [aarch64|armv7] [MORE CARGO ARGUMENTS]
#     tools/arm-build.sh [aarch64|armv7] --kernel-tests
#
# Its path is the last line of standard output. What is missing is installed first (as root, or with sudo). Debian's
# compiler brings its standard library for the host alone, so that for the target is built from source (-Zbuild-std).
# The compiler differs from the one in PATH: results are kept apart, in $OCELLUS_ARM_TARGET_DIR or else target/arm.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-aarch64} in
aarch64) target=aarch64-unknown-linux-gnu gcc=aarch64-linux-gnu libc=libc6-dev-arm64-cross ;;
armv7) target=armv7-unknown-linux-gnueabihf gcc=arm-linux-gnueabihf libc=libc6-dev-armhf-cross ;;
*) echo "usage: tools/arm-build.sh [aarch64|armv7] [CARGO ARGUMENTS]" >&2; exit 2 ;;
esac
shift || true

# Debian calls the compilers "web" that are new enough for the browsers it ships: rustc itself is too old for ocellus.
tools/debian-packages.sh rustc-web cargo-web rust-web-src "gcc-$gcc" "$libc"

export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=${OCELLUS_ARM_TARGET_DIR:-target/arm}
name=$(echo "$target" | tr a-z- A-Z_)
export "CARGO_TARGET_${name}_LINKER=$gcc-gcc" "CARGO_TARGET_${name}_RUSTFLAGS=-Ctarget-feature=+crt-static"
unset RUSTC_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
if [ "${1:-}" = --kernel-tests ]; then
    # tools/kernels alone, as a program that runs its tests.
    /usr/bin/cargo test --locked --no-run -Zbuild-std=std,panic_abort,test --release --target "$target" \
        --manifest-path tools/kernels/Cargo.toml --message-format json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
    exit
fi
/usr/bin/cargo build --locked -Zbuild-std=std,panic_abort --release --target "$target" "$@"
echo "$CARGO_TARGET_DIR/$target/release/ocellus"
