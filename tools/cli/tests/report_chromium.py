#!/usr/bin/env python3
"""Opens a report in headless Chromium, without a network, and checks what a reader would see.

    rkllm compare MODEL --report out.html --json > out.json
    report_chromium.py out.html out.json --screenshots DIR

Needs Debian's `chromium` and `chromium-driver`, and Python's standard library. At 1280 and 360 pixels, light
and dark, and on paper it checks that nothing is loaded but the file, that the console is silent, that no script
runs, that the page does not scroll sideways, that every chart has a size and its texts neither overlap nor leave
it, that the table has a row for every scheme, and that every text contrasts with what is behind it.
"""

import argparse
import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from html.parser import HTMLParser

ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
VIEWS = [(1280, 900), (360, 740)]
SCHEMES = ["light", "dark"]
VOID = {"meta", "br", "link", "img", "hr", "input", "base", "col", "wbr", "source", "area", "embed", "track"}

# Everything below runs in the page and returns a list of complaints.
CHECKS = r"""
const wide = arguments[0], schemes = arguments[1], bad = [];
const scrolls = document.scrollingElement;
if (scrolls.scrollWidth > window.innerWidth)
  bad.push(`the page is ${scrolls.scrollWidth} wide in a window of ${window.innerWidth}`);
const rows = document.querySelectorAll('table.schemes tbody tr');
if (rows.length !== schemes) bad.push(`${rows.length} rows for ${schemes} schemes`);
for (const table of document.querySelectorAll('table')) {
  if (!table.caption) bad.push('a table without a caption');
  for (const th of table.querySelectorAll('th'))
    if (!th.scope) bad.push(`a heading without scope: ${th.textContent}`);
  if (!table.closest('.scroll')) bad.push('a table that cannot scroll by itself');
}
let level = 0;
for (const heading of document.querySelectorAll('h1,h2,h3,h4')) {
  const own = +heading.tagName[1];
  if (own > level + 1) bad.push(`heading ${own} after ${level}: ${heading.textContent}`);
  level = own;
}
if (document.querySelectorAll('h1').length !== 1) bad.push('not one h1');
if (document.documentElement.lang !== 'en') bad.push('no language');
if (document.scripts.length) bad.push('there is a script');

const shown = element => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
const charts = [...document.querySelectorAll('svg')].filter(shown);
if (charts.length * 2 !== document.querySelectorAll('svg').length)
  bad.push(`${charts.length} charts are shown`);
for (const chart of charts) {
  const box = chart.getBoundingClientRect(), view = chart.viewBox.baseVal;
  const name = chart.querySelector('title')?.textContent;
  if (!name || !chart.querySelector('desc')?.textContent) bad.push('a chart without title and desc');
  if (box.width < 50 || box.height < 50) bad.push(`${name}: ${box.width} x ${box.height}`);
  const texts = [...chart.querySelectorAll('text')].map(text => ({ said: text.textContent, box: text.getBBox() }));
  if (!texts.length) bad.push(`${name}: no text`);
  for (const { said, box: b } of texts) {
    if (b.width <= 0 || b.height <= 0) bad.push(`${name}: no box of "${said}"`);
    if (b.x < view.x - 0.5 || b.y < view.y - 0.5 || b.x + b.width > view.x + view.width + 0.5
        || b.y + b.height > view.y + view.height + 0.5) bad.push(`${name}: "${said}" leaves the chart`);
  }
  for (let i = 0; i < texts.length; i++) for (let j = 0; j < i; j++) {
    const a = texts[i].box, b = texts[j].box;
    const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
    const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
    if (across > 0.5 && down > 1) bad.push(`${name}: "${texts[i].said}" over "${texts[j].said}"`);
  }
  const scale = box.width / view.width;
  for (const text of chart.querySelectorAll('text')) {
    const size = parseFloat(getComputedStyle(text).fontSize) * scale;
    if (size < 10) bad.push(`${name}: text of ${size.toFixed(1)} px`);
  }
}

const numbers = color => color.match(/[\d.]+/g).map(Number);
const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = numbers(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
    if (color[3] > 0) bad.push(`a translucent background: ${e.className}`);
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const low = new Map();
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || element.closest('title,desc,style') || !shown(element)) continue;
  const style = getComputedStyle(element);
  const ink = numbers(element.closest('svg') ? style.fill : style.color);
  const pair = [light(ink), light(behind(element))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) low.set(`${element.tagName}.${element.getAttribute('class')}`, ratio.toFixed(2));
}
for (const [what, ratio] of low) bad.push(`contrast ${ratio} of ${what}`);

for (const element of document.querySelectorAll('h1,h2,h3,p,dt,dd,figcaption,caption,svg')) {
  const b = element.getBoundingClientRect();
  if (shown(element) && !element.closest('.scroll') && b.right > window.innerWidth + 0.5)
    bad.push(`${element.tagName} ends at ${b.right} of ${window.innerWidth}: ${element.textContent.slice(0, 40)}`);
}
return bad;
"""


class Driver:
    """The few words of WebDriver that are needed."""

    def __init__(self, profile, binary):
        program = shutil.which("chromedriver") or sys.exit("chromedriver is not installed (apt: chromium-driver)")
        self.process = subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, text=True)
        port = None
        for line in self.process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                port = found[1]
                break
        self.url = f"http://127.0.0.1:{port}/session"
        options = {"args": [*ARGUMENTS, f"--user-data-dir={profile}"], "binary": binary}
        always = {
            "browserName": "chrome",
            "goog:chromeOptions": {**options, "perfLoggingPrefs": {"enableNetwork": True}},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self.call("", {"capabilities": {"alwaysMatch": always}})
        self.url += "/" + session["sessionId"]

    def call(self, path, body=None, method="POST"):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as reply:
            return json.load(reply)["value"]

    def cdp(self, command, **parameters):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def log(self, kind):
        return self.call("/se/log", {"type": kind})

    def close(self):
        try:
            self.call("", method="DELETE")
        finally:
            self.process.terminate()
            self.process.wait()


class Structure(HTMLParser):
    """Whether every element is closed in its turn, and every id is there once."""

    def __init__(self):
        super().__init__()
        self.open, self.bad, self.ids = [], [], set()

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.bad.append(f"an attribute twice in <{tag}>")
        for name, value in attributes:
            if name == "id":
                if value in self.ids:
                    self.bad.append(f"the id {value} twice")
                self.ids.add(value)
            if name.startswith("on") or name in ("src", "href", "action", "xlink:href"):
                self.bad.append(f"<{tag} {name}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()
            if tag not in {"line", "rect", "circle", "path"}:
                self.bad.append(f"<{tag}/> is not closed in HTML")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"</{tag}> at {self.getpos()}")

    def complaints(self, text):
        self.feed(text)
        self.close()
        return self.bad + [f"<{tag}> is never closed" for tag in self.open]


def look(driver, page, schemes, folder, width, height, scheme):
    """Complaints about one view; pictures of its sections go to the folder."""
    driver.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
               mobile=width < 600)
    driver.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    driver.call("/url", {"url": page.as_uri()})
    bad = driver.call("/execute/sync", {"script": CHECKS, "args": [width, schemes]})
    ground = driver.call("/execute/sync", {
        "script": "return getComputedStyle(document.body).backgroundColor", "args": []})
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 300
    if dark != (scheme == "dark"):
        bad.append(f"the paper is {ground} in the {scheme} scheme")
    places = driver.call("/execute/sync", {"args": [], "script": """
        const place = element => { const b = element.getBoundingClientRect(); return [b.top + scrollY, b.height]; };
        return [['header', ...place(document.querySelector('header'))],
          ...[...document.querySelectorAll('section')].map(s => [s.querySelector('h2').id, ...place(s)])];"""})
    for name, top, tall in places:
        clip = dict(x=0, y=max(top - 30, 0), width=width, height=min(tall + 60, 2400), scale=1)
        picture = driver.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        (folder / f"{width}-{scheme}-{name}.png").write_bytes(base64.b64decode(picture["data"]))
    return bad


def on_paper(driver, folder):
    """Prints to PDF, from the dark scheme, and counts the pages."""
    bad = []
    pdf = driver.call("/print", {"page": {"width": 21.0, "height": 29.7}, "background": True})
    data = base64.b64decode(pdf)
    (folder / "print.pdf").write_bytes(data)
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    if not data.startswith(b"%PDF") or not 1 <= pages <= 40:
        bad.append(f"print: {pages} pages")
    driver.cdp("Emulation.setDeviceMetricsOverride", width=688, height=1000, deviceScaleFactor=1, mobile=False)
    driver.cdp("Emulation.setEmulatedMedia", media="print",
               features=[{"name": "prefers-color-scheme", "value": "dark"}])
    bad += driver.call("/execute/sync", {
        "script": """const bad = [];
            const paper = getComputedStyle(document.body).backgroundColor;
            if (paper !== 'rgb(255, 255, 255)') bad.push(`print: the paper is ${paper}`);
            for (const table of document.querySelectorAll('table')) {
              const { right } = table.getBoundingClientRect();
              if (right > innerWidth + 1) bad.push(`print: ${table.className} is cut at ${right} of ${innerWidth}`);
            }
            return bad;""",
        "args": []})
    driver.cdp("Emulation.setEmulatedMedia", media="")
    return bad, pages


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("json", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path, default=None)
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    options = parser.parse_args()
    page = options.report.resolve()
    schemes = len(json.loads(options.json.read_text())["rows"])
    problems = [f"markup: {bad}" for bad in Structure().complaints(page.read_text(encoding="utf-8"))]
    with tempfile.TemporaryDirectory(prefix="rkllm-chromium-") as scratch:
        folder = options.screenshots or pathlib.Path(scratch, "pictures")
        folder.mkdir(parents=True, exist_ok=True)
        driver = Driver(pathlib.Path(scratch, "profile"), options.chromium)
        try:
            # What the browser loads for itself at its start is not the page's.
            driver.call("/url", {"url": "about:blank"})
            driver.log("performance")
            driver.cdp("Network.enable")
            driver.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0,
                       uploadThroughput=0)
            for width, height in VIEWS:
                for scheme in SCHEMES:
                    found = look(driver, page, schemes, folder, width, height, scheme)
                    problems += [f"{width} {scheme}: {bad}" for bad in found]
            found, pages = on_paper(driver, folder)
            problems += found
            problems += [f"console: {entry['message']}" for entry in driver.log("browser")]
            asked = [json.loads(entry["message"])["message"] for entry in driver.log("performance")]
            urls = {event["params"]["request"]["url"] for event in asked
                    if event["method"] == "Network.requestWillBeSent"}
            if urls != {page.as_uri()}:
                problems.append(f"requests: {sorted(urls)}")
        finally:
            driver.close()
    if problems:
        sys.exit("\n".join(problems))
    print(f"{page.name}: {schemes} schemes, {len(VIEWS) * len(SCHEMES)} views, {pages} printed pages: all well")


if __name__ == "__main__":
    main()
