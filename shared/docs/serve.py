"""Serve a site on this machine only: python serve.py FOLDER PORT."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(folder: Path, port: str) -> None:
    """Serve a folder on a port of 127.0.0.1 until Ctrl-C."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"Cannot listen on 127.0.0.1:{port}: {error}. Choose another port: make docs-serve PORT=8011")
    print(f"The site is at http://127.0.0.1:{port}; Ctrl-C stops it.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
