package stream_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// TestTrimsCampaign lets readers loose on a log that is trimmed, as a whole and
// by type, between any two frames, and cuts them off now and then. Whatever they
// did not receive was removed, and those that began after a cursor were told.
func TestTrimsCampaign(t *testing.T) {
	t.Parallel()
	rounds := 200
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		rounds = 3000
	}
	var told atomic.Int64
	for seed := range rounds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			m := newTrimModel(t, uint64(seed))
			m.readToTheEnd()
			m.check()
			told.Add(int64(len(m.gaps)))
		})
	}
	t.Cleanup(func() { assert.Greater(t, told.Load(), int64(rounds/4), "the readers must come across trims") })
}

// trimModel is one reader on one log, and what has to come of it.
type trimModel struct {
	t       *testing.T
	random  *rand.Rand
	h       *harness
	ended   chan struct{} // one for each stream that the server has ended
	types   []string      // of the events by sequence, less one
	removed map[eventlog.Sequence]bool
	actions int // left

	req       *wabastreamv1.SubscribeRequest
	asksHeld  bool // the reader begins at EARLIEST
	begin     eventlog.Sequence
	end       eventlog.Sequence
	delivered []eventlog.Sequence
	gaps      []*wabastreamv1.Gap
}

func newTrimModel(t *testing.T, seed uint64) *trimModel {
	t.Helper()
	m := &trimModel{t: t, random: rand.New(rand.NewPCG(seed, 1)), ended: make(chan struct{}, 1), removed: map[eventlog.Sequence]bool{}}
	m.h = newHarness(t, grpc.ChainStreamInterceptor(m.watchEnds), beforeSend(func(int) { m.act() }))
	for range 10 + m.random.IntN(30) {
		m.append()
	}
	cursors := m.h.cursors()
	<-m.ended
	m.actions = 6
	m.req = &wabastreamv1.SubscribeRequest{
		ExpiredCursorPolicy: goOn,
		MaxBatchEvents:      1 + m.random.Int32N(4),
	}
	if path := []string{"", "messages", "messages.text", "calls"}[m.random.IntN(4)]; path != "" {
		m.req.Filters = onlyType(path)
	}
	if m.asksHeld = m.random.IntN(2) == 0; m.asksHeld {
		m.req.Start = earliest()
		return m
	}
	m.begin = eventlog.Sequence(1 + m.random.IntN(len(m.types)))
	m.req.Start = after(cursors[m.begin])
	return m
}

func (m *trimModel) watchEnds(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	defer func() { m.ended <- struct{}{} }()
	return handler(srv, ss)
}

func (m *trimModel) append() {
	path := []string{"messages.text", "messages.image", "calls", ban}[m.random.IntN(4)]
	m.types = append(m.types, path)
	if _, err := m.h.log.Append(context.Background(), []eventlog.Record{m.h.record(typed(path))}); err != nil {
		m.t.Errorf("append: %v", err)
	}
}

// act does one thing to the log, sometimes. It runs on the goroutine of a stream,
// which must not be ended.
func (m *trimModel) act() {
	if m.actions == 0 || m.random.IntN(2) == 0 {
		return
	}
	m.actions--
	upTo := eventlog.Sequence(1 + m.random.IntN(len(m.types)-1))
	switch path := []string{"", "", "messages", "messages.text", "calls"}[m.random.IntN(5)]; {
	case path != "":
		m.h.trimType(path, upTo)
		m.remove(path, upTo)
	case m.random.IntN(3) == 0:
		if err := m.h.log.Trim(context.Background(), upTo); err != nil {
			m.t.Errorf("trim up to %d: %v", upTo, err)
		}
		m.remove("", upTo)
	default:
		m.append()
	}
}

func (m *trimModel) remove(path string, upTo eventlog.Sequence) {
	for i, t := range m.types[:upTo] {
		if path == "" || isBelow(t, path) {
			m.removed[eventlog.Sequence(i+1)] = true
		}
	}
}

func isBelow(t, path string) bool { return t == path || strings.HasPrefix(t, path+".") }

// readToTheEnd reads until it has caught up, over as many streams as it takes.
// How many frames of each it receives was decided before the first, so that the
// two sides do not share the source of chance.
func (m *trimModel) readToTheEnd() {
	for {
		frames := 1 + m.random.IntN(12)
		ctx, cut := context.WithCancel(context.Background())
		s, err := m.h.client.Subscribe(ctx, m.req)
		require.NoError(m.t, err)
		for ; frames > 0 && m.end == 0; frames-- {
			frame, err := s.Recv()
			require.NoError(m.t, err)
			m.take(frame)
		}
		cut()
		<-m.ended
		if m.end != 0 {
			return
		}
	}
}

func (m *trimModel) take(frame *wabastreamv1.SubscribeResponse) {
	m.req.Start = after(frame.GetCursor())
	m.delivered = append(m.delivered, sequences(frame.GetBatch().GetEvents())...)
	if gap := frame.GetGap(); gap != nil {
		m.gaps = append(m.gaps, gap)
	}
	if frame.GetCaughtUp() != nil {
		m.end = sequenceIn(m.t, frame.GetCursor())
	}
}

func (m *trimModel) check() {
	require.IsIncreasing(m.t, append([]eventlog.Sequence{m.begin}, m.delivered...))
	received := map[eventlog.Sequence]bool{}
	for _, seq := range m.delivered {
		received[seq] = true
	}
	for seq := m.begin + 1; seq <= m.end; seq++ {
		if !m.selects(m.types[seq-1]) || received[seq] {
			continue
		}
		require.True(m.t, m.removed[seq], "event %d is held and was not received", seq)
		if !m.asksHeld {
			require.True(m.t, m.told(seq), "nothing was said of event %d", seq)
		}
	}
}

func (m *trimModel) selects(t string) bool {
	return len(m.req.GetFilters()) == 0 || isBelow(t, m.req.GetFilters()[0].GetTypes()[0])
}

func (m *trimModel) told(seq eventlog.Sequence) bool {
	for _, gap := range m.gaps {
		if seq <= sequenceIn(m.t, gap.GetFromCursor()) || seq > sequenceIn(m.t, gap.GetToCursor()) {
			continue
		}
		if len(gap.GetTypes()) == 0 {
			return true
		}
		for _, path := range gap.GetTypes() {
			if isBelow(m.types[seq-1], path) {
				return true
			}
		}
	}
	return false
}

// sequenceIn looks into a cursor, which no client does.
func sequenceIn(t *testing.T, cursor string) eventlog.Sequence {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	require.NoError(t, err)
	return eventlog.Sequence(binary.BigEndian.Uint64(b[9:17]))
}
