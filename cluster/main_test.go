package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/wabastream/wabastream/server/internal/app"
	"go.uber.org/goleak"
)

// runAsReplica makes this test binary a server: tests start it as a real process,
// which they can kill. Its value is the configuration.
const runAsReplica = "WABASTREAM_CLUSTER_REPLICA"

func TestMain(m *testing.M) {
	if config := os.Getenv(runAsReplica); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// What is looked for are the product's goroutines. A NATS server that is stopped while
	// it makes a stream's store leaves that, with the clock that it uses.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// serve runs a server until it is told to end, and writes where it listens.
func serve(text string) error {
	config := app.DefaultConfig()
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server, err := app.New(ctx, config, "cluster", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(server.Addrs()); err != nil {
		return err
	}
	return server.Run(ctx)
}
