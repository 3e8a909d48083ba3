package stream

import (
	"slices"
	"sort"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// recent is the memory of blocks that were read last, at the head of the log and
// behind it, in log order. Safe for concurrent use.
type recent struct {
	limit int // bytes

	mu     sync.RWMutex // guards fields below it
	blocks []*block     // by place; none overlaps another
	order  []*block     // as they came
	bytes  int
}

// add remembers a block, unless it covers nothing or some of it is remembered
// already, and forgets the oldest ones.
func (r *recent) add(b *block) {
	if b.upTo.Sequence <= b.after.Sequence {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.find(b.after.Sequence)
	if at < len(r.blocks) && r.blocks[at].after.Sequence < b.upTo.Sequence {
		return
	}
	r.blocks = slices.Insert(r.blocks, at, b)
	r.order = append(r.order, b)
	r.bytes += b.bytes
	r.shrink()
}

// grow counts what a block takes more than when it was added, if it is remembered, and
// forgets the oldest ones.
func (r *recent) grow(b *block, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.find(b.after.Sequence); at == len(r.blocks) || r.blocks[at] != b {
		return
	}
	b.bytes += bytes
	r.bytes += bytes
	r.shrink()
}

func (r *recent) shrink() {
	for r.bytes > r.limit && len(r.order) > 1 {
		r.forget(r.order[0])
		r.order[0] = nil // it stays in the array for as long as there is room behind
		r.order = r.order[1:]
	}
}

func (r *recent) forget(b *block) {
	at := r.find(b.after.Sequence)
	r.blocks = slices.Delete(r.blocks, at, at+1)
	r.bytes -= b.bytes
}

// find is the place of the first block that goes beyond the sequence.
func (r *recent) find(after eventlog.Sequence) int {
	return sort.Search(len(r.blocks), func(i int) bool { return r.blocks[i].upTo.Sequence > after })
}

// next appends the block with what follows the sequence, if it is remembered, and
// those that follow it without a gap: up to some events, or at least one block. Raw
// asks for blocks with the callbacks' JSON.
func (r *recent) next(after eventlog.Sequence, events int, raw bool, blocks []*block) []*block {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for at := r.find(after); at < len(r.blocks) && r.blocks[at].after.Sequence <= after; at++ {
		b := r.blocks[at]
		if raw && !b.raw {
			break
		}
		if blocks = append(blocks, b); len(b.entries) >= events {
			break
		}
		events -= len(b.entries)
		after = b.upTo.Sequence
	}
	return blocks
}

// before is where next finds something again behind the sequence, where it finds
// nothing: zero if nowhere.
func (r *recent) before(after eventlog.Sequence, raw bool) eventlog.Sequence {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, b := range r.blocks[r.find(after):] {
		if b.after.Sequence > after && (b.raw || !raw) {
			return b.after.Sequence
		}
	}
	return 0
}

// clear forgets everything.
func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks, r.order, r.bytes = nil, nil, 0
}
