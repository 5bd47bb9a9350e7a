"""What the comparison starts: watched, and ended by process id at the latest when the script ends."""

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Failure(Exception):
    """A figure can't be had; the text says why, for the table."""


def say(text):
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


class Running:
    """A started process with its children. Ended at the latest when the script ends, by process id."""

    alive = []

    def __init__(self, command, cores, ports):
        # A ring gives its sockets back a moment after its process has ended.
        wait_until(lambda: all(map(free, ports)), 5, f"one of ports {ports} stays taken")
        here = os.sched_getaffinity(0)
        # The child inherits the cores, which costs it no time of its own.
        os.sched_setaffinity(0, cores)
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

    def answers(self, name, seconds, answered):
        """Waits until `answered()`; the seconds from its start until then."""
        deadline = self.started + seconds
        try:
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise Failure(f"{name} ended while starting: {self.said()}")
                if answered():
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


def answered_once(port, request, secured=lambda plain: plain):
    """Whether a fresh connection gets a 200; `secured` makes one with TLS of it."""
    try:
        with secured(socket.create_connection(("127.0.0.1", port), timeout=2)) as connection:
            connection.sendall(request)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def check_ports(ports):
    """Ends the script if a port that it needs is taken."""
    for port in ports:
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
