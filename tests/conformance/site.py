"""A small web site: a sign-in page with style and script, redirects, errors, and links to where nobody may go."""

from __future__ import annotations

import gzip

from tests.conformance.wire import ConformantServer, Received, Reply

_HTML = {"Content-Type": "text/html; charset=utf-8"}
_PAGE = b"""<!doctype html><html lang="en"><title>Sign in</title><link rel="stylesheet" href="/site.css">
<main><h1>Sign in</h1><label>Email<input value="ada@example.org"></label><button>Sign in</button><p id="late"></p>
</main>
<script>
fetch('/welcome').then(r => r.text()).then(t => { late.textContent = t; });
for (const url of ['http://169.254.169.254/latest/', 'http://127.0.0.1:1/', 'file:///etc/passwd'])
  fetch(url).then(() => { document.title = 'leak'; }).catch(() => {});
new WebSocket('ws://127.0.0.1:1/').onopen = () => { document.title = 'leak'; };
</script></html>"""
_TALL = b"""<!doctype html><title>tall</title><div style="height:20000px">x</div>
<script>Object.defineProperty(Element.prototype, 'scrollHeight', {get: () => 1});</script>"""
_STYLE = b"body{margin:0;background:#0b3d91;color:#fff;font:20px sans-serif}main{padding:40px}"


class Site(ConformantServer):
    """Serves the site."""

    def judge(self, request: Received) -> Reply:
        """Answer by path."""
        pages = {
            "/": Reply(200, _PAGE, _HTML),
            "/site.css": Reply(200, _STYLE, {"Content-Type": "text/css"}),
            "/welcome": Reply(200, b"Welcome back", {"Content-Type": "text/plain"}),
            "/moved": Reply(302, b"", {"Location": "/"}),
            "/loop": Reply(302, b"", {"Location": "/loop"}),
            "/inside": Reply(302, b"", {"Location": "http://10.0.0.1/"}),
            "/long": Reply(200, b'<title>long</title><div style="height:3000px">x</div>', _HTML),
            "/wide": Reply(200, b'<title>wide</title><div style="width:2000px">x</div>', _HTML),
            "/tall": Reply(200, _TALL, _HTML),
            "/large": Reply(200, b"x" * 100_000),
            "/bomb": Reply(200, gzip.compress(b"\0" * 5_000_000), {"Content-Encoding": "gzip"}),
            "/packed-otherwise": Reply(200, b"\x00", {"Content-Encoding": "br"}),
            "/packed-badly": Reply(200, b"plain", {"Content-Encoding": "gzip"}),
            "/packed-in-part": Reply(200, gzip.compress(b"whole")[:-9], {"Content-Encoding": "gzip"}),
            "/cut": Reply(200, b"x" * 1000, cut=True),
            "/hang": Reply(0, b"", hang=True),
            "/download": Reply(200, b"x", {"Content-Disposition": "attachment; filename=x.bin"}),
            "/broken": Reply(503, b"later"),
        }
        return pages.get(request.path, Reply(404, b"nothing here"))
