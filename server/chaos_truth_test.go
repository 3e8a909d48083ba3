package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/guarantees"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// trims is what was removed from a log on purpose. Its methods are safe for
// concurrent use.
type trims struct {
	mu      sync.Mutex                     // guards fields below it
	done    []guarantees.Trim              // in order
	removed map[string]*wabastreamv1.Event // by cursor
}

func newTrims() *trims { return &trims{removed: make(map[string]*wabastreamv1.Event)} }

// note keeps what a trim is about to remove, unless the power was cut before all of
// it was read.
func (t *trims) note(ctx context.Context, log eventlog.Log, path string, upTo eventlog.Sequence, cut *atomic.Bool) error {
	filters := []eventlog.Filter{{Types: []string{path}}}
	if path == "" {
		filters = nil
	}
	events, err := eventsOf(ctx, log, eventlog.Query{Until: upTo, Filter: eventlog.NewMatcher(filters)})
	if err != nil {
		return fmt.Errorf("keep what is trimmed: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cut.Load() {
		return nil
	}
	t.done = append(t.done, guarantees.Trim{Path: path, UpTo: uint64(upTo)})
	for _, e := range events {
		t.removed[e.GetCursor()] = e
	}
	return nil
}

// truth is all that the log held: what it holds now, and what was removed.
func (t *trims) truth(ctx context.Context, log eventlog.Log) ([]*wabastreamv1.Event, []guarantees.Trim, error) {
	held, err := eventsOf(ctx, log, eventlog.Query{})
	if err != nil {
		return nil, nil, fmt.Errorf("read the whole log: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.removed)
	for _, e := range held {
		all[e.GetCursor()] = e
	}
	return slices.Collect(maps.Values(all)), t.done, nil
}

// eventsOf reads what the log still holds of a query, past the stream's own reading.
func eventsOf(ctx context.Context, log eventlog.Log, query eventlog.Query) ([]*wabastreamv1.Event, error) {
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	query.After, query.Held, query.Raw = bounds.Start.Sequence, true, true
	if query.Until != 0 && query.Until <= query.After {
		return nil, nil
	}
	var events []*wabastreamv1.Event
	for {
		page, err := log.Read(ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			e, err := stream.Event(&page.Entries[i])
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
		if !page.More {
			return events, nil
		}
		query.After = page.Scanned.Sequence
	}
}
