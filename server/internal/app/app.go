// Package app puts the server together and runs it: the log, the webhook front,
// the event stream, their listeners, and the order in which all of it ends.
//
// It guarantees that a start that fails leaves nothing behind, that a shutdown
// answers the callbacks in flight and tells every subscriber, that it ends
// within its time limit (plus at most ten seconds for a disk that hangs), and
// that a log that has failed ends the process instead of being served further.
//
// It holds no logic of its own: what an event is, what durable means and who
// gets what is decided in the packages it wires.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/admin"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/guard"
	"github.com/wabastream/wabastream/server/internal/quarantine"
	"github.com/wabastream/wabastream/server/internal/retention"
	"github.com/wabastream/wabastream/server/internal/stream"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

// logCloseTimeout is kept for closing the log, whatever the steps before it took.
const logCloseTimeout = 10 * time.Second

// App is a server that was set up and listens. Run serves; Close undoes New
// when Run is not called.
type App struct {
	config   Config
	logger   *slog.Logger
	registry *prometheus.Registry
	teardown teardown

	log      eventlog.Log
	keep     func()         // runs the keeper until the teardown stops it
	keepers  sync.WaitGroup // the keeper, once it runs
	front    *webhook.Handler
	stream   *stream.Service
	accounts *accounts.Service
	learned  *accounts.Attribution
	state    eventlog.State // of accounts
	loiter   loiterers
	certs    pairs
	policy   *access.Policy
	guard    *guard.Guard
	services map[string]grpc.ServiceInfo // of gRPC
	admin    *admin.Service
	ready    readiness
	draining context.Context //nolint:containedctx // not a call's: it ends when the shutdown reaches the streams
	drain    context.CancelFunc
	inMemory *bufconn.Listener // where REST reaches gRPC
	servers  []server
	httpAddr net.Addr
	apiAddr  net.Addr
	grpcAddr net.Addr

	grpcListener *listener // set before anything is served
}

// server is something that serves until it is shut down by the teardown.
type server struct {
	name  string
	serve func() error
}

// New opens the log and binds every listener. Requests are answered once Run is
// called. It is one straight line on purpose: the order of the lines is the
// order of the start, and backwards the order of the end.
func New(ctx context.Context, config Config, version string, logger *slog.Logger) (_ *App, err error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	sources, err := config.webhookSources()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	a := &App{config: config, loiter: loiterers{limit: maxLoiterers}, logger: logger, registry: prometheus.NewRegistry()}
	a.draining, a.drain = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), versionMetric(version))

	if err := a.loadCertificates(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := a.openAccess(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	log, backups, err := config.openLog(ctx, pebblelog.Options{
		Logger:   logger.With("component", "log"),
		LockWait: config.LockWait,

		MinFreeBytes: config.MinFreeBytes,
	})
	if err != nil {
		return nil, err
	}
	a.log = log
	a.teardown.push("close the log", func(context.Context) error { return closeWithin(logCloseTimeout, a.log) })

	a.registry.MustRegister(logMetrics(a.log)...)
	if err := a.projectAccounts(ctx); err != nil {
		return nil, err
	}
	keeper := retention.New(retention.Config{
		Log:        a.log,
		Policy:     config.retentionPolicy(),
		Logger:     logger.With("component", "retention"),
		Registerer: a.registry,
	})
	keeping, stopKeeping := context.WithCancel(context.Background())
	a.keep = func() { keeper.Run(keeping) }
	a.teardown.push("stop retention", func(context.Context) error {
		stopKeeping()
		a.keepers.Wait()
		return nil
	})

	isolated, err := quarantine.Open(quarantine.Config{
		Dir:        config.quarantineDir(),
		MaxEntries: config.QuarantineCallbacks,
		MaxBytes:   config.QuarantineBytes,
		Logger:     logger.With("component", "quarantine"),
		Registerer: a.registry,
	})
	if err != nil {
		return nil, err
	}
	a.front, err = webhook.New(webhook.Config{
		Sources:    sources,
		Log:        a.log,
		Attributor: a.learned,
		Quarantine: isolated,
		Authentic:  trustConn,
		Logger:     logger.With("component", "webhook"),
		Registerer: a.registry,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	a.stream = stream.New(stream.Config{
		Log:        a.log,
		Sources:    a.sources,
		Version:    version,
		Pseudonym:  a.policy.Pseudonym,
		MaxStreams: config.MaxStreams, MaxStreamsPerCaller: config.MaxStreamsPerCaller, MaxStreamAge: config.MaxStreamAge,
		Logger:     logger.With("component", "stream"),
		Registerer: a.registry,
	})
	a.teardown.push("stop following the log", func(context.Context) error { a.stream.Close(); return nil })
	if err := a.serveAccounts(); err != nil {
		return nil, err
	}
	a.admin = admin.New(admin.Config{
		Log:        backups,
		BackupDir:  config.backupDir(),
		Cursor:     stream.Cursor,
		Quarantine: isolated,
		Reinject:   a.reinject,

		Subscriptions: a.stream,

		Logger: logger.With("component", "admin"),
	})
	if err := a.listenGRPC(ctx); err != nil {
		return nil, err
	}
	if err := a.listenAPI(ctx); err != nil {
		return nil, err
	}
	a.teardown.push("drain the streams", func(context.Context) error {
		a.drain()
		a.stream.Drain()
		a.accounts.Drain()
		return nil
	})
	if err := a.listenHTTP(ctx); err != nil {
		return nil, err
	}
	a.watchReplicas()
	a.teardown.push("say not ready", func(context.Context) error { a.ready.serve(false); return nil })
	return a, nil
}

// Addrs are the addresses a server listens on, with the ports that were bound.
type Addrs struct {
	HTTP, API, GRPC string
}

// Addrs returns where the server listens.
func (a *App) Addrs() Addrs {
	return Addrs{HTTP: a.httpAddr.String(), API: a.apiAddr.String(), GRPC: a.grpcAddr.String()}
}

// Run serves until the context ends, then shuts down in order and returns nil;
// or until a listener or the log fails, and returns why. Call it once.
func (a *App) Run(ctx context.Context) error {
	a.keepers.Go(a.keep)
	a.ready.serve(true) // the listeners are bound: connections wait for what follows
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range a.servers {
		group.Go(func() error {
			if err := s.serve(); err != nil {
				return fmt.Errorf("serve %s: %w", s.name, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		select {
		case <-a.log.Failed():
			return fmt.Errorf("the log has failed and was closed; start again once its cause is mended: %w", a.log.Err())
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error {
		<-ctx.Done()
		a.logger.Info("shutting down", "at_most", a.config.ShutdownTimeout)
		err := a.Close()
		a.logger.Info("stopped")
		return err
	})
	return group.Wait()
}

// Close ends everything that New started, in order, within the configured
// timeout. Run calls it; without Run it must be called. It is not safe for
// concurrent use with itself.
func (a *App) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.config.ShutdownTimeout)
	defer cancel()
	if err := a.teardown.run(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// closeWithin gives up on a log whose disk hangs: what was answered is durable
// already, and the next start recovers the rest.
func closeWithin(limit time.Duration, log eventlog.Log) error {
	patience := time.NewTimer(limit)
	defer patience.Stop()
	closed := make(chan error, 1)
	go func() { closed <- log.Close() }()
	select {
	case err := <-closed:
		return err
	case <-patience.C:
		return fmt.Errorf("the disk did not answer within %v", limit)
	}
}

// sources tells subscribers how fresh the front's sources are.
func (a *App) sources() []*wabastreamv1.SourceStatus {
	statuses := a.front.Sources()
	out := make([]*wabastreamv1.SourceStatus, len(statuses))
	for i, s := range statuses {
		out[i] = &wabastreamv1.SourceStatus{Source: s.Name, RejectedSignatures: s.RejectedSignatures}
		if !s.LastCallback.IsZero() {
			out[i].LastCallbackTime = timestamppb.New(s.LastCallback)
		}
	}
	return out
}

// reinject is how admin has the front take a callback that it knows already.
func (a *App) reinject(ctx context.Context, source string, body []byte) (admin.Reinjected, error) {
	got, err := a.front.Reinject(ctx, source, body)
	return admin.Reinjected(got), err
}

// logMetrics tell how much the log holds, as of when they are asked for.
func logMetrics(log eventlog.Log) []prometheus.Collector {
	gauge := func(name, help string, value func(eventlog.Stats) uint64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			stats, err := log.Stats(context.Background())
			if err != nil {
				return math.NaN() // the log has failed or is closed
			}
			return float64(value(stats))
		})
	}
	return []prometheus.Collector{
		gauge("wabastream_log_events", "Events the log holds.", func(s eventlog.Stats) uint64 { return s.Records }),
		gauge("wabastream_log_bytes", "Bytes the log takes on disk.", func(s eventlog.Stats) uint64 { return s.Bytes }),
	}
}

func versionMetric(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "wabastream_build_info",
		Help:        "Always 1; the label tells the server's version.",
		ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 })
}
