package pebblelog

import (
	"encoding/binary"
	"math"

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
