package client

import (
	"context"
	"sync"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// watermark finds the checkpoint: the last cursor up to which every event was
// handled, in whatever order they are done. It is safe for concurrent use.
type watermark struct {
	// window has a token for each pending entry, so that there is a bound to them.
	window chan struct{}

	mu      sync.Mutex // guards what follows
	pending []*entry   // in log order; the first is not handled
	cursor  string
}

// entry is an event that was received.
type entry struct {
	event *wabastreamv1.Event // nil once it was handled

	// Of the watermark:
	cursor  string // where to resume from when this is handled and all before it
	handled bool
}

// newWatermark makes a watermark that stands at cursor.
func newWatermark(window int, cursor string) *watermark {
	return &watermark{window: make(chan struct{}, window), cursor: cursor}
}

// add takes an event in, as soon as the window has room for it.
func (w *watermark) add(ctx context.Context, event *wabastreamv1.Event) (*entry, error) {
	select {
	case w.window <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &entry{event: event, cursor: event.GetCursor()}
	w.pending = append(w.pending, e)
	return e, nil
}

// receivedTo says that every event up to the cursor was added. So the watermark
// may go there as soon as the last of them is handled.
func (w *watermark) receivedTo(cursor string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := len(w.pending) - 1; last >= 0 {
		w.pending[last].cursor = cursor
		return
	}
	w.cursor = cursor
}

// handled moves the watermark past the entry and what was handled behind it, if
// everything before it was.
func (w *watermark) handled(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.handled, e.event = true, nil
	for len(w.pending) > 0 && w.pending[0].handled {
		w.cursor = w.pending[0].cursor
		w.pending[0] = nil
		w.pending = w.pending[1:]
		<-w.window
	}
}

// reached returns the checkpoint; empty when there is none yet.
func (w *watermark) reached() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cursor
}

// idle reports whether every event that was added was handled.
func (w *watermark) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) == 0
}
