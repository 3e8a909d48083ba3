package pebblelog

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// An id is stored with sequence, stamp and horizon, 8 bytes each, and one byte more
// if the record was removed for its type.
const (
	idBytes   = 24
	idRemoved = 1
)

// idEntry is what is remembered of the newest record with an id.
type idEntry struct {
	seq     eventlog.Sequence
	stamp   int64
	horizon int64
	removed bool // the record was removed for its type
}

// expires is the stamp from which on the same id is a new record.
func (e idEntry) expires() int64 {
	if e.horizon > math.MaxInt64-e.stamp {
		return math.MaxInt64
	}
	return e.stamp + e.horizon
}

func (e idEntry) encode() []byte {
	b := make([]byte, 0, idBytes+1)
	b = binary.BigEndian.AppendUint64(b, uint64(e.seq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.stamp))
	b = binary.BigEndian.AppendUint64(b, uint64(e.horizon))
	if e.removed {
		b = append(b, idRemoved)
	}
	return b
}

func decodeID(value []byte) (idEntry, error) {
	removed := len(value) == idBytes+1 && value[idBytes] == idRemoved
	if len(value) != idBytes && !removed {
		return idEntry{}, errMalformed
	}
	return idEntry{
		seq:     eventlog.Sequence(binary.BigEndian.Uint64(value)),
		stamp:   int64(binary.BigEndian.Uint64(value[8:])),
		horizon: int64(binary.BigEndian.Uint64(value[16:])),
		removed: removed,
	}, nil
}

// recentIDs keeps the ids of the newest records in memory. It always holds those
// that the index in the store does not cover yet.
//
// It drops the older half when it is full. As long as nothing that matters was
// dropped, an id that is not here is not in the log within its horizon either,
// and the look into the store is saved.
type recentIDs struct {
	half int

	mu       sync.RWMutex // guards fields below it
	young    map[eventlog.ID]idEntry
	old      map[eventlog.ID]idEntry
	youngest int64 // greatest expiry in young
	oldest   int64 // greatest expiry in old
	lost     int64 // greatest expiry dropped: from then on memory is complete
}

// newRecentIDs makes each half large enough for every id that can be without an
// index: a backlog being written, the next one, and a group on top of each.
func newRecentIDs(limit, backlog int) *recentIDs {
	return &recentIDs{
		half:  max(limit/2, 4*backlog),
		young: make(map[eventlog.ID]idEntry),
	}
}

func (r *recentIDs) find(id eventlog.ID) (idEntry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e, ok := r.young[id]; ok {
		return e, true
	}
	e, ok := r.old[id]
	return e, ok
}

// complete says that an id not found cannot have an entry that is valid at the
// stamp.
func (r *recentIDs) complete(stamp int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return stamp >= r.lost
}

// add remembers an id. Its record may still be on its way to the disk: who is
// answered with it waits until it is there.
func (r *recentIDs) add(id eventlog.ID, e idEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(id, e)
}

func (r *recentIDs) put(id eventlog.ID, e idEntry) {
	if len(r.young) >= r.half {
		r.lost = max(r.lost, r.oldest)
		r.old, r.oldest = r.young, r.youngest
		r.young, r.youngest = make(map[eventlog.ID]idEntry, r.half), 0
	}
	r.young[id] = e
	r.youngest = max(r.youngest, e.expires())
}

// forget drops everything, so that only the store knows.
func (r *recentIDs) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.young)
	clear(r.old)
	r.lost = math.MaxInt64
}
