package pebblelog

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// indexBatch is how many records are indexed together: their keys are sorted,
	// which makes an insert several times cheaper than one at a random place.
	indexBatch = 2048
	// indexDelay is how long a smaller number waits for more.
	indexDelay = 50 * time.Millisecond
	// maxBacklog bounds the records that are not indexed. Reads scan them, and
	// their ids are kept in memory.
	maxBacklog = 8192
)

// indexed is what the index needs of a record.
type indexed struct {
	seq                    eventlog.Sequence
	id                     eventlog.ID
	entry                  idEntry
	waba, phone, eventType string
}

func indexedFrom(s *staged, p point) indexed {
	return indexed{
		seq:       p.seq,
		id:        s.header.ID,
		entry:     idEntry{seq: p.seq, stamp: p.stamp, horizon: s.horizon},
		waba:      s.header.WABAID,
		phone:     s.header.BusinessPhone,
		eventType: s.header.Type,
	}
}

// indexer writes the index behind the durable append. Records alone are what a
// sync is waited for; the keys that find them by account, phone, type and id
// follow in sorted batches without a sync of their own, together with a mark up
// to which they are complete. What is above the mark after a crash is indexed
// again when the log is opened.
type indexer struct {
	log  *Log
	full chan struct{} // holds a token when there is something to do
	done chan struct{} // closed to stop
	upTo atomic.Uint64 // the mark, as readers may rely on it

	// runMu serializes whoever reads and writes id keys.
	runMu sync.Mutex

	mu      sync.Mutex // guards backlog
	backlog []indexed
}

func newIndexer(l *Log, mark eventlog.Sequence) *indexer {
	x := &indexer{log: l, full: make(chan struct{}, 1), done: make(chan struct{})}
	x.upTo.Store(uint64(mark))
	return x
}

// mark is the sequence up to which the index is complete. Iterators made after
// the call see all of it.
func (x *indexer) mark() eventlog.Sequence { return eventlog.Sequence(x.upTo.Load()) }

func (x *indexer) add(records []indexed) {
	x.mu.Lock()
	x.backlog = append(x.backlog, records...)
	x.mu.Unlock()
	select {
	case x.full <- struct{}{}:
	default:
	}
}

func (x *indexer) waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.backlog)
}

func (x *indexer) behind() bool { return x.waiting() >= maxBacklog }

func (x *indexer) stop() { close(x.done) }

// work indexes until the indexer is stopped.
func (x *indexer) work() {
	timer := time.NewTimer(indexDelay)
	defer timer.Stop()
	for armed := true; ; {
		select {
		case <-x.done:
			return
		case <-timer.C:
			armed = false
		case <-x.full:
			if x.waiting() < indexBatch {
				if !armed {
					timer.Reset(indexDelay)
				}
				armed = true
				continue
			}
		}
		if err := x.run(); err != nil {
			return // the log has failed, and says so elsewhere
		}
	}
}

// run indexes everything that waits.
func (x *indexer) run() error {
	x.runMu.Lock()
	defer x.runMu.Unlock()
	x.mu.Lock()
	backlog := x.backlog
	x.backlog = nil
	x.mu.Unlock()
	for len(backlog) > 0 {
		n := min(len(backlog), indexBatch)
		if err := x.write(backlog[:n]); err != nil {
			return err
		}
		backlog = backlog[n:]
	}
	return nil
}

func (x *indexer) write(records []indexed) error {
	keys := make([]pair, 0, 4*len(records))
	for i := range records {
		r := &records[i]
		keys = append(keys, pair{idKey(r.id), r.entry.encode()})
		for _, key := range indexKeys(r) {
			keys = append(keys, pair{key: key})
		}
	}
	// Of two records with one id the newer must win: its value sorts last.
	slices.SortFunc(keys, func(a, b pair) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return bytes.Compare(a.value, b.value)
	})
	last := records[len(records)-1].seq
	batch := x.log.db.NewBatch()
	defer batch.Close()
	for _, p := range keys {
		if err := batch.Set(p.key, p.value, nil); err != nil {
			return err
		}
	}
	if err := batch.Set(indexMetaKey(), binary.BigEndian.AppendUint64(nil, uint64(last)), nil); err != nil {
		return err
	}
	if err := x.log.apply(batch, pebble.NoSync); err != nil {
		return err
	}
	x.upTo.Store(uint64(last))
	return nil
}

type pair struct{ key, value []byte }

// indexKeys are the keys besides the id's. Records without a business phone have
// none for it.
func indexKeys(r *indexed) [][]byte {
	keys := make([][]byte, 0, 3)
	keys = append(keys, indexKey(wabaKind, r.waba, r.seq), indexKey(typeKind, r.eventType, r.seq))
	if r.phone != "" {
		keys = append(keys, indexKey(phoneKind, r.phone, r.seq))
	}
	return keys
}

func indexKey(kind byte, text string, seq eventlog.Sequence) []byte {
	key := make([]byte, 0, len(text)+3+sequenceBytes)
	return appendSequence(appendIndexPrefix(key, kind, text), seq)
}
