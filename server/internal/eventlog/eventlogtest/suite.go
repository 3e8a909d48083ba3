// Package eventlogtest is the conformance suite of package eventlog: what every
// backend of the log must do, run against a factory that makes stores.
//
// It covers the contract as callers see it. It does not cover crashes, failing
// disks and performance, which each backend tests in its own way.
package eventlogtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Store is one place that keeps a log. Open creates the log there the first
// time, and opens it again after it was closed. The log stamps with now.
type Store interface {
	Open(t *testing.T, now func() time.Time) eventlog.Log
}

// Factory makes an empty store for one test. What it needs to remove in the end
// it registers with t.Cleanup.
type Factory func(t *testing.T) Store

// OptOut names a test that a backend does not pass by design.
type OptOut struct {
	// Test is the name as Run reports it, without the parent's.
	Test string
	// Reason says why; it is printed.
	Reason string
}

// Run runs the suite, each test in parallel on a store of its own.
func Run(t *testing.T, factory Factory, optOuts ...OptOut) {
	t.Helper()
	all := tests()
	for _, o := range optOuts {
		if _, ok := all[o.Test]; !ok || o.Reason == "" {
			t.Fatalf("opt-out %q: want the name of a test and a reason", o.Test)
		}
		t.Logf("opted out of %s: %s", o.Test, o.Reason)
		delete(all, o.Test)
	}
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, factory(t)))
		})
	}
}

func tests() map[string]func(*bench) {
	all := make(map[string]func(*bench))
	for _, group := range []map[string]func(*bench){
		appendTests(), duplicateTests(), readTests(), locateTests(), trimTests(), typeTrimTests(),
		measureTypeTests(), projectTests(), lifeTests(), modelTests(),
	} {
		maps.Copy(all, group)
	}
	return all
}

// bench is what a test works with: a log and the clock that it stamps with.
type bench struct {
	*testing.T
	log   eventlog.Log
	clock *clock
	store Store
}

// recordsUnderReaders is how many of the records of a test are written whose readers go
// over all of them without a pause: on two cores the time goes with the square. A
// campaign writes all.
func recordsUnderReaders(all int) int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return all
	}
	return all / 5
}

func newBench(t *testing.T, store Store) *bench {
	t.Helper()
	b := &bench{T: t, store: store, clock: newClock()}
	b.log = store.Open(t, b.clock.now)
	t.Cleanup(func() { require.NoError(t, b.log.Close()) })
	return b
}

// reopen closes the log and opens it again.
func (b *bench) reopen() {
	b.Helper()
	require.NoError(b, b.log.Close())
	b.log = b.store.Open(b.T, b.clock.now)
}

// append appends and returns the answers.
func (b *bench) append(records ...eventlog.Record) []eventlog.Appended {
	b.Helper()
	answers, err := b.log.Append(b.Context(), records)
	require.NoError(b, err)
	require.Len(b, answers, len(records))
	return answers
}

// fill appends records one by one and returns their positions.
func (b *bench) fill(records ...eventlog.Record) []eventlog.Position {
	b.Helper()
	positions := make([]eventlog.Position, len(records))
	for i, r := range records {
		a := b.append(r)[0]
		require.False(b, a.Duplicate, "record %d", i)
		positions[i] = a.Position
	}
	return positions
}

// readAll follows a query to its end and checks what holds for every page.
func (b *bench) readAll(q eventlog.Query) []eventlog.Entry {
	b.Helper()
	entries, err := collect(b.Context(), b.log, q)
	require.NoError(b, err)
	return entries
}

func collect(ctx context.Context, log eventlog.Log, q eventlog.Query) ([]eventlog.Entry, error) {
	var all []eventlog.Entry
	for {
		page, err := log.Read(ctx, q)
		if err != nil {
			return all, err
		}
		if err := checkPage(q, page); err != nil {
			return all, err
		}
		all = append(all, page.Entries...)
		if !page.More {
			return all, nil
		}
		q.After = page.Scanned.Sequence
	}
}

// checkPage checks a page against its query: order, direction, limits, progress.
func checkPage(q eventlog.Query, p eventlog.Page) error {
	if q.Limit > 0 && len(p.Entries) > q.Limit {
		return fmt.Errorf("%d entries, limit %d", len(p.Entries), q.Limit)
	}
	last := q.After
	for _, e := range p.Entries {
		s := e.Position.Sequence
		forward := s > last
		if q.Reverse {
			forward = last == 0 || s < last
		}
		if !forward {
			return fmt.Errorf("sequence %d behind %d is out of order", s, last)
		}
		if !q.Filter.Match(&e.Header) {
			return fmt.Errorf("sequence %d does not match the filter", s)
		}
		last = s
	}
	scanned := p.Scanned.Sequence
	switch {
	case p.More && scanned == q.After:
		return errors.New("more, but no progress")
	case !q.Reverse && scanned < last:
		return fmt.Errorf("scanned %d lies before entry %d", scanned, last)
	case q.Reverse && len(p.Entries) > 0 && scanned > last:
		return fmt.Errorf("scanned %d lies before entry %d", scanned, last)
	case q.Reverse && p.Scanned.Fingerprint != 0:
		return errors.New("a reverse page has a fingerprint")
	}
	return nil
}

func sequences(entries []eventlog.Entry) []eventlog.Sequence {
	all := make([]eventlog.Sequence, len(entries))
	for i, e := range entries {
		all[i] = e.Position.Sequence
	}
	return all
}

// payloads are what tests tell records apart by.
func payloads(entries []eventlog.Entry) []string {
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = string(e.Payload)
	}
	return all
}

// equalRecords fails the test unless a stored record is the one appended.
func (b *bench) equalRecords(want eventlog.Record, got eventlog.Record) {
	b.Helper()
	require.Empty(b, cmp.Diff(want, got, cmp.Comparer(bytes.Equal)))
}

// record makes a record that n alone tells from others.
func record(n int) eventlog.Record {
	return eventlog.Record{
		Header: eventlog.Header{
			ID:         idOf(n),
			Source:     "nxcloud",
			WABAID:     "1001",
			WABASource: eventlog.WABAPayload,
			Type:       "account_update",
			Severity:   eventlog.SeverityInfo,
		},
		Payload: fmt.Appendf(nil, "payload %d", n),
		Raw:     fmt.Appendf(nil, `{"n":%d}`, n),
		Horizon: time.Hour,
	}
}

func records(from, to int) []eventlog.Record {
	var all []eventlog.Record
	for n := from; n < to; n++ {
		all = append(all, record(n))
	}
	return all
}

func idOf(n int) eventlog.ID {
	var id eventlog.ID
	binary.BigEndian.PutUint64(id[3:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

// clock is a clock that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time // guarded by mu
}

func newClock() *clock {
	return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// add moves the clock and returns its new time.
func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}
