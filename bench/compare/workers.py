"""What a second worker costs: the same work by one process with two workers, and by two processes with one each."""

import os

from figure import Figure, Target
from load import wrk
from peers import LOAD_CORE, PORTS, PROXY_CORE
from processes import Failure, Running
from rounds import fill, play

CORES = {PROXY_CORE, LOAD_CORE}
# A process with less of the CPU time than this took no part.
IDLE = 0.2


def workers(bench):
    """CPU per request of both, in the same places: client and endpoint are on both cores too, so only sharing within the process differs."""
    names = ["two workers", "two processes"]
    spent = Figure("CPU per request, two workers, 64 connections", "µs", [Target(1.03, "two processes")], names=names)
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    origin, running = bench.peers.start_origin(cores=CORES), {}
    try:
        running = {"two workers": [bench.peers.start("two workers", cores=CORES)], "two processes": pair(bench.peers)}

        def one(name, number):
            before = [process.cpu() for process in running[name]]
            requests, _ = wrk(PORTS[name], 64, bench.seconds if number else 1)
            spent = [process.cpu() - ago for process, ago in zip(running[name], before)]
            if min(spent) < IDLE * sum(spent):
                raise Failure("one of two processes got next to nothing of the load")
            return (sum(spent) / 1000 / requests,)

        kept, _, failed = play(spent.title, names, one, bench.rounds)
        spent.values |= failed
    except Failure as failure:
        kept, spent.values = [], dict.fromkeys(names, str(failure))
    finally:
        for process in [origin, *sum(running.values(), [])]:
            process.end()
        os.sched_setaffinity(0, here)
    fill(spent, kept, 0)
    spent.note = f"{len(kept)} rounds of {bench.seconds} s"
    return [spent]


def pair(peers):
    """Two processes on a core each, which listen on one port; the kernel spreads connections over them as over two workers."""
    first = peers.start("two processes", cores={PROXY_CORE})
    return [first, Running(peers.command("two processes"), {LOAD_CORE}, [])]
