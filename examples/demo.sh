#!/bin/sh
# The main job on the example product: learn twenty good parts, inspect seventeen new photographs, draw what was found.
# Usage: sh examples/demo.sh [OUTPUT_FOLDER]
set -eu
cd "$(dirname "$0")/.."
out=${1:-demo-output}
cargo build --release --quiet
ocellus=${CARGO_TARGET_DIR:-target}/release/ocellus
"$ocellus" learn --force --out "$out/recipe" --region part=50,40,550,410 --region label=270,256,227,123 \
    --holdout examples/connector/holdout examples/connector/good
# Exit code 1 says that bad parts were found: here they are meant to be.
"$ocellus" inspect --recipe "$out/recipe" --annotate "$out/pictures" examples/connector/test || [ $? -eq 1 ]
echo "Pictures: $out/pictures"
