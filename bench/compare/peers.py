"""Who is compared, and how each one is built, started, watched and ended."""

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
CONFIGS = HERE / "configs"
REQUEST = (HERE / "request.http").read_bytes()
assert len(REQUEST) == 389, "request.http must be 389 bytes, as in every comparison before"

PROXY_CORE, LOAD_CORE = 0, 1
ORIGIN_PORTS = [19101, 19102, 19103]
PORTS = {"ringway": 19201, "nginx": 19202, "HAProxy": 19203, "relay": 19204, "all on": 19205, "all off": 19206,
         "hit": 19207, "nginx hit": 19208, "Varnish hit": 19209}
# Debian package of each program that isn't built here.
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "varnishd": "varnish", "wrk": "wrk", "valgrind": "valgrind"}


# What Varnish would otherwise write into its log in memory for each request.
QUIET = "Begin End Link SessOpen SessClose ReqStart ReqMethod ReqURL ReqProtocol ReqHeader ReqUnset ReqAcct Timestamp".split()
QUIET += "RespProtocol RespStatus RespReason RespHeader RespUnset VCL_call VCL_return Hit HitMiss Storage".split()


class Failure(Exception):
    """A figure can't be had; the text says why, for the table."""


class Peers:
    """The built programs and the directory they run in."""

    def __init__(self, profile, gateway=None):
        target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / ("debug" if profile == "dev" else profile)
        self.gateway = Path(gateway) if gateway else target / "ringway"
        self.ringload = target / "ringload"
        self.relay = target / "examples" / "relay"
        self.origin = target / "examples" / "origin"
        self.directory = Path(tempfile.mkdtemp(prefix="ringway-bench-"))
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
        self.routes = {}

    def command(self, name, many_routes=False, one_process=False):
        """The command line of a proxy; with `many_routes` on a config of 10,000 routes."""
        config = (lambda file: self.directory / f"routes-{file}") if many_routes else (lambda file: CONFIGS / file)
        match name:
            case "ringway":
                return [self.gateway, "run", "-c", config("ringway.json")]
            case "all on" | "all off":
                return [self.gateway, "run", "-c", CONFIGS / f"ringway-{name.replace(' ', '-')}.json"]
            case "nginx":
                single = ["-g", "master_process off;"] if one_process else []
                return ["nginx", "-p", self.directory, "-e", "stderr", "-c", config("nginx.conf"), *single]
            case "hit":
                return [self.gateway, "run", "-c", CONFIGS / "ringway-cache.json"]
            case "nginx hit":
                return ["nginx", "-p", self.directory, "-e", "stderr", "-c", CONFIGS / "nginx-cache.conf"]
            case "Varnish hit":
                # One pool of threads, nothing logged, no other user and no management port.
                options = ["-j", "none", "-n", self.directory / "varnish", "-s", "malloc,64m", "-T", "none", "-t", "3600"]
                options += ["-p", "thread_pools=1", "-p", "thread_pool_min=20", "-p", "vsl_mask=" + ",".join(f"-{tag}" for tag in QUIET)]
                return ["varnishd", "-F", "-a", "127.0.0.1:19209", "-f", CONFIGS / "varnish.vcl", *options]
            case "HAProxy":
                return ["haproxy", "-db", "-f", config("haproxy.cfg")]
            case "relay":
                return [self.relay, str(PORTS["relay"]), *map(str, ORIGIN_PORTS)]

    def start_origin(self):
        """Starts the endpoint on the load's core."""
        origin = Running([self.origin, *map(str, ORIGIN_PORTS)], LOAD_CORE, ORIGIN_PORTS)
        origin.answers(ORIGIN_PORTS[0], "the origin", 5)
        return origin

    def start(self, name, seconds=10, prefix=(), **options):
        """Starts a proxy on its core and waits until it passes a request on."""
        running = Running([*prefix, *self.command(name, **options)], PROXY_CORE, [PORTS[name]])
        running.answers(PORTS[name], name, seconds)
        return running

    def write_many_routes(self, count=10_000):
        """Configs of so many routes: `/svc0/` and up. The last is asked for, so all must be there."""
        config = json.loads((CONFIGS / "ringway.json").read_text())
        config["routes"] = [{"path": f"/svc{n}/*", "upstream": "app"} for n in range(count)]
        self._write("ringway.json", json.dumps(config))

        nginx = (CONFIGS / "nginx.conf").read_text()
        routes = "".join(f"        location /svc{n}/ {{ proxy_pass http://app; }}\n" for n in range(count))
        self._write("nginx.conf", re.sub(r" *# routes\n.*?\n        }\n", lambda _: routes, nginx, flags=re.S))

        table = self.directory / "routes.map"
        table.write_text("".join(f"/svc{n}/ app\n" for n in range(count)))
        haproxy = (CONFIGS / "haproxy.cfg").read_text()
        self._write("haproxy.cfg", re.sub(r"use_backend app if .*", f"use_backend %[path,map_beg({table})]", haproxy))
        return REQUEST.replace(b"/api/", b"/svc%d/" % (count - 1), 1)

    def _write(self, file, text):
        (self.directory / f"routes-{file}").write_text(text)


class Running:
    """A started process with its children. Ended at the latest when the script ends, by process id."""

    alive = []

    def __init__(self, command, core, ports):
        # A ring gives its sockets back a moment after its process has ended.
        wait_until(lambda: all(map(free, ports)), 5, f"one of ports {ports} stays taken")
        here = os.sched_getaffinity(0)
        # The child inherits the core, which costs it no time of its own.
        os.sched_setaffinity(0, {core})
        try:
            self.started = time.monotonic()
            self.output = tempfile.TemporaryFile()
            self.process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise Failure(f"can't start: {error}") from error
        finally:
            os.sched_setaffinity(0, here)
        Running.alive.append(self)

    def answers(self, port, name, seconds, request=REQUEST):
        """Waits for the first good answer; the seconds from its start until then."""
        deadline = self.started + seconds
        try:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise Failure(f"{name} ended while starting: {self.said()}")
                if answered_once(port, request):
                    return time.monotonic() - self.started
                time.sleep(0.0001)
            raise Failure(f"{name} gave no good answer within {seconds} s: {self.said()}")
        except Failure:
            self.end()
            raise

    def said(self):
        """The end of what it wrote."""
        self.output.seek(0)
        text = self.output.read().decode(errors="replace").strip()
        return " / ".join(text.splitlines()[-2:])[-300:] or "it wrote nothing"

    def tree(self):
        """Its process id and those of its children."""
        found = [self.process.pid]
        for pid in found:
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except OSError:
                continue
        return found

    def cpu(self):
        """Nanoseconds on a core so far, of all its threads and children."""
        total = 0
        for pid in self.tree():
            total += sum(int(found.read_text().split()[0]) for found in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        if self.process.poll() is not None:
            raise Failure(f"it ended: {self.said()}")
        return total

    def memory(self):
        """Bytes of user memory, shared pages counted by their share (PSS)."""
        total = 0
        for pid in self.tree():
            total += int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) << 10
        return total

    def end(self, seconds=2, wake=lambda: None):
        """Asks it to end, as Ctrl-C does, and ends it by force if it doesn't; whether it ended by itself.

        Valgrind shows a signal to a process that waits only when the wait is over, which is what `wake` is for."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.5)
                    return True
                wake()
            for pid in reversed(self.tree()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            return False
        finally:
            if self in Running.alive:
                Running.alive.remove(self)


def end_all():
    for running in list(Running.alive):
        running.end()


def bound(seconds):
    """Ends the script with everything it started after so many seconds, and also when it is told to stop."""

    def stop(number, _):
        sys.exit(f"stopped: {'out of time' if number == signal.SIGALRM else signal.Signals(number).name}")

    atexit.register(end_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(seconds)


def answered_once(port, request):
    """Whether a fresh connection gets a 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def install(programs):
    """Installs what is missing with apt-get where that can be done; else says what to install."""
    missing = sorted(PACKAGES[program] for program in programs if not shutil.which(program, path=SEARCH))
    if not missing:
        return
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    # Without a run level, Debian's packages don't start their services.
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install_them = ["install", "-y", "--no-install-recommends", *missing]
    try:
        done = os.geteuid() == 0 and all(
            subprocess.run(["apt-get", "-qq", *step], env=quiet, timeout=300, stdout=sys.stderr).returncode == 0
            for step in (["update"], install_them)
        )
    except (OSError, subprocess.TimeoutExpired):
        done = False
    if not done:
        sys.exit(f"missing, and can't be installed from here: {' '.join(missing)}; try: sudo apt-get install {' '.join(missing)}")


def check_ports():
    """Ends the script if a port that it needs is taken."""
    for port in [*ORIGIN_PORTS, *PORTS.values()]:
        if not free(port):
            sys.exit(f"port {port} of 127.0.0.1 is needed and taken; is another comparison running?")


def free(port):
    """Whether nobody listens on this port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def wait_until(true, seconds, failure):
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failure(failure)
        time.sleep(0.005)


def build(profile, targets):
    """Builds what is compared."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--profile", profile, *targets], cwd=PROJECT, check=True, timeout=1500)


# Servers are often outside a user's path.
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
os.environ["PATH"] = SEARCH
