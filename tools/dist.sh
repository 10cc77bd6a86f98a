#!/usr/bin/env bash
# Release archives, one an architecture, with their SHA256SUMS, in dist/:
#
#     tools/dist.sh [x86_64] [aarch64] [armv7]      (all three without an argument)
#
# Each holds the static binary, README, the licences of the program, of its crates and of its networks, and a systemd
# unit. The same commit gives the same archive but for what the compiler itself varies.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- x86_64 aarch64 armv7
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
date=$(git log -1 --format=%ct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p dist

for architecture in "$@"; do
    case $architecture in
    x86_64)
        target=x86_64-unknown-linux-gnu
        cargo static --locked
        binary=${CARGO_TARGET_DIR:-target}/$target/release/ocellus
        ;;
    aarch64 | armv7)
        binary=$(tools/arm-build.sh "$architecture" | tail -1)
        target=$(basename "$(dirname "$(dirname "$binary")")")
        ;;
    *) echo "usage: tools/dist.sh [x86_64] [aarch64] [armv7]" >&2; exit 2 ;;
    esac
    file -b "$binary" | grep -Eq 'static(ally|-pie) linked.*stripped' || { echo "$binary is not static and stripped" >&2; exit 1; }

    name=ocellus-$version-$architecture-linux
    folder=$work/$name
    mkdir -p "$folder/licences/models"
    install -m 755 "$binary" "$folder/ocellus"
    cp README.md packaging/ocellus.service "$folder"
    cp LICENSE-MIT LICENSE-APACHE packaging/RUNTIME.txt "$folder/licences"
    cp /usr/share/common-licenses/LGPL-2.1 "$folder/licences/LGPL-2.1.txt"
    cp -r models/PROVENANCE.md models/licences models/fonts/LICENSE* "$folder/licences/models"
    python3 tools/third_party.py "$target" >"$folder/licences/CRATES.txt"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$date" -C "$work" -c "$name" | gzip -9n >"dist/$name.tar.gz.tmp"
    mv "dist/$name.tar.gz.tmp" "dist/$name.tar.gz"
done
(cd dist && sha256sum ocellus-"$version"-*.tar.gz >SHA256SUMS)
ls -l dist
