"""Who may talk to the label page: this machine, the page itself, and who brings the token."""

import getpass
import hmac
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.platform.asyncio import BaseAsyncIOLoop
from tornado.web import RequestHandler

from cryofix.errors import CryofixError

HOST = "127.0.0.1"
REFUSED = "Open the address that `cryofix label` printed last in its terminal, on the same port."
ENTERED = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>cryofix</title>'


class _Refusal(RequestHandler):
    def prepare(self) -> None:
        self.set_status(403)
        self.finish(REFUSED)


class _Entrance(RequestHandler):
    """Changes the token, which is good for once, for a cookie, which a browser keeps."""

    def get(self) -> None:
        guarded = self.application
        assert isinstance(guarded, GuardedApplication)
        guarded.renew_token()
        # A script cannot read it, and pages of other sites cannot make a browser send it.
        self.set_cookie(guarded.cookie, guarded.secret, httponly=True, samesite="Strict")
        self.write(ENTERED)  # a redirect would not send the cookie if a page of another led here


class GuardedApplication(BokehTornado):
    """Bokeh's application behind one question to every request, its static files' too.

    Bokeh's own hooks leave ``autoload.js`` open, which hands out sessions.
    """

    def __init__(self, draw: Callable[[Document], None], port: int) -> None:
        self.hosts = (f"{HOST}:{port}", f"localhost:{port}")
        self.cookie = f"cryofix-label-{port}"  # cookies of 127.0.0.1 are shared by its ports
        self.secret = secrets.token_urlsafe(32)
        self.renew_token(told=False)
        super().__init__(
            draw,
            extra_websocket_origins=list(self.hosts),
            secret_key=secrets.token_bytes(32),
            sign_sessions=True,
            exclude_cookies=[self.cookie],
        )

    def renew_token(self, told: bool = True) -> None:
        """Make a token, and print the address with it."""
        self.token = secrets.token_urlsafe(24)
        if told:
            print(f"The page is open. To use another browser, open {self.address}", flush=True)

    @property
    def address(self) -> str:
        """With which a browser is let in, once."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Refuse a request of another page, by another name of this machine, or of a stranger."""
        given = parse_qs(request.query).get("token", [""])[0]
        if request.host not in self.hosts:  # a name on the web that leads here
            return self.get_handler_delegate(request, _Refusal)
        if request.method == "GET" and request.path == "/" and _same(given, self.token):
            return self.get_handler_delegate(request, _Entrance)
        origin = request.headers.get("Origin", f"http://{request.host}")
        asked_by = request.headers.get("Sec-Fetch-Site", "none")
        held = request.cookies.get(self.cookie)
        if (
            origin != f"http://{request.host}"
            or asked_by not in ("none", "same-origin")
            or held is None
            or not _same(held.value, self.secret)
        ):
            return self.get_handler_delegate(request, _Refusal)
        return super().find_handler(request, **kwargs)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def serve(draw: Callable[[Document], None], port: int | None) -> None:
    """Print the page's address and answer until somebody presses Ctrl-C.

    ``draw`` fills a document for each tab. Raises CryofixError when the port is taken.
    """
    try:
        sockets = bind_sockets(port or 0, HOST)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CryofixError(
            f"port={port} cannot be used ({reason}): give another, or null for a free one"
        ) from error
    port = int(sockets[0].getsockname()[1])
    application = GuardedApplication(draw, port)
    http = HTTPServer(application)
    http.add_sockets(sockets)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    try:
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        print(f"Open in a browser: {application.address}")
        print(f"From another machine, type there first: ssh -N -L {port}:{HOST}:{port} {who}")
        print("Each change is saved at once. Ctrl-C ends the command.", flush=True)
        if threading.current_thread() is threading.main_thread():
            # A KeyboardInterrupt that is raised in a destructor would be lost.
            loop = server.io_loop
            assert isinstance(loop, BaseAsyncIOLoop)  # Tornado has no others
            loop.asyncio_loop.add_signal_handler(signal.SIGINT, loop.stop)
        server.io_loop.start()
    finally:
        server.unlisten()
