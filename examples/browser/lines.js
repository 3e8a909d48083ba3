// What is shown of an event.

// The fields of its row: sequence, id, severity, type, account, and what happened.
export function fields(event) {
  const severity = event.severity ?? 0; // a number where the server knows no name
  return [
    event.sequence,
    event.id,
    String(severity).replace(/^SEVERITY_/, ""),
    event.type,
    event.wabaId ?? "-",
    happened(event),
  ].map((field) => String(field).replace(/\p{Cc}/gu, " "));
}

// In the provider's words: they are there also where an enum does not know the value.
function happened(event) {
  if (event.accountUpdate) return event.accountUpdate.eventText ?? "";
  if (event.accountReviewUpdate) return event.accountReviewUpdate.decisionText ?? "";
  if (event.phoneNumberNameUpdate) return event.phoneNumberNameUpdate.decisionText ?? "";
  if (event.phoneNumberQualityUpdate) return event.phoneNumberQualityUpdate.eventText ?? "";
  if (event.userPreference) return event.userPreference.valueText ?? "";
  if (event.unrecognized) return `${new TextEncoder().encode(event.unrecognized.json ?? "").length} bytes of JSON`;
  return "unknown to this page"; // a payload that was added after it was written
}
