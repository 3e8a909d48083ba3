"""Prints a line for each event of a wabastream server, and stays subscribed.

One stream after the other, each where the last one stopped: whatever ends a stream,
the next one asks for what comes after the cursor of the last frame. Within a process
every event is printed once; across restarts at least once, for the cursor is saved
after the lines are out. README.md in the folder above documents options and exit codes.
"""

import argparse
import asyncio
import os
import random
import signal
import sys

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from lines import line
from wabastream.v1 import event_service_pb2 as api
from wabastream.v1.event_service_pb2_grpc import EventServiceStub

# A stream that is silent for three heartbeats is dead. A server may take ten seconds
# for the first frame, until it has caught up with the cursor.
MISSED_HEARTBEATS, LEAST_OPENING = 3, 15.0
FIRST_BACKOFF, LAST_BACKOFF = 0.1, 30.0  # seconds

# What proxies make of a broken connection, once a server has answered.
BROKEN = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}

EXIT_FAILED, EXIT_CURSOR, EXIT_CREDENTIALS = 1, 3, 4
ADVICE = {
    "CURSOR_EXPIRED": "events after the checkpoint were removed; --on-gap continue goes on with what is left",
    "CURSOR_LOG_MISMATCH": "the checkpoint is of another log; remove it to begin anew",
    "CURSOR_AHEAD_OF_LOG": "the server's log ends before the checkpoint; remove it to begin anew",
    "CURSOR_MALFORMED": "the checkpoint is damaged; restore it, or remove it to begin anew",
    grpc.StatusCode.UNAUTHENTICATED: "--token-file must hold a token that is valid",
    grpc.StatusCode.PERMISSION_DENIED: "the token does not allow this: ask for less, or for a wider grant",
}


class Lost(Exception):
    """A stream ended, and the next one may do better."""


class Refused(Exception):
    """The server refuses for good. The exit code says what about."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Consumer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cursor = load(options.checkpoint)
        self.known = False  # a server of ours has answered before

    async def run(self) -> None:
        """Follows the events until it is cancelled or refused."""
        ceiling = FIRST_BACKOFF
        while True:
            self.accepted = False  # by this stream's first frame
            self.delivered = False  # anything after that
            self.announced = 0.0  # how long the server asks to stay away
            try:
                await self.stream()
            except Lost as lost:
                reason = str(lost)
            except grpc.aio.AioRpcError as error:
                reason = self.judge(error)
            if self.delivered:
                ceiling = FIRST_BACKOFF
            # At random, so that those who lost the same server do not come back together.
            delay = self.announced + random.uniform(0, ceiling)
            ceiling = min(2 * ceiling, LAST_BACKOFF)
            note(f"lost: {reason}; again in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def stream(self) -> None:
        """Takes the frames of one stream, on a connection of its own."""
        patience = max(MISSED_HEARTBEATS * self.options.heartbeat, LEAST_OPENING)
        async with connect(self.options) as channel:
            call = EventServiceStub(channel).Subscribe(self.request(), metadata=credentials(self.options))
            while True:
                try:
                    async with asyncio.timeout(patience):
                        frame = await call.read()
                except TimeoutError:
                    raise Lost(f"silent for {patience:.0f} s") from None
                if frame is grpc.aio.EOF:
                    raise Lost("the stream ended")
                self.take(frame)
                if frame.HasField("ready"):
                    patience = MISSED_HEARTBEATS * frame.ready.heartbeat_interval.ToTimedelta().total_seconds()

    def request(self) -> api.SubscribeRequest:
        request = api.SubscribeRequest(client_label="example-python")
        request.heartbeat_interval.FromMilliseconds(int(self.options.heartbeat * 1000))
        if self.options.waba_id or self.options.type:
            request.filters.add(waba_ids=self.options.waba_id, types=self.options.type)
        if self.options.on_gap == "continue":
            request.expired_cursor_policy = api.EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
        if self.cursor:
            request.after_cursor = self.cursor
        else:
            request.position = api.StartPosition.Value("START_POSITION_" + self.options.start.upper())
        return request

    def take(self, frame: api.SubscribeResponse) -> None:
        """Deals with one frame, then moves the cursor. Of a kind that this client does
        not know yet, only the cursor counts."""
        kind = frame.WhichOneof("frame")
        self.delivered = self.accepted
        if kind == "ready":
            self.accepted = self.known = True
            note(f"{'resumed' if frame.ready.resumed else 'subscribed'}: log {frame.ready.log_id}")
            for warning in frame.ready.warnings:
                note(f"warning: {warning}")
        elif kind == "batch":
            for event in frame.batch.events:
                print(line(event))
            sys.stdout.flush()
        elif kind == "gap":
            types = ", ".join(frame.gap.types) or "all types"
            note(f"gap: events of {types} were removed before they could be read")
        elif kind == "closing":
            self.announced = frame.closing.reconnect_delay.ToTimedelta().total_seconds()
            note(f"closing: {frame.closing.reason}")
        if frame.cursor != self.cursor:
            save(self.options.checkpoint, frame.cursor)
            self.cursor = frame.cursor

    def judge(self, error: grpc.aio.AioRpcError) -> str:
        """Returns why the stream is lost, or raises Refused if trying again is no use."""
        code, reason = error.code(), reason_of(error)
        message = f"{code.name} {reason or '(not by the server)'}: {error.details()}"
        if (
            code is grpc.StatusCode.UNAVAILABLE
            or reason == "STREAM_LIMIT"  # the stream before may still be counted
            or reason == "CREDENTIALS_EXPIRED" and self.accepted  # the file may have a fresh token
            or code in BROKEN and self.known and not reason  # said by something in between
        ):
            return message
        advice = ADVICE.get(reason) or ADVICE.get(code)
        exit_code = EXIT_FAILED
        if reason.startswith("CURSOR_"):
            exit_code = EXIT_CURSOR
        elif code in ADVICE:
            exit_code = EXIT_CREDENTIALS
        raise Refused(f"{message}\n{advice}" if advice else message, exit_code)


def connect(options: argparse.Namespace) -> grpc.aio.Channel:
    # Otherwise channels share connections, and how long to wait before the next one.
    own = [("grpc.use_local_subchannel_pool", 1)]
    if options.ca_file is None and options.addr.rpartition(":")[0] in ("127.0.0.1", "[::1]", "localhost"):
        return grpc.aio.insecure_channel(options.addr, own)
    roots = options.ca_file and read(options.ca_file).encode()
    return grpc.aio.secure_channel(options.addr, grpc.ssl_channel_credentials(roots), own)


def credentials(options: argparse.Namespace) -> list[tuple[str, str]]:
    if options.token_file is None:
        return []
    return [("authorization", "Bearer " + read(options.token_file).strip())]


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = ErrorInfo()
        if detail.Unpack(info) and info.domain == "wabastream":
            return info.reason
    return ""


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def load(path: str) -> str:
    """Returns the cursor in the file, or nothing if there is no file."""
    try:
        text = read(path)
    except FileNotFoundError:
        return ""
    # Lost content must not silently mean a new start.
    if not text.strip():
        raise OSError(f"{path} is empty: restore it, or remove it to begin anew")
    return text.strip()


def save(path: str, cursor: str) -> None:
    """Replaces the file as a whole: a crash leaves the old cursor or the new one."""
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(cursor + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Print a line for each event of a wabastream server.")
    parser.add_argument("--addr", default="127.0.0.1:9090", help="the server's gRPC address")
    parser.add_argument("--waba-id", action="append", default=[], help="only this account; may be repeated")
    parser.add_argument("--type", action="append", default=[], help="only this type and those below; may be repeated")
    parser.add_argument("--from", dest="start", choices=["earliest", "latest"], default="earliest")
    parser.add_argument("--checkpoint", default="wabastream.cursor", help="file that keeps the cursor")
    parser.add_argument("--on-gap", choices=["fail", "continue"], default="fail")
    parser.add_argument("--heartbeat", type=float, default=15, help="seconds, 1 to 300")
    parser.add_argument("--token-file", help="file with a bearer token")
    parser.add_argument("--ca-file", help="PEM file of the authorities to trust; then TLS is used on loopback too")
    return parser.parse_args()


async def main() -> int:
    try:
        consumer = asyncio.create_task(Consumer(parse()).run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, consumer.cancel)
        await consumer
    except asyncio.CancelledError:
        pass
    except Refused as refused:
        note(str(refused))
        return refused.exit_code
    except OSError as error:  # of one of the files
        note(str(error))
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(asyncio.run(main()))
