package accounts

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Log is the part of [eventlog.Log] that the service needs.
type Log interface {
	Check(ctx context.Context, position eventlog.Position) error
	Bounds(ctx context.Context) (eventlog.Bounds, error)
}

// Cursors are how clients name positions.
type Cursors struct {
	// Format writes a position, Parse reads what Format or an event's cursor is.
	Format func(eventlog.Position) string
	Parse  func(string) (eventlog.Position, error)
}

// Config is what a Service is made of.
type Config struct {
	// Log is what the state follows; required.
	Log Log
	// State is that of [Projection]; required.
	State eventlog.State
	// Cursors are required.
	Cursors Cursors
	// Admit counts a watch among the streams that its caller has open until leave is
	// called, or refuses it; required.
	Admit func(ctx context.Context, caller access.Caller) (leave func(), err error)
	// Pseudonym returns what stands for a person's WhatsApp id, for callers who see
	// pseudonyms; it is called concurrently. Nil, and empty text, leave the id out.
	Pseudonym func(waID string) string
	// MaxStreamAge ends each watch as planned once it is about as old; zero is never.
	MaxStreamAge time.Duration
	// Logger receives internal errors; nil discards them.
	Logger *slog.Logger
	// Registerer receives the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Service implements AccountService. Its methods are safe for concurrent use.
type Service struct {
	wabastreamv1.UnimplementedAccountServiceServer

	config   Config
	feed     *feed
	watches  prometheus.Gauge
	draining context.Context //nolint:containedctx // not a call's: it ends when Drain is called
	drain    context.CancelFunc
}

var _ wabastreamv1.AccountServiceServer = (*Service)(nil)

// New makes a service. Register it with Register, and Drain it in the end.
func New(config Config) (*Service, error) {
	if config.Pseudonym == nil {
		config.Pseudonym = func(string) string { return "" }
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{config: config, feed: newFeed(config.State, config.Log)}
	s.draining, s.drain = context.WithCancel(context.Background())
	return s, s.register(config.Registerer)
}

// Register adds the service to a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	wabastreamv1.RegisterAccountServiceServer(server, s)
}

// Drain ends every watch, present and future, with a closing frame where the client
// reads and UNAVAILABLE, reason DRAINING. It returns at once. Idempotent.
func (s *Service) Drain() { s.drain() }

func (s *Service) register(registerer prometheus.Registerer) error {
	s.watches = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wabastream_account_watches",
		Help: "Watches of accounts that are open.",
	})
	behind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wabastream_accounts_behind_events",
		Help: "How many events the state of accounts is behind the log; NaN when the log is not available.",
	}, s.behind)
	if registerer == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{s.watches, behind} {
		if err := registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}
