"""One tab of a real Chromium, driven through its own chromedriver, so that no package is needed."""

import base64
import json
import re
import shutil
import subprocess
import unittest
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One tab, through the WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        options = {"args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{session['sessionId']}"

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def resize(self, width: int, height: int = 844, dark: bool = False) -> None:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", screen)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def devtools(self, command: str, parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, address: str) -> None:
        self._call("POST", "/url", {"url": address})

    def run(self, script: str) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        query = {"using": "css selector", "value": selector}
        (identity,) = self._call("POST", "/element", query).values()
        self._call("POST", f"/element/{identity}/click", {})

    def mouse(self, kind: str, x: float, y: float, **more: float) -> None:
        """Send ``Moved``, ``Pressed``, ``Released`` or ``Wheel`` at a place of the window."""
        event = {"type": f"mouse{kind}", "x": x, "y": y, "clickCount": 1, **more}
        held = "none" if kind in ("Moved", "Wheel") else "left"
        self.devtools("Input.dispatchMouseEvent", {"button": held, **event})

    def tap(self, x: float, y: float) -> None:
        for kind in ("Moved", "Pressed", "Released"):
            self.mouse(kind, x, y)

    def drag(self, x: float, y: float, to_x: float, to_y: float) -> None:
        self.mouse("Moved", x, y)
        self.mouse("Pressed", x, y)
        for part in (0.3, 0.6, 1.0):
            self.mouse("Moved", x + part * (to_x - x), y + part * (to_y - y), buttons=1)
        self.mouse("Released", to_x, to_y)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def log(self) -> list[Any]:
        entries: list[Any] = self._call("POST", "/se/log", {"type": "browser"})
        return entries

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it.

    Raises unittest.SkipTest, at which pytest skips the test, where there is none.
    """
    driver = shutil.which("chromedriver")
    if driver is None:
        raise unittest.SkipTest("no chromedriver: install the packages chromium, chromium-driver")
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            # It names the port once it listens on it.
            started = (re.search(r"successfully on port (\d+)", line) for line in process.stdout)
            browser = Browser(int(next(found for found in started if found)[1]), profile)
            try:
                yield browser
            finally:
                browser.close()  # Chromium does not end with its driver
        finally:
            process.terminate()
