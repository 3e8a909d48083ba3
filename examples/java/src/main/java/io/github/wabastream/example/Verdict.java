package io.github.wabastream.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;

/** What follows from the error that a stream ended with. */
final class Verdict {
  // What proxies make of a broken connection, once a server has answered.
  private static final Set<Status.Code> BROKEN =
      EnumSet.of(
          Status.Code.ABORTED,
          Status.Code.CANCELLED,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.INTERNAL,
          Status.Code.UNKNOWN);

  private static final Map<String, String> ADVICE =
      Map.of(
          "CURSOR_EXPIRED", "events after the checkpoint were removed; --on-gap continue goes on with what is left",
          "CURSOR_LOG_MISMATCH", "the checkpoint is of another log; remove it to begin anew",
          "CURSOR_AHEAD_OF_LOG", "the server's log ends before the checkpoint; remove it to begin anew",
          "CURSOR_MALFORMED", "the checkpoint is damaged; restore it, or remove it to begin anew",
          "UNAUTHENTICATED", "--token-file must hold a token that is valid",
          "PERMISSION_DENIED", "the token does not allow this: ask for less, or for a wider grant");

  private Verdict() {}

  /**
   * Returns why the stream is lost, or throws Refused if trying again is no use.
   *
   * @param known a server of ours has answered before
   * @param accepted this stream had its first frame
   */
  static String on(StatusException e, boolean known, boolean accepted) throws Refused {
    Status status = e.getStatus();
    Status.Code code = status.getCode();
    String reason = reasonOf(e);
    String message =
        code + " " + (reason.isEmpty() ? "(not by the server)" : reason) + ": " + status.getDescription();
    if (status.getCause() != null) {
      message += ", " + status.getCause().getMessage();
    }
    if (code == Status.Code.UNAVAILABLE
        || reason.equals("STREAM_LIMIT") // the stream before may still be counted
        || reason.equals("CREDENTIALS_EXPIRED") && accepted // the file may have a fresh token
        || BROKEN.contains(code) && known && reason.isEmpty()) { // said by something in between
      return message;
    }
    String advice = ADVICE.getOrDefault(reason, ADVICE.get(code.name()));
    int exitCode = Exit.FAILED;
    if (reason.startsWith("CURSOR_")) {
      exitCode = Exit.CURSOR;
    } else if (ADVICE.containsKey(code.name())) {
      exitCode = Exit.CREDENTIALS;
    }
    throw new Refused(advice == null ? message : message + System.lineSeparator() + advice, exitCode);
  }

  private static String reasonOf(StatusException e) {
    for (Any detail : StatusProto.fromThrowable(e).getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)
            && detail.unpack(ErrorInfo.class).getDomain().equals("wabastream")) {
          return detail.unpack(ErrorInfo.class).getReason();
        }
      } catch (InvalidProtocolBufferException ignored) {
        // Not of our server.
      }
    }
    return "";
  }
}
