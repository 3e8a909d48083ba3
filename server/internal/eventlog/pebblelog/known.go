package pebblelog

import (
	"sync"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// defaultRecentIDs is Options.RecentIDs if that is zero.
	defaultRecentIDs = 16 << 20
	// falsePositives is the part of new ids that are looked up in the store for
	// nothing. A tenth of it would take half as much memory again.
	falsePositives = 0.01
	// lookupsToLoad is after how many look-ups into the store all its ids are marked:
	// that reads as much as a million of them, and takes the disk from others.
	lookupsToLoad = 1000
	// loadBatch is how many ids are loaded while an append may have to wait.
	loadBatch = 256
)

// knownIDs tells new ids from known ones. It has the entries of the newest, always
// those that the index in the store does not cover yet, and marks of many more: an
// id without a mark is new, and a look into the store is saved.
//
// Both are kept in two halves, of which the older is dropped when the younger is
// full.
type knownIDs struct {
	half  uint          // entries of a half
	asked chan struct{} // closed once the store was asked often

	mu    sync.RWMutex // guards fields below it
	young map[eventlog.ID]idEntry
	old   map[eventlog.ID]idEntry
	marks idMarks

	lookups int // the committer's alone
}

// newKnownIDs makes each half large enough for every id that can be without an
// index: a backlog being written, the next one, and a group on top of each.
func newKnownIDs(marked, backlog int) *knownIDs {
	return &knownIDs{
		half:  4 * uint(backlog),
		asked: make(chan struct{}),
		young: make(map[eventlog.ID]idEntry),
		marks: idMarks{half: uint(marked+1) / 2},
	}
}

// find looks for an entry, and tells where there is none whether the store may have
// one that is valid at the stamp.
func (k *knownIDs) find(id eventlog.ID, stamp int64) (e idEntry, ok, maybe bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if e, ok = k.young[id]; ok {
		return e, true, false
	}
	if e, ok = k.old[id]; ok {
		return e, true, false
	}
	return idEntry{}, false, k.marks.may(id, stamp)
}

// lookedUp counts a look-up into the store. The committer alone calls it.
func (k *knownIDs) lookedUp() {
	if k.lookups++; k.lookups == lookupsToLoad {
		close(k.asked)
	}
}

// add remembers an id. Its record may still be on its way to the disk: who is
// answered with it waits until it is there.
func (k *knownIDs) add(id eventlog.ID, e idEntry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if uint(len(k.young)) >= k.half {
		k.old, k.young = k.young, make(map[eventlog.ID]idEntry, k.half)
	}
	k.young[id] = e
	k.marks.add(id, e)
}

// idMarks are marks of ids: a known id has one, and a few new ones seem to.
type idMarks struct {
	half       uint // ids that a half is made for
	young, old *bloom.BloomFilter
	n          uint  // ids in young
	youngest   int64 // greatest expiry in young
	oldest     int64 // greatest expiry in old
	lost       int64 // greatest expiry dropped
	complete   bool  // the ids of the store are marked too
}

func (m *idMarks) add(id eventlog.ID, e idEntry) {
	if m.young == nil || m.n >= m.half {
		m.lost = max(m.lost, m.oldest)
		m.old, m.oldest = m.young, m.youngest
		m.young, m.n, m.youngest = bloom.NewWithEstimates(m.half, falsePositives), 0, 0
	}
	m.young.Add(id[:])
	m.n++
	m.youngest = max(m.youngest, e.expires())
}

func (m *idMarks) may(id eventlog.ID, stamp int64) bool {
	if !m.complete || stamp < m.lost {
		return true
	}
	return m.young != nil && m.young.Test(id[:]) || m.old != nil && m.old.Test(id[:])
}

// load marks the ids of the store, unless it is told to stop. Until it is through,
// and after it has failed, every new id is looked up there.
func (k *knownIDs) load(iter *pebble.Iterator, now int64, stop <-chan struct{}) error {
	for ok := iter.First(); ok; ok = k.loadSome(iter, now) {
		select {
		case <-stop:
			return nil
		default:
		}
	}
	if err := iter.Error(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.marks.complete = true
	return nil
}

// loadSome takes so few that an append hardly waits. It tells whether there are more.
func (k *knownIDs) loadSome(iter *pebble.Iterator, now int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ok := true
	for n := 0; ok && n < loadBatch; n++ {
		if e, err := decodeID(iter.Value()); err == nil && e.expires() > now {
			k.marks.add(eventlog.ID(iter.Key()[1:]), e)
		}
		ok = iter.Next()
	}
	return ok
}

// forget drops everything, so that only the store knows.
func (k *knownIDs) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.young)
	clear(k.old)
	k.marks = idMarks{half: k.marks.half}
}
