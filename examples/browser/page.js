// The page: its form is what to follow, its table what came.

import { follow, Refused } from "./follow.js";
import { fields } from "./lines.js";

const mostRows = 1000; // the newest are kept
const mostNotes = 200;

const options = document.querySelector("#options");
const { follow: followButton, stop: stopButton, forget: forgetButton } = options.elements;
const value = (name) => options.elements[name].value.trim();
const words = (name) => value(name).split(/[\s,]+/).filter(Boolean);
let stop; // of what is under way

// Where the last page stopped, one place for each server.
function placeOf(server) {
  const key = `wabastream.cursor ${server}`;
  return {
    load: () => localStorage.getItem(key),
    save: (cursor) => localStorage.setItem(key, cursor),
    forget: () => localStorage.removeItem(key),
  };
}

function note(text) {
  append(document.querySelector("#notes"), mostNotes, "li", [text]);
}

function show(event) {
  const row = document.createElement("tr");
  for (const field of fields(event)) append(row, Infinity, "td", [field]);
  append(document.querySelector("#events"), mostRows, row);
}

// What servers send is text, never markup.
function append(to, most, what, content = []) {
  const element = typeof what === "string" ? document.createElement(what) : what;
  element.append(...content);
  to.append(element);
  while (to.childElementCount > most) to.firstElementChild.remove();
}

function busy(is) {
  followButton.disabled = forgetButton.disabled = is;
  stopButton.disabled = !is;
}

options.addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const server = value("server").replace(/\/+$/, "");
  const [wabaIds, types] = [words("waba_ids"), words("types")];
  stop = new AbortController();
  busy(true);
  try {
    await follow({
      server,
      token: () => value("token"), // kept nowhere, and read anew for each stream
      filters: wabaIds.length + types.length > 0 ? [{ wabaIds, types }] : [],
      from: value("from"),
      continueAfterGap: value("on_gap") === "continue",
      heartbeatSeconds: Number(value("heartbeat")),
      place: placeOf(server),
      signal: stop.signal,
      show,
      note,
    });
    note("stopped");
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    note(`ended: ${error.message}`);
  } finally {
    busy(false);
  }
});
stopButton.addEventListener("click", () => stop.abort());
forgetButton.addEventListener("click", () => placeOf(value("server").replace(/\/+$/, "")).forget());
