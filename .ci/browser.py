"""Reads reports in a real browser: `python3 .ci/browser.py REPORT.html... [--shots DIR]`.

Needs Chromium and its driver (Debian: chromium, chromium-driver) and nothing else: it speaks the WebDriver protocol with
Python's own library. Of every report, at the width of a phone and of a desk, light and dark: nothing is written to the
console, nothing is asked of any place, every figure is there and not empty or says why not, nothing is wider than the
page, words of pictures lie inside of them and do not cover each other, and the page prints.
"""

import argparse, base64, json, os, pathlib, shutil, socket, subprocess, sys, tempfile, time, urllib.request

FIGURES = ["pareto", "channels", "similarity", "gates", "curves", "confusion", "graph", "time"]
WIDTHS = {"phone": 360, "desk": 1280}

# What is wrong on the page as it is now, in words.
LOOK = r"""
const wrong = [];
const root = document.documentElement;
if (root.scrollWidth > window.innerWidth)
  wrong.push(`the page is ${root.scrollWidth} wide in a window of ${window.innerWidth}`);
for (const name of arguments[0]) {
  const section = document.getElementById(name);
  if (!section) { wrong.push(`${name}: no section`); continue; }
  const pictures = [...section.querySelectorAll('svg.figure')];
  const absent = section.querySelector('.absent');
  if (absent) {
    if (absent.textContent.trim().length < 20) wrong.push(`${name}: absent without a reason`);
    if (pictures.length) wrong.push(`${name}: absent, yet drawn`);
    continue;
  }
  if (!pictures.length) wrong.push(`${name}: no picture`);
  if (!section.querySelector('a[download][href^="data:text/csv"]')) wrong.push(`${name}: no CSV`);
  pictures.forEach((picture, at) => {
    const where = `${name} ${at + 1}`;
    const box = picture.getBoundingClientRect();
    if (!box.width) return;  // folded away
    if (box.height < 40) wrong.push(`${where}: ${box.height} high`);
    if (picture.querySelectorAll('rect, path, circle, polyline').length < 2) wrong.push(`${where}: empty`);
    const words = [...picture.querySelectorAll('text')].filter(text => text.textContent.trim());
    if (words.length < 3) wrong.push(`${where}: ${words.length} words`);
    const boxes = words.map(text => [text.textContent, text.getBoundingClientRect()]);
    for (const [text, word] of boxes)
      if (word.left < box.left - 1 || word.right > box.right + 1 || word.top < box.top - 1 || word.bottom > box.bottom + 1)
        wrong.push(`${where}: "${text}" leaves the picture`);
    for (let a = 0; a < boxes.length; a++)
      for (let b = 0; b < a; b++) {
        const [p, q] = [boxes[a][1], boxes[b][1]];
        const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        // Boxes of letters have some room above and below, so lines may come near.
        if (across > 1 && down > 0.35 * Math.min(p.height, q.height))
          wrong.push(`${where}: "${boxes[a][0]}" covers "${boxes[b][0]}"`);
      }
  });
}
return wrong;
"""

GROUND = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
UNFOLD = "document.querySelectorAll('details').forEach(details => details.open = true)"


class Browser:
    """A Chromium of its own, that ends with the program."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        driver = shutil.which("chromedriver") or "/usr/lib/chromium/chromedriver"
        self.driver = subprocess.Popen([driver, f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     f"--user-data-dir={folder}"]
        options = {"args": arguments, "binary": shutil.which("chromium") or shutil.which("chromium-browser")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        for _ in range(100):
            try:
                self.session = self.ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
                return
            except (ConnectionError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    raise SystemExit(error.read().decode())
                time.sleep(0.1)
        raise SystemExit("the browser's driver does not answer")

    def ask(self, method, path, body=None):
        session = f"/{self.session}" if hasattr(self, "session") else ""
        address = f"http://127.0.0.1:{self.port}/session{session}{path}"
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def tell(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page):
        self.ask("POST", "/url", {"url": page.resolve().as_uri()})
        # On a busy machine the driver may answer while the page is still being parsed.
        while self.run("return document.readyState") != "complete":
            time.sleep(0.05)

    def logged(self, kind):
        return self.ask("POST", "/se/log", {"type": kind})

    def close(self):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)


def look(browser, report, shots):
    wrong = []
    browser.logged("performance")
    for width_name, width in WIDTHS.items():
        for scheme in ["light", "dark"]:
            browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.open(report)
            where = f"{report.name}, {width_name}, {scheme}"
            wrong += [f"{where}: {words}" for words in browser.run(LOOK, FIGURES)]
            bright = sum(browser.run(GROUND)[:3]) > 3 * 128
            if bright != (scheme == "light"):
                wrong.append(f"{where}: the ground is {'bright' if bright else 'dark'}")
            if shots:
                height = browser.run("return document.documentElement.scrollHeight")
                browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=min(height, 16000), deviceScaleFactor=1, mobile=False)
                shot = browser.tell("Page.captureScreenshot", format="png")["data"]
                (shots / f"{report.stem}-{width_name}-{scheme}.png").write_bytes(base64.b64decode(shot))
            # What is folded away must not be wider than the page either.
            browser.run(UNFOLD)
            wrong += [f"{where}, unfolded: {words}" for words in browser.run(LOOK, FIGURES)]
    printed = base64.b64decode(browser.ask("POST", "/print", {"background": True}))
    if not printed.startswith(b"%PDF") or len(printed) < 10_000:
        wrong.append(f"{report.name}: it prints as {len(printed)} bytes")
    if shots:
        (shots / f"{report.stem}.pdf").write_bytes(printed)
    wrong += [f"{report.name}, console: {entry['message']}" for entry in browser.logged("browser")]
    for entry in browser.logged("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = message["params"]
            address, page = asked["request"]["url"], asked["documentURL"]
            # The browser's own pages ask for what they like.
            if page == report.resolve().as_uri() != address and not address.startswith("data:"):
                wrong.append(f"{report.name}: asks for {address}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", nargs="+", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path, help="keep pictures of the pages here")
    options = parser.parse_args()
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder)
        try:
            wrong = [words for report in options.reports for words in look(browser, report, options.shots)]
        finally:
            browser.close()
    print("\n".join(wrong) or f"{len(options.reports)} reports look as they should, in {len(WIDTHS)} widths, light and dark")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
