package io.github.wabastream.example;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Set;

/** How to reach a server. */
final class Connection {
  private Connection() {}

  /** Loopback is plaintext, unless authorities are named; anything else is TLS. */
  static ManagedChannel open(Options options) throws IOException {
    String host = options.addr.replaceFirst(":\\d+$", "");
    ChannelCredentials security = TlsChannelCredentials.create();
    if (options.caFile != null) {
      security = TlsChannelCredentials.newBuilder().trustManager(options.caFile.toFile()).build();
    } else if (Set.of("127.0.0.1", "[::1]", "localhost").contains(host)) {
      security = InsecureChannelCredentials.create();
    }
    return Grpc.newChannelBuilder(options.addr, security).build();
  }

  /** The token is read each time: the file may have a fresh one. */
  static Metadata credentials(Options options) throws IOException {
    Metadata headers = new Metadata();
    if (options.tokenFile != null) {
      headers.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
          "Bearer " + Files.readString(options.tokenFile).strip());
    }
    return headers;
  }
}
