package io.github.wabastream.example;

/** The exit codes; examples/README.md documents them. */
final class Exit {
  static final int FAILED = 1;
  static final int USAGE = 2;
  static final int CURSOR = 3;
  static final int CREDENTIALS = 4;

  private Exit() {}
}
