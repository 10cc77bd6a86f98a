#!/usr/bin/env python3
"""How many instructions the inner loops of the AArch64 kernels need: there is no board to time them on.

    tools/arm-build.sh aarch64 --kernel-tests            # prints the binary
    python tools/peers/neon_instructions.py BINARY

Of the tiles that are used most (src/kernels/nchwc/neon.rs), the innermost loop that multiplies: its instructions, those that multiply
(`fmla`: four products of floats; `sdot`: sixteen of bytes; `smull`, `smull2`: eight of bytes each), those that load, and the rest.
Needs Debian's binutils-aarch64-linux-gnu.
"""
import re, subprocess, sys

TILES = {
    "dense, floats": ("neon::dense", [(1, 12), (2, 9), (3, 6)]),
    "depthwise, floats": ("neon::depthwise", [(12,)]),
    "dense, codes, `sdot`": ("DOT_PRODUCT::dense", [(1, 12), (2, 10), (3, 7)]),
    "dense, codes, no `sdot`": ("WORDS::dense", [(1, 11), (2, 5), (3, 3)]),
}
# Products in one instruction.
PRODUCTS = {"fmla": 4, "sdot": 16, "smull": 8, "smull2": 8}


def functions(binary):
    """Name and instructions (address, mnemonic, operands) of each."""
    text = subprocess.run(["aarch64-linux-gnu-objdump", "-dC", "--no-show-raw-insn", binary], check=True, capture_output=True, text=True).stdout
    name, body = None, []
    for line in text.splitlines():
        if found := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            if name:
                yield name, body
            name, body = found[1], []
        elif found := re.match(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$", line):
            body.append((int(found[1], 16), found[2], found[3]))
    yield name, body


def inner_loop(body):
    """Of the stretches from the target of a branch backwards to the branch that have none inside, the one that multiplies most."""
    loops = []
    for at, (address, mnemonic, operands) in enumerate(body):
        target = re.search(r"\b([0-9a-f]{5,}) <", operands)
        if target and (mnemonic.startswith("b.") or mnemonic in ("b", "cbnz", "cbz", "tbz", "tbnz")):
            start = next((i for i, entry in enumerate(body[:at]) if entry[0] == int(target[1], 16)), None)
            if start is not None:
                loops.append((start, at + 1))
    inner = [(a, b) for a, b in loops if not any(a <= c and d <= b and (a, b) != (c, d) for c, d in loops)]
    multiplies = lambda loop: sum(entry[1] in PRODUCTS for entry in body[slice(*loop)])
    return body[slice(*max(inner, key=multiplies))]


bodies = dict(functions(sys.argv[1]))
print("| kernel | blocks x pixels | instructions | multiply | load | rest | products an instruction |\n" + "|---" * 7 + "|")
for kernel, (name, tiles) in TILES.items():
    for tile in tiles:
        # Pixels side by side.
        wanted = f"{name}::<{', '.join(map(str, (*tile, 1)))}>"
        loop = [entry[1] for entry in inner_loop(next(body for found, body in bodies.items() if found.endswith(wanted)))]
        multiply = [m for m in loop if m in PRODUCTS]
        load = sum(m.startswith("ld") for m in loop)
        products = sum(PRODUCTS[m] for m in multiply)
        shape = f"{tile[0]} x {tile[1]}" if len(tile) == 2 else f"1 x {tile[0]}"
        print(f"| {kernel} | {shape} | {len(loop)} | {len(multiply)} | {load} | {len(loop) - len(multiply) - load} | {products / len(loop):.1f} |")
