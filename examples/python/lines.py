"""The line that is printed for an event."""

import re

from wabastream.v1 import event_pb2


def line(event: event_pb2.Event) -> str:
    fields = [str(event.sequence), event.id, severity(event), event.type, event.waba_id or "-", describe(event)]
    # What providers send must not break lines, or drive the terminal.
    return "\t".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", field) for field in fields)


def severity(event: event_pb2.Event) -> str:
    try:
        return event_pb2.Severity.Name(event.severity).removeprefix("SEVERITY_")
    except ValueError:  # a value that was added after this client was generated
        return str(event.severity)


def describe(event: event_pb2.Event) -> str:
    """Says what happened, in the provider's words: they are there also where an enum
    does not know the value yet."""
    match event.WhichOneof("payload"):
        case "account_update":
            return event.account_update.event_text
        case "account_review_update":
            return event.account_review_update.decision_text
        case "phone_number_name_update":
            return event.phone_number_name_update.decision_text
        case "phone_number_quality_update":
            return event.phone_number_quality_update.event_text
        case "user_preference":
            return event.user_preference.value_text
        case "unrecognized":
            return f"{len(event.unrecognized.json.encode())} bytes of JSON"
        case _:  # a payload that was added after this client was generated
            return "unknown to this client"
