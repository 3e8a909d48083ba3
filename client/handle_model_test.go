package client_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Handling as it may go: a server whose streams break, handlers that fail and take
// their time, consumers that crash between any two steps. What the model checks is
// what [client.Client.Handle] promises.
func TestHandleCampaign(t *testing.T) {
	t.Parallel()
	rounds := uint64(150)
	if fullRounds() {
		rounds = 20_000
	}
	var crashes, failures int
	for seed := range rounds {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(seed)
			c := connect(t, m)
			for run := 0; !m.finished; run++ {
				require.Less(t, run, 300, "seed %d: no end", seed)
				m.consume(t, c)
				require.Empty(t, m.broken, "seed %d, run %d", seed, run)
			}
			require.ElementsMatch(t, slices.Collect(maps.Keys(m.lanes)), slices.Collect(maps.Keys(m.handled)), "seed %d", seed)
			require.Equal(t, m.size, m.sequenceOf(m.saved), "seed %d: the checkpoint has come to the end", seed)
			crashes += m.crashes
			failures += m.failures
		})
	}
	require.Greater(t, crashes, int(rounds))
	require.Greater(t, failures, int(rounds))
}

// model is the server, the consumer's checkpoint and what its handlers did.
type model struct {
	wabastreamv1.UnimplementedEventServiceServer
	size     uint64            // the log's last sequence
	matching []uint64          // the events that are asked for
	lanes    map[uint64]string // of each of them
	finished bool

	// Of the run at hand:
	concurrency, window int

	mu       sync.Mutex // guards what follows, and random
	random   *rand.Rand
	saved    string
	handled  map[uint64]bool
	now      map[uint64]bool // handled in this run
	running  map[string]bool
	first    uint64 // the run's first event
	crashed  bool
	broken   []string
	crashes  int
	failures int
}

func newModel(seed uint64) *model {
	m := &model{
		random:  rand.New(rand.NewPCG(seed, 1)),
		lanes:   make(map[uint64]string),
		handled: make(map[uint64]bool),
	}
	m.size = 1 + m.random.Uint64N(120)
	accounts := 1 + m.random.IntN(8)
	for sequence := uint64(1); sequence <= m.size; sequence++ {
		if m.random.IntN(3) > 0 {
			m.matching = append(m.matching, sequence)
			m.lanes[sequence] = strconv.Itoa(m.random.IntN(accounts))
		}
	}
	return m
}

func (m *model) chance(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n) == 0
}

func (m *model) upTo(d time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.random.Int64N(int64(d) + 1))
}

// breaks notes a promise that was not kept.
func (m *model) breaks(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

func (*model) sequenceOf(cursor string) (sequence uint64) {
	_, _ = fmt.Sscanf(cursor, "c%d", &sequence)
	return sequence
}

// Subscribe sends the log in frames of all sizes, and breaks down now and then.
func (m *model) Subscribe(request *wabastreamv1.SubscribeRequest, stream sender) error {
	after := m.sequenceOf(request.GetAfterCursor())
	first := ready(fmt.Sprint("c", after))
	first.GetReady().HeadCursor = fmt.Sprint("c", m.size)
	for frame := first; ; frame = m.frame(&after) {
		if m.chance(12) {
			return status.Error(codes.Unavailable, "a bad day")
		}
		if err := stream.Send(frame); err != nil {
			return err
		}
		if after == m.size {
			return nil
		}
		<-time.After(m.upTo(200 * time.Millisecond))
	}
}

// frame covers the next part of the log.
func (m *model) frame(after *uint64) *wabastreamv1.SubscribeResponse {
	m.mu.Lock()
	defer m.mu.Unlock()
	end := min(m.size, *after+1+m.random.Uint64N(9))
	frame := progress("")
	var events []*wabastreamv1.Event
	for sequence := *after + 1; sequence <= end; sequence++ {
		if name, ok := m.lanes[sequence]; ok {
			events = append(events, of(name, "", sequence))
		}
	}
	if len(events) > 0 {
		frame = batchOf(events...)
	}
	frame.Cursor = fmt.Sprint("c", end)
	*after = end
	return frame
}

// consume is one life of the consumer.
func (m *model) consume(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.begin()
	options := []client.HandleOption{
		client.WithCheckpoint(m), client.WithConcurrency(m.concurrency), client.WithWindow(m.window),
		client.WithSaveInterval(50*time.Millisecond + m.upTo(time.Second)),
	}
	if !m.chance(4) {
		options = append(options, client.WithRetry(1+int(m.upTo(5)), 10*time.Millisecond, 500*time.Millisecond))
	}
	if !m.chance(5) {
		crash := time.AfterFunc(m.upTo(10*time.Second), func() { m.crash(cancel) })
		defer crash.Stop()
	}
	err := c.Handle(ctx, untilHead(), m.handle, options...)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.running) > 0 {
		m.breaks("handlers run after Handle returned")
	}
	if err == nil && m.crashed {
		err = context.Canceled // the process did not live to see it
	}
	m.finished = err == nil
}

func (m *model) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.concurrency = 1 + m.random.IntN(6)
	m.window = m.concurrency + m.random.IntN(20)
	m.now, m.running, m.crashed = make(map[uint64]bool), make(map[string]bool), false
	m.first = m.sequenceOf(m.saved) + 1
}

// crash is the end of a process: from here on nothing that it does is kept.
func (m *model) crash(cancel context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	m.crashes++
	cancel()
}

func (m *model) Load(context.Context) (string, error) { return m.saved, nil }

func (m *model) Save(_ context.Context, cursor string) error {
	if m.chance(6) {
		return errHandler
	}
	<-time.After(m.upTo(300 * time.Millisecond))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil
	}
	at := m.sequenceOf(cursor)
	if at < m.sequenceOf(m.saved) {
		m.breaks("the checkpoint went back from %s to %s", m.saved, cursor)
	}
	for _, sequence := range m.matching {
		if sequence <= at && !m.handled[sequence] {
			m.breaks("the checkpoint %s passed event %d", cursor, sequence)
		}
	}
	m.saved = cursor
	return nil
}

func (m *model) handle(_ context.Context, event *wabastreamv1.Event) error {
	sequence, name := event.GetSequence(), event.GetWabaId()
	m.enter(sequence, name)
	<-time.After(m.upTo(time.Second))
	failed := m.chance(6)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, name)
	if failed || m.crashed {
		m.failures++
		return errHandler
	}
	m.handled[sequence], m.now[sequence] = true, true
	return nil
}

// enter checks that the event may be handled now.
func (m *model) enter(sequence uint64, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[name] {
		m.breaks("two events of account %s at once", name)
	}
	m.running[name] = true
	if len(m.running) > m.concurrency {
		m.breaks("%d handlers at once, of %d", len(m.running), m.concurrency)
	}
	if m.now[sequence] {
		m.breaks("event %d again, without a crash", sequence)
	}
	behind := 0 // events from the oldest that is not handled
	for _, earlier := range m.matching {
		if earlier < m.first || earlier >= sequence {
			continue
		}
		if m.lanes[earlier] == name && !m.now[earlier] {
			m.breaks("event %d before event %d of the same account", sequence, earlier)
		}
		if behind > 0 || !m.now[earlier] {
			behind++
		}
	}
	if behind >= m.window {
		m.breaks("event %d is %d behind the oldest, the window is %d", sequence, behind, m.window)
	}
}
