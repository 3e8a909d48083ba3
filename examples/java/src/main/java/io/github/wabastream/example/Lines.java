package io.github.wabastream.example;

import io.github.wabastream.v1.Event;
import io.github.wabastream.v1.Severity;
import java.nio.charset.StandardCharsets;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The line that is printed for an event. */
final class Lines {
  private Lines() {}

  static String of(Event event) {
    String waba = event.getWabaId().isEmpty() ? "-" : event.getWabaId();
    // What providers send must not break lines, or drive the terminal.
    return Stream.of(
            Long.toUnsignedString(event.getSequence()), event.getId(), severity(event), event.getType(), waba, describe(event))
        .map(field -> field.replaceAll("\\p{Cc}", " "))
        .collect(Collectors.joining("\t"));
  }

  private static String severity(Event event) {
    if (event.getSeverity() == Severity.UNRECOGNIZED) { // added after this client was generated
      return Integer.toString(event.getSeverityValue());
    }
    return event.getSeverity().name().substring("SEVERITY_".length());
  }

  /**
   * Says what happened, in the provider's words: they are there also where an enum does not know
   * the value yet.
   */
  private static String describe(Event event) {
    return switch (event.getPayloadCase()) {
      case ACCOUNT_UPDATE -> event.getAccountUpdate().getEventText();
      case ACCOUNT_REVIEW_UPDATE -> event.getAccountReviewUpdate().getDecisionText();
      case PHONE_NUMBER_NAME_UPDATE -> event.getPhoneNumberNameUpdate().getDecisionText();
      case PHONE_NUMBER_QUALITY_UPDATE -> event.getPhoneNumberQualityUpdate().getEventText();
      case USER_PREFERENCE -> event.getUserPreference().getValueText();
      case UNRECOGNIZED ->
          event.getUnrecognized().getJson().getBytes(StandardCharsets.UTF_8).length + " bytes of JSON";
      // A payload that was added after this client was generated.
      case PAYLOAD_NOT_SET -> "unknown to this client";
    };
  }
}
