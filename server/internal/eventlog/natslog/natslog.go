// Package natslog is the replicated backend of package eventlog: a stream of a NATS
// JetStream cluster, and in each replica of the server a copy of what it says.
//
// The records of an append are in one message of the stream, so that they are all or
// none; appends that wait while messages are under way share the next. Every replica
// takes the stream in with one ordered reader and makes the same log of it: the same
// records are duplicates, and the others get the same sequences and stamps, so that a
// position means the same everywhere. The log is kept in a store of package pebblelog in
// a folder of the replica, with its index, and that is what is read, waited for and
// measured. The folder is a cache: an empty one is filled from the stream. Of what was
// trimmed the stream is purged, once the states of projections that were made of it are
// stored in a JetStream object store beside it, with its name: an empty folder begins
// with them.
//
// Besides what [eventlog.Log] promises it guarantees that an append is answered only
// when the stream has acknowledged it and this replica has taken it in; that Bounds and
// Seek, and with them every replay that ends at the head, and Check and Lookup where they
// say that something is ahead of the log, or not found, have taken in everything that was
// acknowledged to anyone before; that a replica never goes on over a hole in the stream:
// it fails; and that none begins without states that it cannot make: an object that is
// missing or damaged is an error that names it. Replicas that came to different logs are
// noticed, and the operator told.
//
// It does not make acknowledged messages durable. That is the servers' part, and an
// operator's to configure: by default they acknowledge before they sync. While the
// stream cannot be reached, calls that need it end with eventlog.ErrUnavailable or
// their context; what was taken in stays readable.
package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// Options say where the stream is and how it is used.
type Options struct {
	// URL is where the servers are, as of nats.Connect: one or more, comma-separated.
	URL string
	// CredentialsFile, if set, holds a user's JWT and key. CAFile, if set, holds the
	// authorities that the servers' certificates are checked against, CertFile and
	// KeyFile a certificate for this replica.
	CredentialsFile           string
	CAFile, CertFile, KeyFile string
	// Stream is the stream's name; it is made if there is none. Required.
	Stream string
	// Replicas is how many servers keep the stream: 1, 3 or 5. Zero is 3. A stream
	// that has fewer is refused.
	Replicas int
	// Window is over how many messages duplicates can be under way at once; it is
	// decided when the stream is made. Zero is 8,192.
	Window uint64
	// ObjectWait is how long the state of projections may take to be stored beside the
	// stream, twice over: what was stored longer ago, and nothing refers to, is removed.
	// Zero is one hour.
	ObjectWait time.Duration
	// IDHorizon is for how long the stream keeps messages that were trimmed, so that a
	// new replica knows their ids. Zero is 7 days.
	IDHorizon time.Duration
	// Dir is the replica's folder, used by one process at a time. Required.
	Dir string
	// Store tunes the store in it. Its Logger and Now are those of the log.
	Store pebblelog.Options
	// Connect are further options of the connection, for tests.
	Connect []nats.Option
	// StartWait is how long Open waits for the stream to be reached. Zero is 30
	// seconds.
	StartWait time.Duration
	// SyncWait is how long calls wait for this replica to take in what the stream has.
	// Zero is 10 seconds.
	SyncWait time.Duration
	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger
	// Now is the clock that stamps appends; nil is time.Now.
	Now func() time.Time
}

const (
	defaultReplicas = 3
	defaultWindow   = 8192
	defaultHorizon  = 7 * 24 * time.Hour
	defaultObject   = time.Hour
	defaultStart    = 30 * time.Second
	defaultSync     = 10 * time.Second
	// closePatience is how long Close waits for appends under way.
	closePatience = 5 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Replicas == 0 {
		o.Replicas = defaultReplicas
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.IDHorizon == 0 {
		o.IDHorizon = defaultHorizon
	}
	if o.ObjectWait == 0 {
		o.ObjectWait = defaultObject
	}
	if o.StartWait == 0 {
		o.StartWait = defaultStart
	}
	if o.SyncWait == 0 {
		o.SyncWait = defaultSync
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Store.Logger, o.Store.Now = o.Logger, o.Now
	return o
}

// Log is a replica of an open log. [Open] makes one.
type Log struct {
	opts   Options
	logger *slog.Logger
	id     eventlog.LogID

	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	bucket jetstream.Stream // of the object store beside it
	pulse  pulse

	copy    *pebblelog.Follower
	local   *pebblelog.Log // the log of copy
	fold    *fold          // the reader's alone
	witness *witness

	mu      sync.Mutex // guards fields below it
	at      place      // up to where the log is taken in, and visible
	moved   chan struct{}
	waiting map[string]chan verdict // by message id: who waits for what becomes of it
	said    error                   // by the stream, to the last message
	trims   []control               // to be done, in order; the first may be under way
	trimmed chan struct{}           // closed when the first is done
	closed  bool
	failure error

	// read is the last message that the reader has been given, also of those before the
	// copy's place.
	read atomic.Uint64

	purging  sync.Mutex // held by a purge
	baseSize uint64     // of the states' bases when they were measured last; guarded by purging

	appends sync.WaitGroup // calls that Close waits for
	workers sync.WaitGroup

	// running ends with the workers; its cause is what later calls return. open ends
	// when Close has begun.
	running context.Context //nolint:containedctx // the log's own, not a call's
	stop    context.CancelCauseFunc
	calls   chan *call    // appends that wait for a message
	work    chan struct{} // holds a token while there may be trims
	failed  chan struct{}
	closing sync.Once
	ended   error
}

var _ eventlog.Log = (*Log)(nil)

// Open opens a replica, makes the stream and the folder if need be, and returns once
// the replica has taken in everything that the stream had when it was called. That
// may take long for an empty folder: until the context ends.
//
// A stream that was not made by Open, or is configured so that it could lose what was
// acknowledged, is refused.
func Open(ctx context.Context, opts Options) (_ *Log, err error) {
	l := &Log{
		opts:    opts.withDefaults(),
		moved:   make(chan struct{}),
		trimmed: make(chan struct{}),
		waiting: make(map[string]chan verdict),
		calls:   make(chan *call),
		work:    make(chan struct{}, 1),
		failed:  make(chan struct{}),
	}
	l.logger = l.opts.Logger
	l.running, l.stop = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			_ = l.release(eventlog.ErrClosed) // the error that matters is the first
			err = fmt.Errorf("open log of stream %s: %w", opts.Stream, err)
		}
	}()
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	if err := l.openStream(ctx); err != nil {
		return nil, err
	}
	if err := l.openBucket(ctx); err != nil {
		return nil, err
	}
	first, last, err := l.openCopy(ctx)
	if err != nil {
		return nil, err
	}
	l.witness = newWitness(l.opts.Window, l.at)
	l.pulse.beat()
	l.read.Store(first - 1)
	l.workers.Go(func() { l.follow(first) })
	l.workers.Go(l.trimAll)
	for range flights {
		l.workers.Go(l.carryAll)
	}
	l.workers.Go(l.guardCopy)
	if err := l.catchUp(ctx, last); err != nil {
		return nil, err
	}
	if err := l.hide(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// catchUp waits until a message is taken in, and says how that goes.
func (l *Log) catchUp(ctx context.Context, last uint64) error {
	tell := time.NewTicker(tellEvery)
	defer tell.Stop()
	for {
		at, moved := l.place()
		if at.message >= last {
			return nil
		}
		select {
		case <-moved:
		case <-tell.C:
			l.logger.Info("taking in the stream", "message", at.message, "of", last)
		case <-l.running.Done():
			return context.Cause(l.running)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellEvery is how often the operator is told how far a start is.
const tellEvery = 5 * time.Second

// place is up to where the log is taken in, and what is closed when that moves on.
func (l *Log) place() (place, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.moved
}

// guardCopy fails the log when its copy has failed.
func (l *Log) guardCopy() {
	select {
	case <-l.local.Failed():
		l.fail(fmt.Errorf("the replica's copy: %w", l.local.Err()))
	case <-l.running.Done():
	}
}

// fail ends the log for good.
func (l *Log) fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil || l.closed {
		return
	}
	l.failure = cause
	l.logger.Error("log has failed", "error", cause)
	l.stop(fmt.Errorf("%w: %w", eventlog.ErrFailed, cause))
	close(l.failed)
}

// Failed implements eventlog.Log.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err implements eventlog.Log.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Close implements eventlog.Log. It waits for appends under way, for some seconds.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		done := make(chan struct{})
		go func() { defer close(done); l.appends.Wait() }()
		patience := time.NewTimer(closePatience)
		defer patience.Stop()
		select {
		case <-done:
		case <-patience.C:
		case <-l.running.Done():
		}
		l.ended = l.release(eventlog.ErrClosed)
		<-done
	})
	return l.ended
}

// release ends whatever runs, and lets go of the folder and the connection.
func (l *Log) release(cause error) error {
	l.stop(cause)
	l.workers.Wait()
	var err error
	if l.copy != nil {
		err = l.copy.Close()
	}
	if l.conn != nil {
		l.conn.Close()
	}
	return err
}

// begin takes part in using the log until the function returned is called; Close waits
// for it.
func (l *Log) begin() (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, eventlog.ErrClosed
	}
	if l.failure != nil {
		return nil, fmt.Errorf("%w: %w", eventlog.ErrFailed, l.failure)
	}
	l.appends.Add(1)
	return l.appends.Done, nil
}

// usable is nil while the log is open.
func (l *Log) usable() error {
	done, err := l.begin()
	if err != nil {
		return err
	}
	done()
	return nil
}

// while gives a call a context that ends with the log too. What ended it is told by
// ended.
func (l *Log) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.running, func() { cancel(context.Cause(l.running)) })
	return ctx, func() { stop(); cancel(nil) }
}

// endOf replaces an error that comes from the end of the log's context by its cause.
func endOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); errors.Is(cause, eventlog.ErrClosed) || errors.Is(cause, eventlog.ErrFailed) {
		return cause
	}
	return err
}
