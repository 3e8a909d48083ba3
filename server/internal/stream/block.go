package stream

import (
	"sort"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// A block is what one read of the log gives: no more than this, so that many
	// fit into the memory of recent events and one is soon read.
	blockEvents = 500
	blockBytes  = 128 << 10
	// blockOverhead is about what a block and an entry take beside their bytes.
	blockOverhead = 512
	entryOverhead = 400
)

// block is a stretch of the log in memory. Everyone who sends from it shares what
// it holds: it is read once, and encoded once for each view of it that somebody
// receives. Safe for concurrent use.
type block struct {
	after   eventlog.Position // it begins behind this
	upTo    eventlog.Position // and holds everything up to this
	entries []eventlog.Entry

	index    sync.Once
	accounts map[string][]int // places in entries by WABA; "" stands for none
	views    [viewKinds]view
}

// viewKind is one of the forms in which an event is sent.
type viewKind int

const (
	viewPlain viewKind = iota // without the callback's JSON
	viewRaw
	viewKinds
)

func viewFor(raw bool) viewKind {
	if raw {
		return viewRaw
	}
	return viewPlain
}

// view is a block in wire form: its events as they stand in a batch, one behind the
// other.
type view struct {
	encode sync.Once
	body   []byte
	ends   []int // of each event, in body
	whole  mem.Buffer
}

func newBlock(after eventlog.Position, page eventlog.Page) *block {
	return &block{after: after, upTo: page.Scanned, entries: page.Entries}
}

// size is about how much memory the block takes, once it is encoded.
func (b *block) size() int {
	size := blockOverhead
	for i := range b.entries {
		size += entryOverhead + 2*len(b.entries[i].Payload) + len(b.entries[i].Raw)
	}
	return size
}

// place is that of the first entry after the sequence.
func (b *block) place(after eventlog.Sequence) int {
	if after <= b.after.Sequence {
		return 0
	}
	return sort.Search(len(b.entries), func(i int) bool { return b.entries[i].Position.Sequence > after })
}

func (b *block) view(kind viewKind) *view {
	v := &b.views[kind]
	v.encode.Do(func() { v.fill(b.entries, kind == viewRaw) })
	return v
}

func (v *view) fill(entries []eventlog.Entry, raw bool) {
	v.ends = make([]int, len(entries))
	var event []byte
	for i := range entries {
		e := entries[i]
		if !raw {
			e.Raw = nil
		}
		event = appendEvent(event[:0], &e, cursorOf(e.Position))
		v.body = protowire.AppendTag(v.body, fieldBatchEvents, protowire.BytesType)
		v.body = protowire.AppendBytes(v.body, event)
		v.ends[i] = len(v.body)
	}
	v.whole = mem.SliceBuffer(v.body)
}

// start is where the event in a place begins, in body.
func (v *view) start(place int) int {
	if place == 0 {
		return 0
	}
	return v.ends[place-1]
}

// of returns the places of an account's events, ascending.
func (b *block) of(account string) []int {
	b.index.Do(func() {
		b.accounts = make(map[string][]int)
		for i := range b.entries {
			id := b.entries[i].WABAID
			b.accounts[id] = append(b.accounts[id], i)
		}
	})
	return b.accounts[account]
}
