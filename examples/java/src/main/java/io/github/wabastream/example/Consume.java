package io.github.wabastream.example;

import com.google.protobuf.Duration;
import io.github.wabastream.v1.Event;
import io.github.wabastream.v1.EventFilter;
import io.github.wabastream.v1.EventServiceGrpc;
import io.github.wabastream.v1.ExpiredCursorPolicy;
import io.github.wabastream.v1.Ready;
import io.github.wabastream.v1.StartPosition;
import io.github.wabastream.v1.SubscribeRequest;
import io.github.wabastream.v1.SubscribeResponse;
import io.grpc.ManagedChannel;
import io.grpc.StatusException;
import io.grpc.stub.MetadataUtils;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Prints a line for each event of a wabastream server, and stays subscribed.
 *
 * <p>One stream after the other, each where the last one stopped: whatever ends a stream, the next
 * one asks for what comes after the cursor of the last frame. Within a process every event is
 * printed once; across restarts at least once, for the cursor is saved after the lines are out.
 * examples/README.md documents options and exit codes.
 */
public final class Consume {
  // A stream that is silent for three heartbeats is dead. A server may take ten seconds for the
  // first frame, until it has caught up with the cursor. All in milliseconds.
  private static final long MISSED_HEARTBEATS = 3;
  private static final long LEAST_OPENING = 15_000;
  private static final long FIRST_BACKOFF = 100;
  private static final long LAST_BACKOFF = 30_000;

  private final Options options;
  private final PrintStream out =
      new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
  private String cursor;
  private boolean known; // a server of ours has answered before
  private boolean accepted; // by this stream's first frame
  private boolean delivered; // anything after that
  private long announced; // how long the server asks to stay away

  private Consume(Options options) throws IOException {
    this.options = options;
    this.cursor = options.checkpoint.load();
  }

  /** Follows the events until it is interrupted or refused. */
  private void run() throws IOException, InterruptedException, Refused {
    long ceiling = FIRST_BACKOFF;
    while (true) {
      accepted = delivered = false;
      announced = 0;
      String reason = stream();
      if (delivered) {
        ceiling = FIRST_BACKOFF;
      }
      // At random, so that those who lost the same server do not come back together.
      long delay = announced + ThreadLocalRandom.current().nextLong(ceiling);
      ceiling = Math.min(2 * ceiling, LAST_BACKOFF);
      System.err.printf("lost: %s; again in %.1f s%n", reason, delay / 1000.0);
      Thread.sleep(delay);
    }
  }

  /** Takes the frames of one stream, on a connection of its own, and returns why it ended. */
  private String stream() throws IOException, InterruptedException, Refused {
    long patience = Math.max(MISSED_HEARTBEATS * options.heartbeat.toMillis(), LEAST_OPENING);
    ManagedChannel channel = Connection.open(options);
    try {
      var stub =
          EventServiceGrpc.newBlockingV2Stub(channel)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(Connection.credentials(options)));
      var call = stub.subscribe(request());
      while (true) {
        SubscribeResponse frame = call.read(patience, TimeUnit.MILLISECONDS);
        if (frame == null) {
          return "the stream ended";
        }
        take(frame);
        if (frame.hasReady()) {
          patience = MISSED_HEARTBEATS * milliseconds(frame.getReady().getHeartbeatInterval());
        }
      }
    } catch (TimeoutException e) {
      return "silent for " + patience / 1000 + " s";
    } catch (StatusException e) {
      return Verdict.on(e, known, accepted);
    } finally {
      channel.shutdownNow();
    }
  }

  private SubscribeRequest request() {
    SubscribeRequest.Builder request =
        SubscribeRequest.newBuilder()
            .setClientLabel("example-java")
            .setHeartbeatInterval(
                Duration.newBuilder()
                    .setSeconds(options.heartbeat.getSeconds())
                    .setNanos(options.heartbeat.getNano()));
    if (!options.wabaIds.isEmpty() || !options.types.isEmpty()) {
      request.addFilters(
          EventFilter.newBuilder().addAllWabaIds(options.wabaIds).addAllTypes(options.types));
    }
    if (options.continueAfterGap) {
      request.setExpiredCursorPolicy(ExpiredCursorPolicy.EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP);
    }
    if (!cursor.isEmpty()) {
      return request.setAfterCursor(cursor).build();
    }
    return request
        .setPosition(
            options.fromLatest
                ? StartPosition.START_POSITION_LATEST
                : StartPosition.START_POSITION_EARLIEST)
        .build();
  }

  /**
   * Deals with one frame, then moves the cursor. Of a kind that this client does not know yet, only
   * the cursor counts.
   */
  private void take(SubscribeResponse frame) throws IOException {
    delivered = accepted;
    switch (frame.getFrameCase()) {
      case READY -> {
        accepted = known = true;
        Ready ready = frame.getReady();
        System.err.println((ready.getResumed() ? "resumed" : "subscribed") + ": log " + ready.getLogId());
        ready.getWarningsList().forEach(warning -> System.err.println("warning: " + warning));
      }
      case BATCH -> print(frame.getBatch().getEventsList());
      case GAP -> {
        List<String> types = frame.getGap().getTypesList();
        String which = types.isEmpty() ? "all types" : String.join(", ", types);
        System.err.println("gap: events of " + which + " were removed before they could be read");
      }
      case CLOSING -> {
        announced = milliseconds(frame.getClosing().getReconnectDelay());
        System.err.println("closing: " + frame.getClosing().getReason());
      }
      default -> {}
    }
    if (!frame.getCursor().equals(cursor)) {
      options.checkpoint.save(frame.getCursor());
      cursor = frame.getCursor();
    }
  }

  private void print(List<Event> events) throws IOException {
    events.forEach(event -> out.println(Lines.of(event)));
    if (out.checkError()) { // flushes
      throw new IOException("standard output cannot be written");
    }
  }

  private static long milliseconds(Duration duration) {
    return duration.getSeconds() * 1000 + duration.getNanos() / 1_000_000;
  }

  public static void main(String[] args) {
    Thread main = Thread.currentThread();
    Thread onSignal =
        new Thread(
            () -> {
              main.interrupt();
              try {
                main.join();
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              }
            });
    Runtime.getRuntime().addShutdownHook(onSignal);
    int exitCode = consume(args);
    try {
      Runtime.getRuntime().removeShutdownHook(onSignal);
    } catch (IllegalStateException e) {
      return; // the JVM ends already, with the signal's exit code, once this thread has
    }
    System.exit(exitCode);
  }

  private static int consume(String[] args) {
    try {
      new Consume(Options.parse(args)).run();
    } catch (InterruptedException e) {
      return 0;
    } catch (IllegalArgumentException e) {
      System.err.println(e.getMessage());
      return Exit.USAGE;
    } catch (Refused e) {
      System.err.println(e.getMessage());
      return e.exitCode;
    } catch (IOException e) {
      System.err.println(e);
      return Exit.FAILED;
    }
    return 0;
  }
}
