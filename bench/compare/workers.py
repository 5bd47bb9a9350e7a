"""What a second worker costs: the same work by one process with two workers, and by two processes with one each."""

import os
from concurrent.futures import ThreadPoolExecutor

from figure import Figure, Target
from load import wrk
from peers import LOAD_CORE, PORTS, PROXY_CORE
from processes import Failure
from rounds import fill, play

# Which processes are asked, on which cores they are, and by which two clients' ports they are reached.
SIDES = {
    "two workers": {"two workers": {PROXY_CORE, LOAD_CORE}},
    "two processes": {"one of two": {PROXY_CORE}, "other of two": {LOAD_CORE}},
}
CONNECTIONS = 32


def workers(bench):
    """CPU per request of both, in the same places: clients and endpoint are on both cores too, so only sharing within the process differs."""
    title = f"CPU per request, two workers, 2 × {CONNECTIONS} connections"
    spent = Figure(title, "µs", [Target(1.03, "two processes")], names=list(SIDES))
    here, both = os.sched_getaffinity(0), {PROXY_CORE, LOAD_CORE}
    os.sched_setaffinity(0, both)
    running = {}

    def one(name, number):
        ports = [PORTS[process] for process in SIDES[name]]
        before = [process.cpu() for process in running[name]]
        with ThreadPoolExecutor() as clients:
            asked = list(clients.map(lambda port: wrk(port, CONNECTIONS, bench.seconds if number else 1), [ports[0], ports[-1]]))
        cpu = sum(process.cpu() - ago for process, ago in zip(running[name], before))
        return (cpu / 1000 / sum(requests for requests, _ in asked),)

    origin, kept, failed = bench.peers.start_origin(cores=both), [], {}
    try:
        for name, processes in SIDES.items():
            running[name] = [bench.peers.start(process, cores=cores) for process, cores in processes.items()]
        kept, _, failed = play(title, SIDES, one, bench.rounds)
    except Failure as failure:
        failed = dict.fromkeys(SIDES, str(failure))
    finally:
        for process in [origin, *sum(running.values(), [])]:
            process.end()
        os.sched_setaffinity(0, here)
    fill([spent], kept, failed)
    spent.note = f"{len(kept)} rounds of {bench.seconds} s"
    return [spent]
