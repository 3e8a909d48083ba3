// Package retention trims a log in the background, by age and by size: types
// that have rules of their own first, then the log as a whole.
//
// It guarantees that readers and appends go on meanwhile, that the newest record
// always stays, that one round removes at most a tenth of the log for its age
// and at most half of what is left for its size, and that space which a trim has
// freed but the disk does not show yet is never trimmed for a second time. A rule
// for types never removes a record of another type, and never says that it
// removed more than it did: a type of which nothing is past its limits has no
// trim point moved.
//
// It does not bound the disk to the byte. The log is over its bound by what it
// takes in between two rounds, and by what the backend has yet to give back
// ([eventlog.Stats], Reclaimable).
//
// Limits are shares of the range of sequences that the log holds. On a backend
// whose sequences have gaps, and where rules have removed some types, they are as
// accurate as the gaps are even.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Log is what is trimmed: the part of [eventlog.Log] that it takes.
type Log interface {
	Bounds(ctx context.Context) (eventlog.Bounds, error)
	Stats(ctx context.Context) (eventlog.Stats, error)
	Seek(ctx context.Context, t time.Time) (eventlog.Position, error)
	Trim(ctx context.Context, upTo eventlog.Sequence) error
	TrimType(ctx context.Context, path string, upTo eventlog.Sequence) error
	MeasureType(ctx context.Context, path string, after eventlog.Sequence, limit uint64) (eventlog.Measure, error)
}

var _ Log = eventlog.Log(nil)

// Policy says what a log keeps. The zero value keeps everything.
type Policy struct {
	// MaxAge is how long a record is kept after its append; zero or less is for
	// ever.
	//
	// A round removes at most a tenth of the log, so that a clock that jumps
	// forward does not erase it: at one round a minute half of the log is still
	// there after six minutes. On an ordinary day the tenth is never reached;
	// after a long stop the log catches up over some minutes. While the clock is
	// behind nothing is removed.
	MaxAge time.Duration
	// MaxBytes bounds the log on disk; zero is no bound. The oldest records go
	// first, and at most half of the log goes in a round.
	//
	// What the store takes besides records counts too: with the sizes that
	// pebblelog has by default, some 350 MiB of write-ahead log. Under a bound
	// that is smaller than that the log shrinks to its newest record, so 1 GiB is
	// the least that makes sense. While the log is at its bound the disk needs
	// some 15 % more than it, and under the heaviest load half as much again, for
	// what is to be given back and for compactions.
	MaxBytes uint64
	// Types are rules for some types, besides the limits above, which hold for
	// every record.
	Types []TypeRule
}

// TypeRule bounds what is kept of some types, all of them together.
type TypeRule struct {
	// Paths select types as those of [eventlog.Filter] do: each selects itself and
	// everything below it. No path may be another or below it, in all rules.
	Paths []string
	// MaxAge is how long a record is kept after its append; zero or less is for
	// ever. As for the log, a round removes at most a tenth, here of what lies
	// between the oldest record of a path and the head.
	MaxAge time.Duration
	// MaxBytes bounds what the records take, as stored before compression; zero is
	// no bound. The oldest go first, whatever path they are of; the paths may differ
	// by a sixteenth of what has to go, or 64 KiB. After a round the records are
	// within the bound, but for the newest of the log and what was appended
	// meanwhile.
	MaxBytes uint64
}

// Config is what a [Keeper] is made of.
type Config struct {
	// Log is what is trimmed; required.
	Log Log
	// Policy says what is kept.
	Policy Policy
	// Interval is the time between two rounds, and before the first one: a
	// process that keeps failing at its start must not trim each time. Zero or
	// less is one minute.
	Interval time.Duration
	// Logger receives what goes wrong; nil discards it.
	Logger *slog.Logger
	// Registerer receives wabastream_events_trimmed_total; nil for none.
	Registerer prometheus.Registerer
	// Now is the clock that ages are measured by; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Keeper keeps a log to its policy.
type Keeper struct {
	log      Log
	policy   Policy
	interval time.Duration
	logger   *slog.Logger
	now      func() time.Time
	trimmed  *prometheus.CounterVec
	rules    []*typeRule
}

// New makes a keeper. It panics if the registerer refuses its metric.
func New(config Config) *Keeper {
	config = config.withDefaults()
	k := &Keeper{
		log:      config.Log,
		policy:   config.Policy,
		interval: config.Interval,
		logger:   config.Logger,
		now:      config.Now,
		trimmed:  newTrimmed(config.Registerer),
	}
	for _, rule := range config.Policy.Types {
		k.rules = append(k.rules, newTypeRule(rule))
	}
	return k
}

func newTrimmed(registerer prometheus.Registerer) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wabastream_events_trimmed_total",
		Help: "Events removed from the log, by reason: past their age, or to keep the log to its size; type_: by a rule for their type.",
	}, []string{"reason"})
	for _, r := range []reason{forAge, forSize, forTypeAge, forTypeSize} {
		c.WithLabelValues(string(r)) // a series that begins at zero can be alerted on
	}
	if registerer != nil {
		registerer.MustRegister(c)
	}
	return c
}

// Run trims once an interval until the context ends or the log has failed or is
// closed. What ends the log is told by the log; any other error is logged, and
// the next round tries again. Call it once at a time, and wait for it before
// closing the log: a trim under way stops between two batches.
func (k *Keeper) Run(ctx context.Context) {
	rounds := time.NewTicker(k.interval)
	defer rounds.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rounds.C:
		}
		err := k.round(ctx)
		if ctx.Err() != nil || errors.Is(err, eventlog.ErrFailed) || errors.Is(err, eventlog.ErrClosed) {
			return
		}
		if err != nil {
			k.logger.WarnContext(ctx, "log was not trimmed; it is tried again", "in", k.interval, "error", err)
		}
	}
}
