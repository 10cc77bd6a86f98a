#!/usr/bin/env bash
# The ARM binary on this x86-64 machine, under emulation: does it give this machine's results?
#
#     tools/arm-test.sh [aarch64|armv7]
#
# Builds it (tools/arm-build.sh), then runs tests/other_machine.rs, the command-line tests, those
# of hashes and their search, of a labelling server's client, tools/resolve, and the tests of the kernels with it.
set -euo pipefail
cd "$(dirname "$0")/.."

architecture=${1:-aarch64}
binary=$(realpath "$(tools/arm-build.sh "$architecture" | tail -1)")
tools/arm-build.sh "$architecture" --manifest-path tools/resolve/Cargo.toml
case $architecture in
aarch64) emulator=qemu-aarch64-static ;;
# tract asks /proc/cpuinfo for NEON, and an emulator shows the host's.
armv7) emulator=qemu-arm-static; export TRACT_CPU_ARM32_NEON=true ;;
esac
tools/debian-packages.sh qemu-user-static file

file -b "$binary"
file -b "$binary" | grep -q 'statically linked.*stripped'
"$emulator" "$(dirname "$binary")/resolve"
# The kernels of networks on this processor's registers, by themselves.
kernels=$(tools/arm-build.sh "$architecture" --kernel-tests | tail -1)
"$emulator" "$kernels"
# And on one that has no dot products.
if [ "$architecture" = aarch64 ]; then
    "$emulator" -cpu cortex-a72 "$kernels"
fi
OCELLUS_BINARY="$emulator $binary" cargo test --locked --test other_machine -- --ignored
OCELLUS_BINARY="$emulator $binary" cargo test --locked --test usage --test bad_input --test decode --test models
OCELLUS_BINARY="$emulator $binary" cargo test --locked --test dedup -- hashes the_search
OCELLUS_BINARY="$emulator $binary" cargo test --locked --test label_remote -- nothing_is_sent pictures_are_sent
