"""Keystone, as installed, behind the standard library's WSGI server."""

import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from keystone.server import wsgi


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


settings, port = sys.argv[1:]
del sys.argv[1:]  # which Keystone would read too
os.environ["OS_KEYSTONE_CONFIG_FILES"] = settings
application = wsgi.initialize_public_application()
make_server("0.0.0.0", int(port), application, Server, Handler).serve_forever()
