package io.github.wabastream.example;

/** The server refuses for good. */
final class Refused extends Exception {
  private static final long serialVersionUID = 1;

  /** What about. */
  final int exitCode;

  Refused(String message, int exitCode) {
    super(message);
    this.exitCode = exitCode;
  }
}
