# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium over its DevTools protocol, as little as the tests need."""
import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile

import websockets


def find():
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Browser:
    """async with Browser(*flags) as b: page = await b.page(url, width, height)"""

    def __init__(self, *flags):
        self.flags = flags
        self.next_id = 0
        self.waiting = {}
        self.log = []  # what the pages' consoles said, errors included

    async def __aenter__(self):
        self.home = tempfile.mkdtemp(prefix="lvx-browser-")
        self.process = await asyncio.create_subprocess_exec(
            find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
            "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={self.home}", *self.flags, "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        while True:
            line = (await asyncio.wait_for(self.process.stderr.readline(), 120)).decode()
            if not line:
                raise RuntimeError("the browser did not start")
            if "DevTools listening on " in line:
                break
        self.drain = asyncio.create_task(self.process.stderr.read())
        self.ws = await websockets.connect(line.split("listening on ")[1].strip(), max_size=None)
        self.reader = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_):
        await self.ws.close()
        self.reader.cancel()
        self.process.terminate()
        await self.process.wait()
        await self.drain
        shutil.rmtree(self.home, ignore_errors=True)

    async def read(self):
        async for text in self.ws:
            m = json.loads(text)
            if "id" in m:
                self.waiting.pop(m["id"]).set_result(m)
            elif m["method"] == "Runtime.consoleAPICalled":
                self.log.append((m["params"]["type"], " ".join(str(a.get("value", a.get("description")))
                                                               for a in m["params"]["args"])))
            elif m["method"] == "Runtime.exceptionThrown":
                d = m["params"]["exceptionDetails"]
                self.log.append(("exception", d.get("exception", {}).get("description", d["text"])))
            elif m["method"] == "Log.entryAdded":
                e = m["params"]["entry"]
                self.log.append((e["level"], f"{e['text']} {e.get('url', '')}"))

    async def call(self, method, session=None, **params):
        self.next_id += 1
        future = self.waiting[self.next_id] = asyncio.get_running_loop().create_future()
        message = {"id": self.next_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        await self.ws.send(json.dumps(message))
        reply = await asyncio.wait_for(future, 120)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    async def page(self, url, width=1280, height=720):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(self, session)
        for domain in ("Runtime", "Log", "Page"):
            await page.call(domain + ".enable")
        await page.resize(width, height)
        await page.call("Page.navigate", url=url)
        return page


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    async def call(self, method, **params):
        return await self.browser.call(method, self.session, **params)

    async def resize(self, width, height, mobile=False):
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=mobile)

    async def js(self, expression):
        """The value of an expression; a promise is awaited."""
        r = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
                            userGesture=True)
        if "exceptionDetails" in r:
            raise RuntimeError(r["exceptionDetails"].get("exception", {}).get("description", "script failed"))
        return r["result"].get("value")

    async def until(self, expression, seconds=90):
        """Waits for an expression to be true, and gives its value."""
        for _ in range(int(seconds * 5)):
            with contextlib.suppress(RuntimeError):  # not yet there to be asked
                value = await self.js(expression)
                if value:
                    return value
            await asyncio.sleep(0.2)
        raise TimeoutError(f"never true: {expression}; the console said {self.browser.log[-5:]}")

    async def screenshot(self, path):
        data = (await self.call("Page.captureScreenshot", format="png"))["data"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
