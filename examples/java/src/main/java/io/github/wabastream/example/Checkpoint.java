package io.github.wabastream.example;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** A file that keeps a cursor: one line. */
record Checkpoint(Path path) {

  /** Returns the cursor in the file, or "" if there is no file. */
  String load() throws IOException {
    String text;
    try {
      text = Files.readString(path).strip();
    } catch (NoSuchFileException e) {
      return "";
    }
    if (text.isEmpty()) { // lost content must not silently mean a new start
      throw new IOException(path + " is empty: restore it, or remove it to begin anew");
    }
    return text;
  }

  /** Replaces the file as a whole: a crash leaves the old cursor or the new one. */
  void save(String cursor) throws IOException {
    Path temporary = Path.of(path + ".tmp");
    // Not a FileChannel: an interrupt must not come between the lines and their cursor.
    try (FileOutputStream file = new FileOutputStream(temporary.toFile())) {
      file.write((cursor + "\n").getBytes(StandardCharsets.UTF_8));
      file.getFD().sync();
    }
    Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }
}
