package stream

import (
	"sort"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// gatherBytes is up to what size a frame is copied into one pooled buffer. Larger
	// ones refer to the blocks: a copy would cost more than another buffer does, and
	// gRPC's pool goes on with buffers of 1 MiB.
	gatherBytes = 32 << 10
	// frameHeadBytes is more than what goes before the events of a batch frame.
	frameHeadBytes = 2 + tokenChars + 2*(1+10)
)

// parcel collects events of blocks for one batch frame.
type parcel struct {
	pieces []piece
	events int
	bytes  int
	last   eventlog.Position // of its last event
}

// piece is a part of a view's body.
type piece struct {
	view     *view
	from, to int
}

// fit is how many of the events from one place to another there is room for: at
// least one if the parcel is empty.
func (p *parcel) fit(v *view, from, to, maxEvents int) int {
	to = min(to, from+maxEvents-p.events)
	limit := v.start(from) + maxBatchBytes - p.bytes
	n := sort.Search(to-from, func(i int) bool { return v.ends[from+i] > limit })
	if n == 0 && p.events == 0 {
		return 1
	}
	return n
}

func (p *parcel) add(v *view, from, to int, last eventlog.Position) {
	start, end := v.start(from), v.ends[to-1]
	if n := len(p.pieces); n > 0 && p.pieces[n-1].view == v && p.pieces[n-1].to == start {
		p.pieces[n-1].to = end
	} else {
		p.pieces = append(p.pieces, piece{v, start, end})
	}
	p.events += to - from
	p.bytes += end - start
	p.last = last
}

// frame closes the parcel under the cursor, and empties it.
func (p *parcel) frame(cursor string) *rawFrame {
	size := frameHeadBytes + p.bytes
	var data mem.BufferSlice
	if size <= gatherBytes {
		pool := mem.DefaultBufferPool()
		buffer := pool.Get(size)
		b := appendFrameHead((*buffer)[:0], cursor, p.bytes)
		for _, piece := range p.pieces {
			b = append(b, piece.view.body[piece.from:piece.to]...)
		}
		*buffer = b
		data = mem.BufferSlice{mem.NewBuffer(buffer, pool)}
	} else {
		data = make(mem.BufferSlice, 1, 1+len(p.pieces))
		data[0] = mem.SliceBuffer(appendFrameHead(make([]byte, 0, frameHeadBytes), cursor, p.bytes))
		for _, piece := range p.pieces {
			data = append(data, piece.buffer())
		}
	}
	p.empty()
	return &rawFrame{data}
}

// buffer is the piece's bytes. Those of a whole block are shared as they are.
func (p *piece) buffer() mem.Buffer {
	if p.from == 0 && p.to == len(p.view.body) {
		return p.view.whole
	}
	return mem.SliceBuffer(p.view.body[p.from:p.to])
}

// empty also lets go of the blocks.
func (p *parcel) empty() {
	clear(p.pieces)
	*p = parcel{pieces: p.pieces[:0]}
}

// appendFrameHead writes what goes before the events of a batch frame.
func appendFrameHead(b []byte, cursor string, bodyBytes int) []byte {
	b = appendText(b, fieldFrameCursor, cursor)
	b = protowire.AppendTag(b, fieldFrameBatch, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(bodyBytes))
}
