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
	// blockOverhead and entryOverhead are about what a block and an entry take beside
	// payload and raw.
	blockOverhead = 512
	entryOverhead = 500
	endBytes      = 8
)

// block is a stretch of the log in memory. Everyone who sends from it shares what
// it holds: it is read once, and encoded once for each view of it that somebody
// receives. Safe for concurrent use.
type block struct {
	after   eventlog.Position // it begins behind this
	upTo    eventlog.Position // and holds everything up to this
	raw     bool              // with the callbacks' JSON
	entries []eventlog.Entry  // of which only headers and places are for everyone

	index    sync.Once
	accounts map[string][]int // places in entries by WABA; "" stands for none
	views    [viewKinds]view
	payloads int // their bytes
	// bytes of memory, about, once it is encoded as plain as it is. What other views
	// add is added once they are made: [recent.grow].
	bytes int
}

// viewKind is one of the forms in which an event is sent.
type viewKind int

const (
	viewPlain  viewKind = iota // without the callback's JSON
	viewRaw                    // with it
	viewHashed                 // a pseudonym stands for a person
	viewNone                   // nothing stands for a person
	viewKinds
)

// shows says that nothing of people is left out in the view.
func (k viewKind) shows() bool { return k == viewPlain || k == viewRaw }

// view is a block in wire form: its events as they stand in a batch, one behind the
// other.
type view struct {
	encode sync.Once
	body   []byte
	ends   []int // of each event, in body
	whole  mem.Buffer
}

func newBlock(after eventlog.Position, page eventlog.Page, raw bool) *block {
	b := &block{after: after, upTo: page.Scanned, raw: raw, entries: page.Entries, bytes: blockOverhead}
	for i := range b.entries {
		b.payloads += len(b.entries[i].Payload)
		b.bytes += entryOverhead + len(b.entries[i].Raw)
	}
	b.bytes += b.payloads
	return b
}

// place is that of the first entry after the sequence.
func (b *block) place(after eventlog.Sequence) int {
	if after <= b.after.Sequence {
		return 0
	}
	return sort.Search(len(b.entries), func(i int) bool { return b.entries[i].Position.Sequence > after })
}

// view returns the block in wire form, and how many bytes of memory it has grown by if
// it was not in this form before. The raw one can be had of a raw block only.
func (b *block) view(kind viewKind, redact *redactor) (v *view, grown int) {
	v = &b.views[kind]
	v.encode.Do(func() {
		if kind == viewPlain {
			v.fill(b.entries, b.payloads+len(b.entries)*headerRoom)
		} else {
			plain, _ := b.view(viewPlain, redact)
			v.derive(plain, b.entries, kind, redact)
			grown = len(v.body) + len(v.ends)*endBytes
		}
		v.whole = mem.SliceBuffer(v.body)
	})
	return v, grown
}

// fill encodes, and lets go of the payloads: nobody needs them any more.
func (v *view) fill(entries []eventlog.Entry, room int) {
	v.ends = make([]int, len(entries))
	v.body = make([]byte, 0, room)
	var event []byte
	for i := range entries {
		e := entries[i]
		e.Raw = nil
		event = appendEvent(event[:0], &e, cursorOf(e.Position))
		v.add(i, event)
		entries[i].Payload = nil
	}
}

// derive makes each event of the plain one: with the JSON that its callback had, or
// without what names a person.
func (v *view) derive(plain *view, entries []eventlog.Entry, kind viewKind, redact *redactor) {
	v.ends = make([]int, len(entries))
	v.body = make([]byte, 0, len(plain.body))
	var event []byte
	for i := range entries {
		if kind == viewRaw {
			event = appendRaw(append(event[:0], plain.event(i)...), entries[i].Raw)
		} else {
			event = redact.appendEvent(event[:0], plain.event(i), kind)
		}
		v.add(i, event)
	}
}

func (v *view) add(place int, event []byte) {
	v.body = protowire.AppendTag(v.body, fieldBatchEvents, protowire.BytesType)
	v.body = protowire.AppendBytes(v.body, event)
	v.ends[place] = len(v.body)
}

// event is an event without what frames it in a batch.
func (v *view) event(place int) []byte {
	framed := v.body[v.start(place):v.ends[place]]
	_, _, tag := protowire.ConsumeTag(framed)
	event, _ := protowire.ConsumeBytes(framed[tag:])
	return event
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
