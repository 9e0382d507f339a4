"""A small HTTP service that counts visits in redis; standard library only.

What makes it a good citizen: it serves on the socket that it is handed (LISTEN_FDS), so that nobody
is refused while it restarts; it says READY=1 when it can answer; on SIGTERM it finishes what it has
begun.
"""

import http.server
import os
import signal
import socket
import threading

LISTEN_FDS_START = 3


def handed_socket():
    """The first socket that we were started with, as systemd hands them to services."""
    for_us = os.environ.get("LISTEN_PID", str(os.getpid())) == str(os.getpid())
    if not for_us or int(os.environ.get("LISTEN_FDS", "0")) < 1:
        raise SystemExit("no socket was passed: add `listen = [...]` to the service")
    return socket.socket(fileno=LISTEN_FDS_START)


def notify(state):
    """Tells the supervisor a state by sd_notify; without a supervisor does nothing."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path is None:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), path)


def count_visit():
    """INCR by redis's own protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as redis:
        redis.settimeout(1)
        redis.connect(os.environ["REDIS_SOCKET"])
        redis.sendall(b"*2\r\n$4\r\nINCR\r\n$6\r\nvisits\r\n")
        answer = redis.makefile("rb").readline()
    if not answer.startswith(b":"):
        raise OSError(f"redis answered {answer!r}")
    return int(answer[1:])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        # Whether we are stuck, not whether redis is: its own probe answers that.
        if self.path == "/health":
            return self.answer(200, "ok\n")
        try:
            self.answer(200, f"visit {count_visit()}, served by {os.getpid()}\n")
        except OSError as error:
            self.answer(503, f"no redis: {error}\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format, *arguments):
        if self.path != "/health":
            print(format % arguments, flush=True)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, listening):
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def main():
    server = Server(handed_socket())
    stop = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    notify("READY=1\nSTATUS=serving")
    print("serving", flush=True)
    server.serve_forever()
    notify("STOPPING=1")
    server.server_close()


if __name__ == "__main__":
    main()
