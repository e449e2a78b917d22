"""Only the page itself, in a browser that came with the token, reads or writes a label."""

import asyncio
import http.client
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from cryofix.errors import CryofixError
from cryofix.labels.label_server import serve

KEY = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@dataclass
class Asked:
    status: int
    text: str
    headers: http.client.HTTPMessage


class Server:
    """The page's server on a thread; ``drawn`` counts the documents that were made."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.drawn, started = 0, threading.Event()

        def draw(document: object) -> None:
            self.drawn += 1

        def run() -> None:
            asyncio.set_event_loop(asyncio.new_event_loop())
            self.loop = IOLoop.current()
            self.loop.add_callback(started.set)
            serve(draw, None)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert started.wait(20)
        self.said = capsys.readouterr().out
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", self.said)
        assert found
        self.port, self.token = int(found[1]), found[2]

    def ask(self, path: str, method: str = "GET", **headers: str) -> Asked:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        body = b"" if answer.status == 101 else answer.read()
        connection.close()
        return Asked(answer.status, body.decode(), answer.headers)

    def enter(self) -> str:
        entered = self.ask(f"/?token={self.token}")
        assert entered.status == 200
        return str(entered.headers["Set-Cookie"])


@pytest.fixture
def server(capsys: pytest.CaptureFixture[str]) -> Iterator[Server]:
    made = Server(capsys)
    yield made
    made.loop.add_callback(made.loop.stop)
    made.thread.join(20)


PATHS = ("/", "/autoload.js?bokeh-autoload-element=1", "/metadata", "/ws", "/static/js/bokeh.js")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_nobody_is_answered_without_the_token(server: Server, path: str, method: str) -> None:
    for headers in ({}, {"Cookie": f"cryofix-label-{server.port}=guess"}):
        asked = server.ask(path, method, **headers, Origin=f"http://127.0.0.1:{server.port}")
        assert asked.status == 403
        assert "Access-Control-Allow-Origin" not in asked.headers
    assert server.drawn == 0


def test_the_token_lets_one_browser_in_and_the_next_gets_another(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    cookie = server.enter()
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert server.ask("/", Cookie=cookie.partition(";")[0]).status == 200
    assert server.drawn == 1
    assert server.ask(f"/?token={server.token}").status == 403
    assert f"http://127.0.0.1:{server.port}/?token=" in capsys.readouterr().out


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9"},  # another program of this machine
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},  # a name that leads to 127.0.0.1
    ],
)
@pytest.mark.parametrize("path", PATHS)
def test_other_pages_are_refused_with_the_cookie_too(
    server: Server, path: str, headers: dict[str, str]
) -> None:
    cookie = server.enter().partition(";")[0]
    assert server.ask(path, Cookie=cookie, **KEY, **headers).status == 403
    assert server.drawn == 0


@pytest.mark.parametrize(
    "path",
    [
        "/static/../label_server.py",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/extensions/../../etc/passwd",
        "/../labels/m0.csv",
        "/labels/m0.csv",
        "//etc/passwd",
    ],
)
def test_a_path_outside_leads_nowhere_with_the_cookie_too(server: Server, path: str) -> None:
    cookie = server.enter().partition(";")[0]
    assert server.ask(path, Cookie=cookie).status in (400, 403, 404)


def test_it_listens_on_this_machine_alone_and_says_how_to_reach_it(server: Server) -> None:
    port = f"{server.port:04X}"
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port}") and line.split()[3] == "0A"
    ]
    assert listening == [f"0100007F:{port}"]
    assert f"ssh -N -L {server.port}:127.0.0.1:{server.port} " in server.said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Tornado
def test_a_port_that_is_taken_is_a_sentence(server: Server) -> None:
    with pytest.raises(CryofixError, match=rf"port={server.port} cannot be used"):
        serve(lambda document: None, server.port)
