"""Chromium without a window, steered over a pipe: what a reader of a page clicks, types and sees."""

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """A page in the browser."""

    def __init__(self, send, receive):
        self._send, self._receive, self._number, self._session = send, receive, 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.errors = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """Call a method of the DevTools protocol, and return its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        self._send(message if self._session is None else message | {"sessionId": self._session})
        return self._until(lambda answer: answer.get("id") == number)["result"]

    def _until(self, is_it):
        while True:
            answer = self._receive()
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(answer["params"])
            if is_it(answer):
                assert "error" not in answer, answer
                return answer

    def open(self, path, width=1400, height=900):
        """Open a file in a window of so many pixels, and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=path.as_uri())
        self._until(lambda answer: answer.get("method") == "Page.loadEventFired")

    def see(self, expression):
        """Return the value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression):
        """Wait until an expression is true, and return its value."""
        for _ in range(200):
            if value := self.see(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression} stays {value!r}")

    def click(self, selector):
        """Click into the middle of an element."""
        x, y = self.see(
            f"(e => (e.scrollIntoView({{block: 'center', inline: 'center'}}), e = e.getBoundingClientRect(),"
            f" [e.x + e.width / 2, e.y + e.height / 2]))(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key, code=0):
        """Press a key, such as Tab or Enter."""
        text = {"Enter": "\r"}.get(key)
        more = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)


@contextmanager
def browser(folder):
    """Start Chromium with a profile in a folder, and yield a ``Tab``; skips where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from_us, to_us = os.pipe(), os.pipe()

    def take_pipes():  # the protocol's pipes are 3 and 4
        os.dup2(os.dup(from_us[0]), 3)
        os.dup2(os.dup(to_us[1]), 4)

    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    command += [f"--user-data-dir={folder}", "--no-first-run", "--disable-dev-shm-usage"]
    process = subprocess.Popen(
        command, preexec_fn=take_pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    buffer = b""

    def send(message):
        os.write(from_us[1], json.dumps(message).encode() + b"\0")

    def receive():
        nonlocal buffer
        while b"\0" not in buffer:
            part = os.read(to_us[0], 1 << 16)
            assert part, "Chromium has ended"
            buffer += part
        message, _, buffer = buffer.partition(b"\0")
        return json.loads(message)

    os.close(from_us[0])
    os.close(to_us[1])
    try:
        yield Tab(send, receive)
    finally:
        process.kill()
        process.wait()
        os.close(from_us[1])
        os.close(to_us[0])
