package pebblelog

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// idEntry is what is remembered of the newest record with an id.
type idEntry struct {
	seq     eventlog.Sequence
	stamp   int64
	horizon int64
}

// expires is the stamp from which on the same id is a new record.
func (e idEntry) expires() int64 {
	if e.horizon > math.MaxInt64-e.stamp {
		return math.MaxInt64
	}
	return e.stamp + e.horizon
}

func (e idEntry) encode() []byte {
	b := make([]byte, 0, 24)
	b = binary.BigEndian.AppendUint64(b, uint64(e.seq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.stamp))
	return binary.BigEndian.AppendUint64(b, uint64(e.horizon))
}

func decodeID(value []byte) (idEntry, error) {
	if len(value) != 24 {
		return idEntry{}, errMalformed
	}
	return idEntry{
		seq:     eventlog.Sequence(binary.BigEndian.Uint64(value)),
		stamp:   int64(binary.BigEndian.Uint64(value[8:])),
		horizon: int64(binary.BigEndian.Uint64(value[16:])),
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
func newRecentIDs(limit int) *recentIDs {
	return &recentIDs{
		half:  max(limit/2, 4*maxBacklog),
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

func (r *recentIDs) add(entries map[eventlog.ID]idEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, e := range entries {
		r.put(id, e)
	}
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
