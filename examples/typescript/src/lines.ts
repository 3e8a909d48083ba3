// The line that is printed for an event.

import { type Event, Severity } from "./gen/wabastream/v1/event_pb.js";

export function line(event: Event): string {
  const fields = [
    event.sequence.toString(),
    event.id,
    // A value that was added after this client was generated has no name.
    Severity[event.severity] ?? event.severity.toString(),
    event.type,
    event.wabaId || "-",
    describe(event),
  ];
  // What providers send must not break lines, or drive the terminal.
  return fields.map((field) => field.replace(/\p{Cc}/gu, " ")).join("\t");
}

// Says what happened, in the provider's words: they are there also where an enum does
// not know the value yet.
function describe({ payload }: Event): string {
  switch (payload.case) {
    case "accountUpdate":
      return payload.value.eventText;
    case "accountReviewUpdate":
    case "phoneNumberNameUpdate":
      return payload.value.decisionText;
    case "phoneNumberQualityUpdate":
      return payload.value.eventText;
    case "userPreference":
      return payload.value.valueText;
    case "unrecognized":
      return `${Buffer.byteLength(payload.value.json)} bytes of JSON`;
    default: // a payload that was added after this client was generated
      return "unknown to this client";
  }
}
