package retention_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/retention"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLog is a log of records of one size, on a disk that gives back late what
// was trimmed.
type fakeLog struct {
	recordBytes uint64
	otherBytes  uint64        // what the store takes besides records
	lag         time.Duration // from a trim until the disk shows it
	mistake     uint64        // by which the space to come back is overestimated
	// before runs at the start of each call; its error is the call's.
	before func(ctx context.Context, call string) error

	mu     sync.Mutex // guards fields below it
	start  eventlog.Sequence
	stamps []time.Time // of all records there ever were
	freed  []freed
	calls  int
	steps  []uint64 // how many records each trim removed
}

// freed is space that comes back when it is due.
type freed struct {
	bytes uint64
	due   time.Time
}

func (l *fakeLog) append(n int, stamp time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.stamps = append(l.stamps, stamp)
	}
}

func (l *fakeLog) called(ctx context.Context, call string) error {
	l.mu.Lock()
	l.calls++
	l.mu.Unlock()
	if l.before == nil {
		return nil
	}
	return l.before(ctx, call)
}

func (l *fakeLog) Bounds(ctx context.Context) (eventlog.Bounds, error) {
	if err := l.called(ctx, "bounds"); err != nil {
		return eventlog.Bounds{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventlog.Bounds{
		Start: eventlog.Position{Sequence: l.start},
		Head:  eventlog.Position{Sequence: eventlog.Sequence(len(l.stamps))},
	}, nil
}

func (l *fakeLog) Stats(ctx context.Context) (eventlog.Stats, error) {
	if err := l.called(ctx, "stats"); err != nil {
		return eventlog.Stats{}, err
	}
	return l.stats(), nil
}

func (l *fakeLog) stats() eventlog.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := eventlog.Stats{Records: uint64(len(l.stamps)) - uint64(l.start)}
	for _, f := range l.freed {
		if time.Now().Before(f.due) {
			s.Reclaimable += f.bytes
		}
	}
	s.Bytes = l.otherBytes + s.Records*l.recordBytes + s.Reclaimable
	s.Reclaimable += l.mistake
	return s
}

func (l *fakeLog) Seek(ctx context.Context, t time.Time) (eventlog.Position, error) {
	if err := l.called(ctx, "seek"); err != nil {
		return eventlog.Position{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.start
	for int(at) < len(l.stamps) && l.stamps[at].Before(t) {
		at++
	}
	return eventlog.Position{Sequence: at}, nil
}

func (l *fakeLog) Trim(ctx context.Context, upTo eventlog.Sequence) error {
	if err := l.called(ctx, "trim"); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(upTo) > len(l.stamps) {
		return eventlog.ErrAhead
	}
	n := uint64(upTo - l.start)
	l.start = upTo
	l.steps = append(l.steps, n)
	l.freed = append(l.freed, freed{n * l.recordBytes, time.Now().Add(l.lag)})
	return nil
}

// held is how many records the log holds.
func (l *fakeLog) held() int { return int(l.stats().Records) }

// lines is a log output.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// harness is a keeper at work on a fake log, inside a synctest bubble.
type harness struct {
	*fakeLog
	registry *prometheus.Registry
	lines    *lines
	done     <-chan struct{} // closed when Run has returned
	stop     context.CancelFunc
}

// keep starts a keeper of the log by a clock that is ahead by what skew returns.
func keep(t *testing.T, log *fakeLog, policy retention.Policy, skew func() time.Duration) *harness {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	h := &harness{fakeLog: log, registry: prometheus.NewRegistry(), lines: &lines{}, done: done, stop: cancel}
	config := retention.Config{
		Log:        log,
		Policy:     policy,
		Logger:     slog.New(slog.NewTextHandler(h.lines, nil)),
		Registerer: h.registry,
	}
	if skew != nil {
		config.Now = func() time.Time { return time.Now().Add(skew()) }
	}
	keeper := retention.New(config)
	go func() {
		defer close(done)
		keeper.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return h
}

// round lets one minute pass, and returns how many records the keeper removed.
func (h *harness) round() int {
	before := h.held()
	<-time.After(time.Minute)
	synctest.Wait()
	return before - h.held()
}

// trimmed reads the metric.
func (h *harness) trimmed(t *testing.T) map[string]int {
	t.Helper()
	families, err := h.registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Equal(t, "wabastream_events_trimmed_total", families[0].GetName())
	counts := map[string]int{}
	for _, m := range families[0].GetMetric() {
		require.Len(t, m.GetLabel(), 1)
		require.Equal(t, "reason", m.GetLabel()[0].GetName())
		counts[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
	}
	return counts
}
