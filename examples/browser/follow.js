// Follows the events of a wabastream server: one stream after the other, each where the
// last one stopped. Whatever ends a stream, the next one asks for what comes after the
// cursor of the last frame. A page shows every event once; one that is opened again goes
// on after the last cursor that was saved.
//
// It uses fetch and not EventSource, which can neither send a token nor see heartbeats.

// A stream that is silent for three heartbeats is dead. A server may take ten seconds
// for the first frame, until it has caught up with the cursor. In milliseconds.
const missedHeartbeats = 3;
const leastOpening = 15_000;
const firstBackoff = 100;
const lastBackoff = 30_000;

const unauthenticated = 16, permissionDenied = 7, unavailable = 14; // of google.rpc.Code
const advice = {
  CURSOR_EXPIRED: "events after the last place were removed; going on at a gap takes what is left",
  CURSOR_LOG_MISMATCH: "the place is of another log; forget it to begin anew",
  CURSOR_AHEAD_OF_LOG: "the server's log ends before the place; forget it to begin anew",
  CURSOR_MALFORMED: "the place is damaged; forget it to begin anew",
  [unauthenticated]: "the token is not valid",
  [permissionDenied]: "the token does not allow this: ask for less, or for a wider grant",
};

// The server refuses for good; its message says why.
export class Refused extends Error {}

// A stream ended, and the next one may do better.
class Lost extends Error {}

// The server's answer where a stream was due, or what ended it: a google.rpc.Status.
class Failed extends Error {
  constructor(status) {
    const info = status.details?.find((d) => d["@type"]?.endsWith("/google.rpc.ErrorInfo") && d.domain === "wabastream");
    super(`${info?.reason ?? "(not by the server)"}: ${status.message}`);
    this.code = status.code;
    this.reason = info?.reason;
  }
}

// Returns when the signal is aborted, and throws Refused if trying again is no use.
//
// place: where the cursor is kept, load() and save(cursor); load returns null if there
// is none. token: returns the token of the moment, or "". show(event) and note(text):
// what is done with each event, and what else there is to say.
export async function follow(options) {
  const state = { cursor: options.place.load(), known: false };
  let ceiling = firstBackoff;
  while (!options.signal.aborted) {
    const stream = { accepted: false, delivered: false, announced: 0 };
    const reason = await run(options, state, stream).catch((error) => judge(error, state, stream, options.signal));
    if (options.signal.aborted) return;
    if (stream.delivered) ceiling = firstBackoff;
    // At random, so that those who lost the same server do not come back together.
    const delay = stream.announced + Math.random() * ceiling;
    ceiling = Math.min(2 * ceiling, lastBackoff);
    options.note(`lost: ${reason}; again in ${(delay / 1000).toFixed(1)} s`);
    await sleep(delay, options.signal);
  }
}

// Takes the frames of one stream, and returns why it ended.
async function run(options, state, stream) {
  const silence = new AbortController();
  let patience = Math.max(missedHeartbeats * options.heartbeatSeconds * 1000, leastOpening);
  const watch = () => setTimeout(() => silence.abort(new Lost(`silent for ${patience / 1000} s`)), patience);
  let watchdog = watch();
  try {
    const body = await open(options, state, AbortSignal.any([options.signal, silence.signal]));
    for await (const { result, error } of lines(body)) {
      if (error) throw new Failed(error);
      clearTimeout(watchdog);
      take(result, options, state, stream);
      if (result.ready) patience = missedHeartbeats * milliseconds(result.ready.heartbeatInterval);
      watchdog = watch();
    }
    return "the stream ended";
  } catch (error) {
    throw silence.signal.aborted ? silence.signal.reason : error;
  } finally {
    clearTimeout(watchdog);
  }
}

// Asks for a stream, and returns its body.
async function open({ server, token, ...options }, { cursor }, signal) {
  const request = {
    clientLabel: "example-browser",
    heartbeatInterval: `${options.heartbeatSeconds}s`,
    filters: options.filters,
    expiredCursorPolicy: `EXPIRED_CURSOR_POLICY_${options.continueAfterGap ? "CONTINUE_WITH_GAP" : "FAIL"}`,
  };
  // A place that is empty is asked for too, and refused: it must not mean a new start.
  if (cursor !== null) request.afterCursor = cursor;
  else request.position = `START_POSITION_${options.from.toUpperCase()}`;
  const headers = { "Content-Type": "application/json" };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  const response = await fetch(`${server}/v1/events:subscribe`, {
    method: "POST", headers, body: JSON.stringify(request), signal, cache: "no-store", credentials: "omit",
  });
  if (response.ok) return response.body;
  const answer = await response.json().catch(() => ({})); // a proxy may answer with anything
  throw new Failed(answer.error ?? (answer.code ? answer : { message: `HTTP status ${response.status}` }));
}

// The lines of a body, each a JSON text. What was broken off is no line.
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    let rest = [];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = value.split("\n");
      rest.push(parts.shift());
      for (const part of parts) {
        yield JSON.parse(rest.join(""));
        rest = [part];
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // of a stream that failed
  }
}

// Deals with one frame, then moves the cursor. Of a kind that this page does not know
// yet, only the cursor counts.
function take(frame, { show, note, place }, state, stream) {
  stream.delivered = stream.accepted;
  if (frame.ready) {
    stream.accepted = state.known = true;
    note(`${frame.ready.resumed ? "resumed" : "subscribed"}: log ${frame.ready.logId}`);
    for (const warning of frame.ready.warnings ?? []) note(`warning: ${warning}`);
  } else if (frame.batch) {
    for (const event of frame.batch.events) show(event);
  } else if (frame.gap) {
    note(`gap: events of ${frame.gap.types?.join(", ") || "all types"} were removed before they could be read`);
  } else if (frame.closing) {
    stream.announced = milliseconds(frame.closing.reconnectDelay);
    note(`closing: ${frame.closing.reason}`);
  }
  if (frame.cursor !== state.cursor) {
    place.save(frame.cursor);
    state.cursor = frame.cursor;
  }
}

// Returns why the stream is lost, or throws if trying again is no use.
function judge(error, state, stream, signal) {
  if (signal.aborted) return "stopped";
  if (error instanceof Lost) return error.message;
  if (error instanceof TypeError) return `${error.message} (no server there, or it does not name this page's origin in cors_origins)`;
  if (!(error instanceof Failed)) throw error;
  const { code, reason } = error;
  if (
    code === unavailable ||
    reason === "STREAM_LIMIT" || // the stream before may still be counted
    (reason === "CREDENTIALS_EXPIRED" && stream.accepted) || // there may be a fresh token
    (state.known && !reason) // said by something in between
  ) {
    return error.message;
  }
  const what = advice[reason] ?? advice[code];
  throw new Refused(what ? `${error.message}; ${what}` : error.message);
}

// "1.5s" is 1500.
function milliseconds(duration) {
  return duration ? 1000 * parseFloat(duration) : 0;
}

function sleep(delay, signal) {
  return new Promise((done) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      done();
    };
    const timer = setTimeout(wake, delay);
    signal.addEventListener("abort", wake);
  });
}
