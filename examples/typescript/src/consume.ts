// Prints a line for each event of a wabastream server, and stays subscribed.
//
// One stream after the other, each where the last one stopped: whatever ends a stream,
// the next one asks for what comes after the cursor of the last frame. Within a process
// every event is printed once; across restarts at least once, for the cursor is saved
// after the lines are out. README.md in the folder above documents options and exit
// codes.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { load, save } from "./checkpoint.js";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import {
  EventService,
  ExpiredCursorPolicy,
  StartPosition,
  type SubscribeRequestSchema,
  type SubscribeResponse,
} from "./gen/wabastream/v1/event_service_pb.js";
import { line } from "./lines.js";
import { type Options, parseOptions } from "./options.js";

// A stream that is silent for three heartbeats is dead. A server may take ten seconds
// for the first frame, until it has caught up with the cursor. In milliseconds.
const missedHeartbeats = 3;
const leastOpening = 15_000;
const firstBackoff = 100;
const lastBackoff = 30_000;

// What Node makes of a broken connection, and what proxies do once a server has answered.
const broken = [Code.Aborted, Code.Canceled];
const unexplained = [Code.DeadlineExceeded, Code.Internal, Code.Unknown];

const exit = { failed: 1, usage: 2, cursor: 3, credentials: 4 };
const advice: Record<string, string> = {
  CURSOR_EXPIRED: "events after the checkpoint were removed; --on-gap continue goes on with what is left",
  CURSOR_LOG_MISMATCH: "the checkpoint is of another log; remove it to begin anew",
  CURSOR_AHEAD_OF_LOG: "the server's log ends before the checkpoint; remove it to begin anew",
  CURSOR_MALFORMED: "the checkpoint is damaged; restore it, or remove it to begin anew",
  [Code.Unauthenticated]: "--token-file must hold a token that is valid",
  [Code.PermissionDenied]: "the token does not allow this: ask for less, or for a wider grant",
};

// A stream ended, and the next one may do better.
class Lost extends Error {}

// The server refuses for good. The exit code says what about.
class Refused extends Error {
  constructor(message: string, readonly exitCode: number) {
    super(message);
  }
}

class Consumer {
  private known = false; // a server of ours has answered before
  private accepted = false; // by this stream's first frame
  private delivered = false; // anything after that
  private announced = 0; // how long the server asks to stay away

  constructor(
    private readonly options: Options,
    private readonly stop: AbortSignal,
    private cursor: string,
  ) {}

  // Follows the events until it is stopped or refused.
  async run(): Promise<void> {
    let ceiling = firstBackoff;
    while (!this.stop.aborted) {
      this.accepted = this.delivered = false;
      this.announced = 0;
      const reason = await this.stream().catch((error: unknown) => {
        return this.stop.aborted ? "stopped" : this.judge(error);
      });
      if (this.stop.aborted) return;
      if (this.delivered) ceiling = firstBackoff;
      // At random, so that those who lost the same server do not come back together.
      const delay = this.announced + Math.random() * ceiling;
      ceiling = Math.min(2 * ceiling, lastBackoff);
      console.error(`lost: ${reason}; again in ${(delay / 1000).toFixed(1)} s`);
      await sleep(delay, undefined, { signal: this.stop }).catch(() => {}); // stopped
    }
  }

  // Takes the frames of one stream, on a connection of its own, and returns why it ended.
  private async stream(): Promise<string> {
    const connection = connect(this.options);
    const client = createClient(EventService, createGrpcTransport(connection));
    const silence = new AbortController();
    let patience = Math.max(missedHeartbeats * this.options.heartbeatSeconds * 1000, leastOpening);
    const watch = () =>
      setTimeout(() => silence.abort(new Lost(`silent for ${patience / 1000} s`)), patience);
    let watchdog = watch();
    try {
      const frames = client.subscribe(this.request(), {
        headers: credentials(this.options),
        signal: AbortSignal.any([this.stop, silence.signal]),
      });
      for await (const frame of frames) {
        clearTimeout(watchdog); // what follows is our time, not the stream's
        await this.take(frame);
        if (frame.frame.case === "ready") {
          patience = missedHeartbeats * milliseconds(frame.frame.value.heartbeatInterval);
        }
        watchdog = watch();
      }
      return "the stream ended";
    } catch (error) {
      throw silence.signal.aborted ? silence.signal.reason : error;
    } finally {
      clearTimeout(watchdog);
      connection.sessionManager.abort();
    }
  }

  private request(): MessageInitShape<typeof SubscribeRequestSchema> {
    const { wabaIds, types, from, heartbeatSeconds, continueAfterGap } = this.options;
    const position = from === "latest" ? StartPosition.LATEST : StartPosition.EARLIEST;
    return {
      clientLabel: "example-typescript",
      heartbeatInterval: durationFromMs(heartbeatSeconds * 1000),
      filters: wabaIds.length + types.length > 0 ? [{ wabaIds, types }] : [],
      expiredCursorPolicy: continueAfterGap ? ExpiredCursorPolicy.CONTINUE_WITH_GAP : ExpiredCursorPolicy.FAIL,
      start: this.cursor ? { case: "afterCursor", value: this.cursor } : { case: "position", value: position },
    };
  }

  // Deals with one frame, then moves the cursor. Of a kind that this client does not
  // know yet, only the cursor counts.
  private async take({ frame, cursor }: SubscribeResponse): Promise<void> {
    this.delivered = this.accepted;
    switch (frame.case) {
      case "ready":
        this.accepted = this.known = true;
        console.error(`${frame.value.resumed ? "resumed" : "subscribed"}: log ${frame.value.logId}`);
        for (const warning of frame.value.warnings) console.error(`warning: ${warning}`);
        break;
      case "batch":
        await print(frame.value.events.map((event) => line(event) + "\n").join(""));
        break;
      case "gap":
        console.error(`gap: events of ${frame.value.types.join(", ") || "all types"} were removed before they could be read`);
        break;
      case "closing":
        this.announced = milliseconds(frame.value.reconnectDelay);
        console.error(`closing: ${frame.value.reason}`);
        break;
    }
    if (cursor !== this.cursor) {
      await save(this.options.checkpoint, cursor);
      this.cursor = cursor;
    }
  }

  // Returns why the stream is lost, or throws if trying again is no use.
  private judge(error: unknown): string {
    if (error instanceof Lost) return error.message;
    if (!(error instanceof ConnectError)) throw error; // of a file
    const reason = reasonOf(error);
    const message = `${Code[error.code]} ${reason || "(not by the server)"}: ${error.rawMessage}`;
    if (
      error.code === Code.Unavailable ||
      (broken.includes(error.code) && !reason) ||
      reason === "STREAM_LIMIT" || // the stream before may still be counted
      (reason === "CREDENTIALS_EXPIRED" && this.accepted) || // the file may have a fresh token
      (unexplained.includes(error.code) && this.known && !reason)
    ) {
      return message;
    }
    const what = advice[reason] ?? advice[error.code];
    let exitCode = exit.failed;
    if (reason.startsWith("CURSOR_")) exitCode = exit.cursor;
    else if (error.code in advice) exitCode = exit.credentials;
    throw new Refused(what ? `${message}\n${what}` : message, exitCode);
  }
}

function connect(options: Options) {
  const host = options.addr.slice(0, options.addr.lastIndexOf(":"));
  const plain = !options.caFile && ["127.0.0.1", "[::1]", "localhost"].includes(host);
  const baseUrl = `${plain ? "http" : "https"}://${options.addr}`;
  const nodeOptions = options.caFile ? { ca: readFileSync(options.caFile) } : {};
  return { baseUrl, sessionManager: new Http2SessionManager(baseUrl, undefined, nodeOptions) };
}

function credentials({ tokenFile }: Options): HeadersInit {
  return tokenFile ? { Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` } : {};
}

function reasonOf(error: ConnectError): string {
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === "wabastream")?.reason ?? "";
}

function milliseconds(duration?: Duration): number {
  return duration ? durationMs(duration) : 0;
}

// Returns once the text is out.
function print(text: string): Promise<void> {
  return new Promise((done, fail) => process.stdout.write(text, (error) => (error ? fail(error) : done())));
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = parseOptions();
  } catch (error) {
    console.error((error as Error).message);
    return exit.usage;
  }
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());
  try {
    await new Consumer(options, stop.signal, await load(options.checkpoint)).run();
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return error instanceof Refused ? error.exitCode : exit.failed;
  }
}

process.exitCode = await main();
