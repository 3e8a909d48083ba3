package pebblelog

import (
	"fmt"
	"slices"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// defaultIndexBatch is Options.IndexBatch if that is zero.
const defaultIndexBatch = 32 << 10

// indexer keeps the index behind the durable append. Records alone are what a
// sync is waited for. What finds them by account, phone, type and id is collected
// in memory, a generation at a time, and a full one is written as tables: not
// through the write-ahead log, where appends would wait for it, and not through a
// memory table, where a key at a random place costs several times as much. A mark
// says up to where the store has it all. What is above it after a crash is indexed
// again when the log is opened.
type indexer struct {
	log   *Log
	batch int           // records of a full generation
	full  chan struct{} // holds a token when there may be one
	done  chan struct{} // closed to stop

	// writing serializes whoever writes keys of the index, or of ids.
	writing sync.Mutex

	mu     sync.RWMutex // guards fields below it
	mark   eventlog.Sequence
	old    *generation // being written; nil if none is
	recent *generation
}

func newIndexer(l *Log, batch int, mark eventlog.Sequence) *indexer {
	return &indexer{
		log: l, batch: batch, full: make(chan struct{}, 1), done: make(chan struct{}),
		mark: mark, recent: newGeneration(),
	}
}

// add takes the next records, in log order.
func (x *indexer) add(records []placed) {
	x.mu.Lock()
	for _, r := range records {
		x.recent.add(r.indexed, r.header)
	}
	full := len(x.recent.records) >= x.batch
	x.mu.Unlock()
	if !full {
		return
	}
	select {
	case x.full <- struct{}{}:
	default:
	}
}

// behind says that memory holds more than it should.
func (x *indexer) behind() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.recent.records) >= 2*x.batch
}

// find returns the mark and the records of a span behind it that lists name, in
// the span's direction. Iterators made after the call see the index up to the mark.
func (x *indexer) find(ranges []listRange, s span) (mark eventlog.Sequence, found []eventlog.Sequence) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s.after = max(s.after, x.mark)
	for _, g := range []*generation{x.old, x.recent} {
		if g == nil || g.last <= s.after {
			continue
		}
		for _, r := range ranges {
			found = g.find(found, r, s)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found) // several lists can name one record
	if s.reverse {
		slices.Reverse(found)
	}
	return x.mark, found
}

func (x *indexer) stop() { close(x.done) }

// work writes full generations until the indexer is stopped.
func (x *indexer) work() {
	for {
		select {
		case <-x.done:
			return
		case <-x.full:
		}
		if err := x.write(); err != nil {
			return // the log has failed, and says so elsewhere
		}
	}
}

// stored is the mark. Iterators made after the call see the index up to it.
func (x *indexer) stored() eventlog.Sequence {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.mark
}

// reach sees to it that the store has the index up to a record.
func (x *indexer) reach(seq eventlog.Sequence) error {
	if x.stored() >= seq {
		return nil
	}
	return x.write()
}

// write moves what is in memory into the store.
func (x *indexer) write() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	g := x.turn()
	if g == nil {
		return nil
	}
	if err := x.log.ingest(g); err != nil {
		x.log.failure.record(fmt.Errorf("write index: %w", err))
		return x.log.failure.asFailed()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mark, x.old = g.last, nil
	return nil
}

// turn begins a new generation and returns the one to be written, if it holds
// anything.
func (x *indexer) turn() *generation {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.recent.records) == 0 {
		return nil
	}
	x.old, x.recent = x.recent, newGeneration()
	return x.old
}
