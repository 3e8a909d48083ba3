package webhook

import (
	"container/list"
	"sync"
)

const (
	// maxBytesReceiving bounds what the callbacks take together that are being
	// received, receivingOverhead being what one takes apart from its body: its
	// headers, and the goroutine that reads them. It is room for every connection
	// of a default server, with a body of the usual size.
	maxBytesReceiving = 64 << 20
	receivingOverhead = 16 << 10
)

// intake bounds the memory of callbacks from their headers until they are admitted.
// When one more does not fit, the strangers under way longest make room, where a
// stranger is whoever has not shown a signature that verifies: so those who are
// slow, or many, keep out nobody who is quick and authentic. Authentic callbacks
// never make room; when they alone fill it, the next one is refused.
type intake struct {
	mu        sync.Mutex
	free      int64     // guarded by mu
	strangers list.List // of *reception, the oldest first; guarded by mu
}

func newIntake(size int64) *intake { return &intake{free: size} }

// reception is one callback that is being received. What is below mu of its
// intake is guarded by it.
type reception struct {
	intake    *intake
	interrupt func()

	held  int64
	place *list.Element // among the strangers; nil when it is none
	lost  bool          // it had to make room
}

// begin takes a callback in, until its end is called; ok says that there was room.
// interrupt must make a read of the body return, and must not block: it is called
// at most once, before end returns.
func (in *intake) begin(interrupt func()) (r *reception, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	r = &reception{intake: in, interrupt: interrupt}
	if !r.take(receivingOverhead) {
		return nil, false
	}
	r.place = in.strangers.PushBack(r)
	return r, true
}

// grow takes more room; false says that there is none, or none any more.
func (r *reception) grow(bytes int64) bool {
	r.intake.mu.Lock()
	defer r.intake.mu.Unlock()
	return !r.lost && r.take(bytes)
}

// take finds room; who is itself the one to make it gets none.
func (r *reception) take(bytes int64) bool {
	in := r.intake
	for in.free < bytes {
		oldest := in.strangers.Front()
		if oldest == nil || oldest == r.place {
			return false
		}
		oldest.Value.(*reception).lose()
	}
	in.free -= bytes
	r.held += bytes
	return true
}

// lose gives up the room at once, a moment before the memory is free.
func (r *reception) lose() {
	r.lost = true
	r.release()
	r.interrupt()
}

func (r *reception) release() {
	r.intake.free += r.held
	r.held = 0
	if r.place != nil {
		r.intake.strangers.Remove(r.place)
		r.place = nil
	}
}

// authentic says that the callback is no stranger's; false says that this comes
// too late.
func (r *reception) authentic() bool {
	r.intake.mu.Lock()
	defer r.intake.mu.Unlock()
	if r.place != nil {
		r.intake.strangers.Remove(r.place)
		r.place = nil
	}
	return !r.lost
}

// wasLost reports whether the callback had to make room.
func (r *reception) wasLost() bool {
	r.intake.mu.Lock()
	defer r.intake.mu.Unlock()
	return r.lost
}

// end gives the room back; ending twice is fine.
func (r *reception) end() {
	r.intake.mu.Lock()
	defer r.intake.mu.Unlock()
	r.release()
}
