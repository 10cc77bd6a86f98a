#!/usr/bin/env python3
"""The part of Droid Sans Fallback that overlays need beside DejaVu: Chinese and Japanese as in everyday use.

Usage: font_cjk.py DroidSansFallbackFull.ttf   (Debian package fonts-droid-fallback 6.0.1r16, Apache-2.0; fonttools 4.x)
writes models/fonts/DroidSansFallback-subset.ttf: all characters of GB 2312 (6,763 Chinese characters, kana, punctuation) and
level 1 of Big5 (5,401 traditional ones), without hinting and layout tables.
"""

import pathlib
import subprocess
import sys


def characters(encoding, first_bytes):
    """All characters that two bytes of `encoding` name, the first of them in `first_bytes`."""
    for high in first_bytes:
        for low in range(0x40, 0xFF):
            try:
                yield bytes([high, low]).decode(encoding)
            except UnicodeDecodeError:
                pass


out = pathlib.Path(__file__).resolve().parents[2] / "models/fonts/DroidSansFallback-subset.ttf"
wanted = set(characters("gb2312", range(0xA1, 0xF8))) | set(characters("big5", range(0xA4, 0xC7)))
subprocess.run(
    ["pyftsubset", sys.argv[1], f"--unicodes={','.join(f'{ord(c):X}' for c in sorted(wanted))}", "--no-hinting",
     "--layout-features=", "--drop-tables+=GSUB,GPOS,GDEF,vhea,vmtx,DSIG", "--notdef-outline", f"--output-file={out}"],
    check=True,
)
print(f"{out.name}: {len(wanted)} characters, {out.stat().st_size} bytes")
