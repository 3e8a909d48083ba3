package retention_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
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

	mu      sync.Mutex // guards fields below it
	start   eventlog.Sequence
	records []fakeRecord // all there ever were
	trims   map[string]eventlog.Sequence
	freed   []freed
	calls   int
	steps   []uint64 // how many records each trim removed
	summed  uint64   // records that were measured
}

type fakeRecord struct {
	stamp time.Time
	path  string
	gone  bool // for its type
}

// ordinary is the type of records whose type does not matter.
const ordinary = "account_update"

// freed is space that comes back when it is due.
type freed struct {
	bytes uint64
	due   time.Time
}

func (l *fakeLog) append(n int, stamp time.Time) { l.appendType(ordinary, n, stamp) }

func (l *fakeLog) appendType(path string, n int, stamp time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.records = append(l.records, fakeRecord{stamp: stamp, path: path})
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
	bounds := eventlog.Bounds{
		Start: eventlog.Position{Sequence: l.start},
		Head:  eventlog.Position{Sequence: eventlog.Sequence(len(l.records))},
	}
	for path, upTo := range l.trims {
		if upTo > l.start {
			bounds.TypeTrims = append(bounds.TypeTrims, eventlog.TypeTrim{Path: path, UpTo: eventlog.Position{Sequence: upTo}})
		}
	}
	return bounds, nil
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
	s := eventlog.Stats{}
	for i := range l.records[l.start:] {
		if !l.records[int(l.start)+i].gone {
			s.Records++
		}
	}
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
	for int(at) < len(l.records) && l.records[at].stamp.Before(t) {
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
	if int(upTo) > len(l.records) {
		return eventlog.ErrAhead
	}
	n := uint64(0)
	for _, r := range l.records[l.start:upTo] {
		if !r.gone {
			n++
		}
	}
	l.start = upTo
	l.steps = append(l.steps, n)
	l.freed = append(l.freed, freed{n * l.recordBytes, time.Now().Add(l.lag)})
	return nil
}

func (l *fakeLog) TrimType(ctx context.Context, path string, upTo eventlog.Sequence) error {
	if err := l.called(ctx, "trim"); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(upTo) > len(l.records) {
		return eventlog.ErrAhead
	}
	n := uint64(0)
	for i := l.start; i < upTo && int(i) < len(l.records)-1; i++ {
		if r := &l.records[i]; !r.gone && isBelow(r.path, path) {
			r.gone = true
			n++
		}
	}
	if l.trims == nil {
		l.trims = map[string]eventlog.Sequence{}
	}
	l.trims[path] = max(l.trims[path], upTo)
	l.steps = append(l.steps, n)
	l.freed = append(l.freed, freed{n * l.recordBytes, time.Now().Add(l.lag)})
	return nil
}

func (l *fakeLog) MeasureType(ctx context.Context, path string, after eventlog.Sequence, limit uint64) (eventlog.Measure, error) {
	if err := l.called(ctx, "measure"); err != nil {
		return eventlog.Measure{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m := eventlog.Measure{UpTo: max(after, l.start)}
	for ; int(m.UpTo) < len(l.records); m.UpTo++ {
		if limit > 0 && m.Bytes >= limit {
			break
		}
		if r := &l.records[m.UpTo]; !r.gone && isBelow(r.path, path) {
			m.Records++
			m.Bytes += l.recordBytes
			l.summed++
		}
	}
	return m, nil
}

func isBelow(t, path string) bool { return t == path || strings.HasPrefix(t, path+".") }

// heldOf is how many records of a path the log holds.
func (l *fakeLog) heldOf(path string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.records[l.start:] {
		if !r.gone && isBelow(r.path, path) {
			n++
		}
	}
	return n
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
	require.Len(t, families[0].GetMetric(), 4, "a series that begins at zero can be alerted on")
	counts := map[string]int{}
	for _, m := range families[0].GetMetric() {
		require.Len(t, m.GetLabel(), 1)
		require.Equal(t, "reason", m.GetLabel()[0].GetName())
		if n := int(m.GetCounter().GetValue()); n > 0 {
			counts[m.GetLabel()[0].GetValue()] = n
		}
	}
	return counts
}
