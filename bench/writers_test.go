package main

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"google.golang.org/protobuf/proto"
)

// countingLog remembers how often each record was appended, and refuses from the
// nth append on if n is set.
type countingLog struct {
	mu     sync.Mutex // guards fields below it
	times  map[eventlog.ID]int
	refuse int
}

var errRefused = errors.New("refused")

func (l *countingLog) Append(_ context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse > 0 && len(l.times) >= l.refuse {
		return nil, errRefused
	}
	for _, r := range records {
		l.times[r.ID]++
	}
	return stored(records, nil)
}

func (l *countingLog) Close() error { return nil }

func TestWritersAppendEachRecordOnce(t *testing.T) {
	t.Parallel()
	log := &countingLog{times: make(map[eventlog.ID]int)}
	load := newWorkload(1000)
	w := &writers{log: log, load: load, end: 5000}
	w.next.Store(100)
	require.NoError(t, w.run(t.Context()))
	require.Len(t, log.times, 4900)
	require.Equal(t, uint64(5000), w.done())
	for n := uint64(100); n < 5000; n++ {
		require.Equal(t, 1, log.times[load.record(n).ID])
	}
}

func TestWritersEndWithTheFirstError(t *testing.T) {
	t.Parallel()
	log := &countingLog{times: make(map[eventlog.ID]int), refuse: 10}
	w := &writers{log: log, load: newWorkload(1000), end: 1 << 40}
	require.ErrorIs(t, w.run(t.Context()), errRefused)
}

// A server streams the records of the workload, so their payloads are a part of
// an event.
func TestPayloadIsAnEvents(t *testing.T) {
	t.Parallel()
	for n := range uint64(10) {
		r := newWorkload(1000).record(n)
		require.Len(t, r.Payload, payloadBytes)
		event := new(wabastreamv1.Event)
		require.NoError(t, proto.Unmarshal(r.Payload, event))
		require.Empty(t, event.ProtoReflect().GetUnknown())
		require.Regexp(t, `^"[\w-]{500,}"$`, event.GetUnrecognized().GetJson())
	}
}
