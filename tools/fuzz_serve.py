#!/usr/bin/env python3
"""Requests made from /openapi.json by schemathesis against `ocellus serve --state`: none may be answered with 500.

    python tools/fuzz_serve.py [--ocellus target/release/ocellus] [--examples 60]

The state has a recipe with its good pictures, parts on record (one judged good), and a draft. Twice: with names and numbers made up,
and with those that are there; bodies are pictures, cut pictures and noise. Besides 500 it looks for statuses, types and bodies
that the document does not name. Exits with 1 if there was any. Needs schemathesis 4.
"""
import argparse, json, os, re, shutil, subprocess, sys, tempfile, threading, urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples/connector"
HOOKS = f"""
import random
import schemathesis
from hypothesis import strategies as st

good = open({str(EXAMPLES / "good/02.jpg")!r}, "rb").read()
bad = open({str(EXAMPLES / "test/stain_01.jpg")!r}, "rb").read()
pictures = st.one_of(st.sampled_from([good, bad]), st.integers(0, len(good)).map(lambda n: good[:n]), st.binary(max_size=2000))
schemathesis.openapi.media_type("application/octet-stream", pictures)
schemathesis.openapi.media_type("image/*", pictures)
"""
SETTINGS = """
[parameters]
"path.recipe" = "connector"
"path.draft" = "cover"
"path.number" = 1
"path.part" = 2

[[operations]]
include-name = "POST /v1/parts/{part}"
parameters = { "path.part" = "connector" }
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def ask(url, body=None):
    return urllib.request.urlopen(urllib.request.Request(url, body), timeout=60).read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ocellus", default=str(ROOT / "target/release/ocellus"))
    parser.add_argument("--examples", type=int, default=60)
    args = parser.parse_args()
    failed = 0
    for known in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            recipe = work / "state/recipes/connector"
            recipe.parent.mkdir(parents=True)
            subprocess.run([args.ocellus, "learn", "--quiet", "--out", recipe, EXAMPLES / "good"], check=True, stdout=subprocess.DEVNULL)
            shutil.copytree(EXAMPLES / "good", recipe / "goods")
            server = subprocess.Popen([args.ocellus, "serve", "--listen", "127.0.0.1:0", "--state", work / "state", "--quiet"],
                                      stderr=subprocess.PIPE, text=True)
            url = "http" + re.search(r"http(://\S+)", server.stderr.readline()).group(1)
            said = []
            threading.Thread(target=lambda: said.extend(server.stderr), daemon=True).start()
            for name in ("good/01.jpg", "test/stain_01.jpg"):
                ask(f"{url}/v1/parts/connector", (EXAMPLES / name).read_bytes())
            ask(f"{url}/v1/parts/2/judgement", json.dumps({"judged": "good", "operator": "Kim", "reason": "glare"}).encode())
            for good in sorted((EXAMPLES / "good").iterdir())[:5]:
                ask(f"{url}/v1/drafts/cover/goods", good.read_bytes())
            (work / "hooks.py").write_text(HOOKS)
            (work / "schemathesis.toml").write_text(SETTINGS if known else "")
            command = ["schemathesis", "run", f"{url}/openapi.json", "--checks", CHECKS, "--max-examples", str(args.examples),
                       "--continue-on-failure", "--request-timeout", "600", "--no-color"]
            environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(work)}
            run = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
            text = run.stdout
            print("known names and numbers" if known else "made-up names and numbers")
            print("\n".join(line for line in text.splitlines() if "generated" in line or "❌" in line or "FAIL" in line.upper()))
            if run.returncode:
                print(text[-6000:] + run.stderr[-2000:])
            failed |= run.returncode
            alive = server.poll() is None
            server.terminate()
            server.wait()
            print("on standard error: " + ("".join(said).strip() or "nothing") + ("" if alive else "; IT ENDED"))
            failed |= not alive
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
