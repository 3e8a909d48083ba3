package io.github.wabastream.example;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** The command line; examples/README.md documents it. */
final class Options {
  String addr = "127.0.0.1:9090";
  final List<String> wabaIds = new ArrayList<>();
  final List<String> types = new ArrayList<>();
  boolean fromLatest;
  Checkpoint checkpoint = new Checkpoint(Path.of("wabastream.cursor"));
  boolean continueAfterGap;
  Duration heartbeat = Duration.ofSeconds(15);
  Path tokenFile; // null: no token
  Path caFile; // null: the authorities that the JVM trusts

  /** Throws IllegalArgumentException for what is no option or has a wrong value. */
  static Options parse(String[] args) {
    Options options = new Options();
    for (int i = 0; i < args.length; i += 2) {
      if (i + 1 == args.length) {
        throw new IllegalArgumentException(args[i] + " has no value");
      }
      options.set(args[i], args[i + 1]);
    }
    return options;
  }

  private void set(String name, String value) {
    switch (name) {
      case "--addr" -> addr = value;
      case "--waba-id" -> wabaIds.add(value);
      case "--type" -> types.add(value);
      case "--from" -> fromLatest = isSecond(name, value, "earliest", "latest");
      case "--checkpoint" -> checkpoint = new Checkpoint(Path.of(value));
      case "--on-gap" -> continueAfterGap = isSecond(name, value, "fail", "continue");
      case "--heartbeat" -> heartbeat = Duration.ofMillis(Math.round(1000 * Double.parseDouble(value)));
      case "--token-file" -> tokenFile = Path.of(value);
      case "--ca-file" -> caFile = Path.of(value);
      default -> throw new IllegalArgumentException("no such option: " + name);
    }
  }

  private static boolean isSecond(String name, String value, String first, String second) {
    if (!value.equals(first) && !value.equals(second)) {
      throw new IllegalArgumentException(name + " takes " + first + " or " + second);
    }
    return value.equals(second);
  }
}
