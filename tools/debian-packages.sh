#!/usr/bin/env bash
# Installs the Debian packages named that are not installed yet; says nothing if there is nothing to do.
set -euo pipefail

missing=()
for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}" >&2
install() { "${root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2; }
# The lists of packages may be old or absent: a refresh costs a minute, so only if it fails without.
install || { "${root[@]}" apt-get update -qq >&2 && install; }
