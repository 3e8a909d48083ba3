// Package stream serves the log over gRPC: EventService of the contract.
//
// It guarantees, to every subscriber, what each stream of the contract promises:
//
//   - Ordered: events arrive in log order.
//   - Unique: none arrives twice on one stream.
//   - Complete: every matching event after the start arrives, also across the
//     hand-over from replay to live. What retention removed first is the one
//     exception, and it is told: by an error or a gap frame. Only whoever asks
//     for what there is, from the start or from a time on, is not told of types
//     that are gone from the part of the log that it begins with.
//   - Resumable: every frame's cursor continues with the very next event, in the
//     same way.
//   - Progressing: a reader that reads gets a frame every heartbeat interval,
//     whatever its filter discards.
//   - Filtered: nothing that does not match, or that the caller may not see, is sent.
//   - Durable: nothing is sent that a crash could unsay.
//   - Deliverable: every event marshals to protobuf and to JSON, and fits the size
//     that every client accepts. The front sees to that before it appends.
//
// A subscriber is a cursor and a wake-up, never a queue: the log is the buffer,
// gRPC's flow control holds a slow reader, and a slow reader holds up nobody.
//
// It does not authenticate: each call's context carries the [access.Session] of who
// makes it, and a call without one gets nothing. What that caller's grant does not
// hold is not sent, not counted, not warned of, and answered as what is not there;
// personal data that it withholds is left out of everything that is sent. Numbers
// that belong to the log as a whole, such as sequences and its size, are everyone's.
package stream

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Reader is the part of [eventlog.Log] that serving needs; the guarantees are
// written there.
type Reader interface {
	Read(ctx context.Context, query eventlog.Query) (eventlog.Page, error)
	Check(ctx context.Context, position eventlog.Position) error
	Lookup(ctx context.Context, id eventlog.ID) (eventlog.Entry, error)
	Seek(ctx context.Context, t time.Time) (eventlog.Position, error)
	Bounds(ctx context.Context) (eventlog.Bounds, error)
	Stats(ctx context.Context) (eventlog.Stats, error)
	Wait(ctx context.Context, after eventlog.Sequence) error
}

// Config is what a Service is made of.
type Config struct {
	// Log is read from; required.
	Log Reader
	// Sources tells how fresh each source is, for ready and progress frames; it
	// is called often and concurrently. Nil tells of none.
	Sources func() []*wabastreamv1.SourceStatus
	// Version is the server's version, as told to clients.
	Version string
	// RecentBytes is how much memory, about, the events read last may take, which
	// subscribers share; zero is 48 MiB.
	RecentBytes int
	// MaxStreams is how many subscriptions may be open, MaxStreamsPerCaller how many
	// of one machine; zero is [DefaultMaxStreams] and [DefaultMaxStreamsPerCaller].
	MaxStreams, MaxStreamsPerCaller int
	// MaxStreamAge ends each subscription as planned once it is about as old, so
	// that connections spread over replicas again; zero is never. A tenth more or
	// less is left to chance.
	MaxStreamAge time.Duration
	// Pseudonym returns what stands for a person's WhatsApp id, for callers who see
	// pseudonyms; it is called concurrently. Nil, and empty text, leave the id out.
	Pseudonym func(waID string) string
	// Logger receives internal errors; nil discards them.
	Logger *slog.Logger
	// Registerer receives the service's metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
}

// Service implements EventService. Its methods are safe for concurrent use.
type Service struct {
	wabastreamv1.UnimplementedEventServiceServer

	log     Reader
	sources func() []*wabastreamv1.SourceStatus
	version string
	logger  *slog.Logger
	metrics *metrics

	admission *admission
	streams   *registry
	maxAge    time.Duration
	redactor  *redactor

	feed   *feed
	cancel context.CancelFunc // ends the feed

	draining context.Context //nolint:containedctx // not a call's: it ends when Drain is called
	drain    context.CancelFunc
}

var _ wabastreamv1.EventServiceServer = (*Service)(nil)

// defaultRecentBytes is Config.RecentBytes if that is zero.
const defaultRecentBytes = 48 << 20

// New makes a service. Register it with Register, and Close it.
func New(config Config) *Service {
	s := &Service{
		log:     config.Log,
		sources: config.Sources,
		version: config.Version,
		logger:  config.Logger,
		metrics: newMetrics(config.Registerer),
	}
	if s.sources == nil {
		s.sources = func() []*wabastreamv1.SourceStatus { return nil }
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if config.RecentBytes <= 0 {
		config.RecentBytes = defaultRecentBytes
	}
	if config.MaxStreams <= 0 {
		config.MaxStreams = DefaultMaxStreams
	}
	if config.MaxStreamsPerCaller <= 0 {
		config.MaxStreamsPerCaller = DefaultMaxStreamsPerCaller
	}
	s.admission = newAdmission(config.MaxStreams, config.MaxStreamsPerCaller)
	s.streams = newRegistry()
	s.maxAge = config.MaxStreamAge
	s.redactor = newRedactor(config.Pseudonym)
	s.draining, s.drain = context.WithCancel(context.Background())
	s.feed = newFeed(s.log, s.logger, config.RecentBytes)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.feed.run(ctx)
	return s
}

// Close drains, and frees what the service holds. Streams still open end soon, with
// an error. The log must not be closed before. Idempotent.
func (s *Service) Close() {
	s.drain()
	s.cancel()
	<-s.feed.done
}

// Register adds the service to a server that was made with [ServerOption].
func (s *Service) Register(server grpc.ServiceRegistrar) {
	wabastreamv1.RegisterEventServiceServer(server, s)
}

// Drain ends every stream, present and future, with a closing frame where the
// client reads and UNAVAILABLE, reason DRAINING. It returns at once; the gRPC
// server knows when the streams have ended. Idempotent.
func (s *Service) Drain() { s.drain() }
