"""Who is compared, and how each one is started."""

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from install import PROJECT, WHEELS
from processes import Running

HERE = Path(__file__).resolve().parent
CONFIGS = HERE / "configs"
REQUEST = (HERE / "request.http").read_bytes()
assert len(REQUEST) == 389, "request.http must be 389 bytes, as in every comparison before"

PROXY_CORE, LOAD_CORE = 0, 1
ORIGIN_PORTS = [19101, 19102, 19103]
# Bytes of the endpoint's answer, where nothing else is said.
BODY = 1024


@dataclass(frozen=True)
class Peer:
    """A program with a config; `edits` are texts of the config and what stands in their place."""

    program: str
    port: int
    config: str = ""
    edits: dict = field(default_factory=dict)


def ringway(port, **runtime):
    """Ringway with other settings of `runtime` than its config has."""
    settings = {"workers": 1} | runtime
    return Peer("ringway", port, "ringway.json", {"19201": str(port), '"workers": 1': ", ".join(f'"{name}": {value}' for name, value in settings.items())})


def on_unix(peer, port, old, new):
    """A peer whose endpoints listen on Unix sockets; `old` is an endpoint's address in its config."""
    own = {str(peer.port): str(port)}
    return Peer(peer.program, port, peer.config, own | {old.format(tcp): new.format(f"{{directory}}/{tcp}") for tcp in ORIGIN_PORTS})


PEERS = {
    "ringway": Peer("ringway", 19201, "ringway.json"),
    "nginx": Peer("nginx", 19202, "nginx.conf"),
    "HAProxy": Peer("haproxy", 19203, "haproxy.cfg"),
    "Envoy": Peer("envoy", 19210, "envoy.yaml"),
    "Caddy": Peer("caddy", 19211, "Caddyfile"),
    "relay": Peer("relay", 19204),
    "all on": Peer("ringway", 19205, "ringway-all-on.json"),
    "all off": Peer("ringway", 19206, "ringway-all-off.json"),
    "hit": Peer("ringway", 19207, "ringway-cache.json"),
    "nginx hit": Peer("nginx", 19208, "nginx-cache.conf"),
    "Varnish hit": Peer("varnishd", 19209, "varnish.vcl"),
    "io_uring": ringway(19212, driver='"io_uring"'),
    "epoll": ringway(19213, driver='"epoll"'),
    "two workers": ringway(19214, workers=2),
    "one of two": ringway(19215),
    "other of two": ringway(19219),
}
PEERS |= {
    "Unix": on_unix(PEERS["ringway"], 19216, "http://127.0.0.1:{}", "unix:{}"),
    "nginx Unix": on_unix(PEERS["nginx"], 19217, "127.0.0.1:{};", "unix:{};"),
    "HAProxy Unix": on_unix(PEERS["HAProxy"], 19218, "127.0.0.1:{}", "unix@{}"),
}
PORTS = {name: peer.port for name, peer in PEERS.items()}

# What Varnish would otherwise write into its log in memory for each request.
QUIET = "Begin End Link SessOpen SessClose ReqStart ReqMethod ReqURL ReqProtocol ReqHeader ReqUnset ReqAcct Timestamp".split()
QUIET += "RespProtocol RespStatus RespReason RespHeader RespUnset VCL_call VCL_return Hit HitMiss Storage".split()


class Peers:
    """The built programs and the directory they run in."""

    def __init__(self, profile, gateway=None):
        target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / ("debug" if profile == "dev" else profile)
        self.gateway = Path(gateway) if gateway else target / "ringway"
        self.ringload = target / "ringload"
        self.relay = target / "examples" / "relay"
        self.origin = target / "examples" / "origin"
        self.directory = Path(tempfile.mkdtemp(prefix="ringway-bench-"))
        # nginx's worker, of another user, connects to the Unix sockets in it.
        self.directory.chmod(0o755)
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)

    def command(self, name, config=None, one_process=False, reloads=False):
        """The command line of a proxy, with its own config or the one named; `one_process` is without a master, `reloads` with one."""
        peer = PEERS[name]
        config = config or self.config(peer)
        match peer.program:
            case "ringway":
                return [self.gateway, "run", "-c", config]
            case "nginx":
                single = ["-g", "master_process off;"] if one_process else []
                return ["nginx", "-p", self.directory, "-e", "stderr", "-c", config, *single]
            case "haproxy":
                return ["haproxy", "-W" if reloads else "-db", "-f", config]
            case "envoy":
                # One thread for requests, and nothing shared with an Envoy before or after it.
                options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--drain-time-s", "1"]
                return [WHEELS["envoy"][1], "-c", config, *options]
            case "caddy":
                # One thread for requests; whatever it would keep goes into our directory.
                settings = ["GOMAXPROCS=1", *(f"{home}={self.directory}" for home in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"))]
                return ["env", *settings, WHEELS["caddy"][1], "run", "--adapter", "caddyfile", "--config", config]
            case "varnishd":
                # One pool of threads, nothing logged, no other user and no management port.
                options = ["-j", "none", "-n", self.directory / "varnish", "-s", "malloc,64m", "-T", "none", "-t", "3600"]
                options += ["-p", "thread_pools=1", "-p", "thread_pool_min=20", "-p", "vsl_mask=" + ",".join(f"-{tag}" for tag in QUIET)]
                return ["varnishd", "-F", "-a", f"127.0.0.1:{peer.port}", "-f", config, *options]
            case "relay":
                return [self.relay, str(peer.port), *map(str, ORIGIN_PORTS)]

    def config(self, peer):
        """The file of a peer's config, edited if it has edits."""
        original = CONFIGS / peer.config
        if not peer.edits:
            return original
        text = original.read_text()
        for old, new in peer.edits.items():
            assert old in text, f"{peer.config} has no {old!r} to put something else in its place"
            text = text.replace(old, new.replace("{directory}", str(self.directory)))
        edited = self.directory / f"{peer.port}-{peer.config}"
        edited.write_text(text)
        return edited

    def start_origin(self, body=BODY, upload=0, unix=False, cores=frozenset({LOAD_CORE})):
        """Starts the endpoint: with answers of so many bytes, for POSTs of so many, and on Unix sockets as well."""
        sockets = [self.directory / str(port) for port in ORIGIN_PORTS] if unix else []
        for path in sockets:
            path.unlink(missing_ok=True)
        origin = Running([self.origin, body, upload, *ORIGIN_PORTS, *sockets], cores, ORIGIN_PORTS)
        origin.answers(ORIGIN_PORTS[0], "the origin", 5, REQUEST)
        for path in sockets:
            path.chmod(0o777)
        return origin

    def start(self, name, seconds=10, prefix=(), request=REQUEST, cores=frozenset({PROXY_CORE}), **options):
        """Starts a proxy on its core and waits until it passes a request on."""
        running = Running([*prefix, *self.command(name, **options)], cores, [PORTS[name]])
        running.answers(PORTS[name], name, seconds, request)
        return running
