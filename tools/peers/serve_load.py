#!/usr/bin/env python3
"""`ocellus serve` against the batch command on the same picture: throughput, what HTTP costs, latency under load.

    python tools/peers/serve_load.py [--ocellus target/release/ocellus] [--seconds 20] [--threads 2]

Learns examples/connector, then for inspect (a small JPEG) and detect:
  batch     pictures/s of the command over so many copies as take about --seconds, with --threads
  serve     requests/s of wrk over as many connections as twice the threads, to a server with as many threads: the same work
  overhead  at one thread and one connection, milliseconds a request more than a picture of the batch
  latency   median and 99th percentile as wrk tells them, at half, once and twice as many connections as threads
Then --mixed SECONDS of good pictures, damaged ones, forms, tiles, wrong parameters, cut-off and endless bodies from four clients: the
memory at the start, each quarter and the end, and every status that came. It exits with 1 where a status is none of those that
belong to what was sent, where a request got no answer, or where the last quarter's memory is over that of the second by a tenth.

All on loopback, bounded in time. Needs Debian's wrk; nothing else beyond Python.
"""
import argparse, collections, http.client, json, os, random, re, shutil, socket, statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = {"inspect": ROOT / "examples/connector/test/good_01.jpg", "detect": ROOT / "examples/people/astronaut.jpg"}
# What is sent, and the statuses that belong to it; any may be answered with 503 when the queue is full.
EXPECTED = {"good": {200}, "picture": {200}, "form": {200}, "pieces": {200}, "cut": {422}, "noise": {422}, "parameter": {400},
            "empty": {400}, "address": {404, 405}, "large": {413}, "hang up": set()}
PATHS = {"inspect": "/v1/inspect/connector", "detect": "/v1/detect"}


class Server:
    def __init__(self, binary, recipes, threads):
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--recipes", str(recipes), "--threads", str(threads), "--queue", "64"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)$", self.process.stderr.readline().strip()).group(1))
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        while self.ask("GET", "/ready")[0] != 200:
            time.sleep(0.1)

    def ask(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def batch(binary, kind, recipes, work, threads, count):
    """Seconds that the command takes for `count` copies, start included, and for one."""
    def run(n):
        folder = work / f"{kind}-{n}"
        if not folder.exists():
            folder.mkdir()
            for i in range(n):
                os.link(work / PICTURES[kind].name, folder / f"{i:05}.jpg")
        options = ["--recipe", str(recipes / "connector")] if kind == "inspect" else []
        started = time.perf_counter()
        subprocess.run([binary, kind, "--quiet", "--json", "--threads", str(threads), *options, str(folder)], check=True,
                       stdout=subprocess.DEVNULL)
        return time.perf_counter() - started
    return run(count), run(1)


def wrk(port, kind, work, connections, seconds):
    script = work / f"{kind}.lua"
    script.write_text(f'local f = io.open("{PICTURES[kind]}", "rb")\nwrk.method = "POST"\nwrk.body = f:read("*a")\n'
                      'done = function(s, l, r) io.write(string.format("JSON {\\"p50\\": %f, \\"p99\\": %f, \\"n\\": %d, '
                      '\\"us\\": %d, \\"bad\\": %d}\\n", l:percentile(50) / 1000, l:percentile(99) / 1000, s.requests, '
                      's.duration, s.errors.status + s.errors.read + s.errors.timeout + s.errors.connect)) end\n')
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script),
               f"http://127.0.0.1:{port}{PATHS[kind]}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(text.split("JSON ")[1])
    if found["bad"]:
        sys.exit(f"{found['bad']} requests failed:\n{text}")
    return found


def sequential(server, kind, count):
    """Median milliseconds of a request on one connection."""
    body, times = PICTURES[kind].read_bytes(), []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    for _ in range(count):
        started = time.perf_counter()
        connection.request("POST", PATHS[kind], body)
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - started)
        assert response.status == 200
    return 1000 * statistics.median(times)


def mixed(server, seconds):
    """Clients of all kinds for so long: statuses, and memory by the minute."""
    end, seen, memory, lock = time.time() + seconds, collections.Counter(), [], threading.Lock()
    pictures = {kind: path.read_bytes() for kind, path in PICTURES.items()}

    def client(seed):
        chance = random.Random(seed)
        while time.time() < end:
            kind = chance.choice(list(PATHS))
            path, body = PATHS[kind], pictures[kind]
            what = chance.choice(["good", "good", "good", *EXPECTED])
            headers = {}
            if what == "cut":
                body = body[: chance.randrange(1, len(body))]
            elif what == "noise":
                body = chance.randbytes(chance.randrange(1, 100_000))
            elif what == "parameter":
                path += chance.choice(["?x=1", "?annotate=maybe", "?annotate=1&annotate=1"])
            elif what == "pieces":
                path, body = PATHS["detect"] + "?tile=256", pictures["detect"]
            elif what == "form":
                head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
                body, headers = head + body + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
            elif what == "large":
                body = bytes(70_000_000)
            elif what == "empty":
                body = b""
            elif what == "address":
                path = chance.choice(["/v1/inspect/none", "/v1/none", "/../etc/passwd"])
            elif what == "picture":
                path += "?annotate=true"
            elif what == "hang up":
                with socket.create_connection(("127.0.0.1", server.port)) as s:
                    s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode())
                    s.sendall(body[: len(body) // 2])
                continue
            try:
                status, _ = server.ask("POST", path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
            with lock:
                seen[(what, status)] += 1

    clients = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    [c.start() for c in clients]
    while time.time() < end:
        memory.append(server.memory())
        time.sleep(min(15, max(0.1, end - time.time())))
    [c.join() for c in clients]
    return seen, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ocellus", default=str(ROOT / "target/release/ocellus"))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mixed", type=int, default=0, metavar="SECONDS")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        recipes = work / "recipes"
        recipes.mkdir()
        for path in PICTURES.values():
            shutil.copy(path, work)
        subprocess.run([args.ocellus, "learn", "--quiet", "--out", str(recipes / "connector"), str(ROOT / "examples/connector/good")],
                       check=True, stdout=subprocess.DEVNULL)
        print("| | batch, pictures/s | serve, requests/s | ratio | overhead, ms | p50, p99 ms at 1 | at 2 | at 4 connections |")
        print("|---|---|---|---|---|---|---|---|")
        for kind in PICTURES:
            with Server(args.ocellus, recipes, args.threads) as server:
                probe = wrk(server.port, kind, work, 2 * args.threads, 3)
                count = max(20, int(probe["n"] / probe["us"] * 1e6 * args.seconds))
                rates = []
                # In turn, so that a slow minute of the machine strikes both.
                for _ in range(3):
                    many, one = batch(args.ocellus, kind, recipes, work, args.threads, count)
                    found = wrk(server.port, kind, work, 2 * args.threads, args.seconds)
                    rates.append(((count - 1) / (many - one), found["n"] / found["us"] * 1e6))
                late = [wrk(server.port, kind, work, c, args.seconds) for c in (1, 2, 4)]
            with Server(args.ocellus, recipes, 1) as server:
                extra = []
                for _ in range(3):
                    many, one = batch(args.ocellus, kind, recipes, work, 1, 100)
                    extra.append(sequential(server, kind, 100) - 1000 * (many - one) / 99)
            ours, served = (statistics.median(r[i] for r in rates) for i in (0, 1))
            ratio = statistics.median(b / a for a, b in rates)
            tail = " | ".join(f"{f['p50']:.0f}, {f['p99']:.0f}" for f in late)
            print(f"| {kind} | {ours:.1f} | {served:.1f} | {ratio:.2f} | {statistics.median(extra):.1f} | {tail} |", flush=True)
        if args.mixed:
            with Server(args.ocellus, recipes, args.threads) as server:
                seen, memory = mixed(server, args.mixed)
            marks = [memory[len(memory) * i // 4] for i in range(4)] + [memory[-1]]
            print("memory, MB, at the start, each quarter and the end: " + ", ".join(f"{m:.0f}" for m in marks))
            wrong = 0
            for (what, status), count in sorted(seen.items(), key=str):
                bad = status not in EXPECTED[what] | {503}
                wrong += bad
                print(f"{what}: {status} x {count}" + ("  NOT EXPECTED" if bad else ""))
            quarter = len(memory) // 4
            middle, last = (statistics.median(memory[i * quarter:(i + 1) * quarter] or memory) for i in (1, 3))
            if wrong or last > 1.1 * middle:
                sys.exit(f"{wrong} kinds of answers were not expected; memory {middle:.0f} MB, then {last:.0f}")


if __name__ == "__main__":
    main()
