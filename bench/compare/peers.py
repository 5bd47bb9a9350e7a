"""Who is compared, and how each one is started."""

import atexit
import os
import shutil
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import h2load
from install import PROJECT, WHEELS
from processes import Running, answered_once

HERE = Path(__file__).resolve().parent
CONFIGS = HERE / "configs"
REQUEST = (HERE / "request.http").read_bytes()
assert len(REQUEST) == 389, "request.http must be 389 bytes, as in every comparison before"

PROXY_CORE, LOAD_CORE = 0, 1
ORIGIN_PORTS = [19101, 19102, 19103]
# Bytes of the endpoint's answer, where nothing else is said.
BODY = 1024
# The file with the message of a gRPC call: not compressed, its length, and so many bytes.
MESSAGE = "message"


@dataclass(frozen=True)
class Peer:
    """A program with a config; `edits` are texts of the config and what stands in their place, `speaks` is what it is asked by."""

    program: str
    port: int
    config: str = ""
    edits: dict = field(default_factory=dict)
    speaks: str = "HTTP/1.1"


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


def speaking(name, port, protocol, edits):
    """A peer that clients speak another protocol to."""
    peer = PEERS[name]
    return {f"{name} {protocol}": Peer(peer.program, port, peer.config, {str(peer.port): str(port)} | edits, protocol)}


NGINX_H2 = {"backlog=4096": "http2 backlog=4096"}
HAPROXY_H2 = {"backlog 4096": "proto h2 backlog 4096"}
ENVOY_H2 = {"codec_type: HTTP1": "codec_type: HTTP2"}
CADDY_H2 = {"protocols h1": "protocols h1 h2c"}
PEERS |= speaking("ringway", 19220, "h2", {})
PEERS |= speaking("nginx", 19221, "h2", NGINX_H2)
PEERS |= speaking("HAProxy", 19222, "h2", HAPROXY_H2)
PEERS |= speaking("Envoy", 19223, "h2", ENVOY_H2)
PEERS |= speaking("Caddy", 19224, "h2", CADDY_H2)

PEERS |= speaking("ringway", 19225, "gRPC", {'"health_check":': '"protocol": "h2", "health_check":'})
PEERS |= speaking("nginx", 19226, "gRPC", NGINX_H2 | {"proxy_pass http://app": "grpc_pass grpc://app", "proxy_set_header": "grpc_set_header"})
PEERS |= speaking("HAProxy", 19227, "gRPC", HAPROXY_H2 | {f"127.0.0.1:{port}": f"127.0.0.1:{port} proto h2" for port in ORIGIN_PORTS})
UPSTREAM = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ENVOY_UPSTREAM = f"""lb_policy: ROUND_ROBIN
    typed_extension_protocol_options:
      {UPSTREAM}: {{ "@type": type.googleapis.com/{UPSTREAM}, explicit_http_config: {{ http2_protocol_options: {{}} }} }}"""
ENVOY_PROBE = {"http_health_check: { path: /health }": "http_health_check: { path: /health, codec_client_type: HTTP2 }"}
PEERS |= speaking("Envoy", 19228, "gRPC", ENVOY_H2 | ENVOY_PROBE | {"lb_policy: ROUND_ROBIN": ENVOY_UPSTREAM})
CADDY_UPSTREAM = {f"127.0.0.1:{port}": f"h2c://127.0.0.1:{port}" for port in ORIGIN_PORTS} | {"versions 1.1": "versions h2c 2"}
PEERS |= speaking("Caddy", 19229, "gRPC", CADDY_H2 | CADDY_UPSTREAM)

# Kinds of keys, and the options of openssl that make one.
KEYS = {"ECDSA P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA 2048": ["rsa:2048"]}
for first, key in zip((19230, 19236), KEYS):
    file = "{directory}/" + key.replace(" ", "-")
    own = {"cert.pem": f"{file}.pem", "key.pem": f"{file}.key"}
    PEERS |= {
        f"ringway {key}": Peer("ringway", first, "ringway-tls.json", {"19204": str(first), "19201": str(first + 5)} | own, "TLS"),
        f"nginx {key}": Peer("nginx", first + 1, "nginx-tls.conf", {"19203": str(first + 1)} | own, "TLS"),
        f"HAProxy {key}": Peer("haproxy", first + 2, "haproxy.cfg", {"19203": f"{first + 2} ssl crt {file}.both ssl-min-ver TLSv1.2"}, "TLS"),
        f"Caddy {key}": Peer("caddy", first + 4, "Caddyfile", {"http://:19211 {": f"https://:{first + 4} {{\n\ttls {file}.pem {file}.key"}, "TLS"),
    }
    files = f"certificate_chain: {{ filename: {file}.pem }}, private_key: {{ filename: {file}.key }}"
    context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    socket = f"""    - transport_socket:
        name: tls
        typed_config: {{ "@type": {context}, common_tls_context: {{ tls_certificates: [{{ {files} }}] }} }}
      filters:"""
    PEERS[f"Envoy {key}"] = Peer("envoy", first + 3, "envoy.yaml", {"19210": str(first + 3), "    - filters:": socket}, "TLS")

UPGRADE = 'proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;'
PEERS["nginx WebSocket"] = Peer("nginx", 19242, "nginx.conf", {"19202": "19242", 'proxy_set_header Connection "";': UPGRADE})
UPGRADES = {"stat_prefix: public": "stat_prefix: public\n          upgrade_configs: [{ upgrade_type: websocket }]"}
PEERS["Envoy WebSocket"] = Peer("envoy", 19243, "envoy.yaml", {"19210": "19243"} | UPGRADES)
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
        self.scripted = target / "ringorigin"
        self.directory = Path(tempfile.mkdtemp(prefix="ringway-bench-"))
        # nginx's worker, of another user, connects to the Unix sockets in it.
        self.directory.chmod(0o755)
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
        (self.directory / MESSAGE).write_bytes(b"\0" + (64).to_bytes(4, "big") + bytes(64))

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

    def make_keys(self):
        """Certificates of the endpoint's own making, and their keys, by kind."""
        for key, options in KEYS.items():
            files = [self.directory / f"{key.replace(' ', '-')}.{kind}" for kind in ("pem", "key", "both")]
            command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            command += ["-newkey", *options, "-out", files[0], "-keyout", files[1]]
            subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
            files[2].write_bytes(files[0].read_bytes() + files[1].read_bytes())

    def start_origin(self, body=BODY, upload=0, unix=False, scripted=False, cores=frozenset({LOAD_CORE})):
        """Starts the endpoint: with answers of so many bytes, for POSTs of so many, and on Unix sockets as well; or the scripted one, which speaks
        HTTP/2 and sends back what calls and WebSockets bring."""
        if scripted:
            listens = [word for port in ORIGIN_PORTS for word in ("--listen", f"127.0.0.1:{port}")]
            origin = Running([self.scripted, "--quiet", *listens], cores, ORIGIN_PORTS)
            origin.answers("the endpoint", 5, lambda: answered_once(ORIGIN_PORTS[0], REQUEST))
            return origin
        sockets = [self.directory / str(port) for port in ORIGIN_PORTS] if unix else []
        for path in sockets:
            path.unlink(missing_ok=True)
        origin = Running([self.origin, body, upload, *ORIGIN_PORTS, *sockets], cores, ORIGIN_PORTS)
        origin.answers("the origin", 5, lambda: answered_once(ORIGIN_PORTS[0], REQUEST))
        for path in sockets:
            path.chmod(0o777)
        return origin

    def start(self, name, seconds=10, prefix=(), request=REQUEST, cores=frozenset({PROXY_CORE}), **options):
        """Starts a proxy on its core and waits until it passes a request on."""
        if PEERS[name].speaks == "TLS" and not list(self.directory.glob("*.both")):
            self.make_keys()
        running = Running([*prefix, *self.command(name, **options)], cores, [PORTS[name]])
        running.answers(name, seconds, lambda: self.is_answered(name, request))
        return running

    def is_answered(self, name, request):
        """Whether a fresh connection gets a good answer, by what the peer speaks."""
        match PEERS[name].speaks:
            case "h2":
                return h2load.answers(PORTS[name], request)
            case "gRPC":
                return h2load.answers(PORTS[name], request, self.directory / MESSAGE)
            case "TLS":
                anybody = ssl._create_unverified_context()
                return answered_once(PORTS[name], request, anybody.wrap_socket)
            case _:
                return answered_once(PORTS[name], request)
