package pebblelog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// formatVersion is the layout this program writes and the newest it reads. A
// later one must go on reading it.
//
//	1  the first
//	2  records removed for their type: gaps, their trim points and their count, the
//	   mark of their ids; sizes in the index of types
//	3  states of projections
const formatVersion = 3

func formatMetaKey() []byte { return []byte("mformat") } // uvarint
func logMetaKey() []byte    { return []byte("mlog") }    // the log id
func trimMetaKey() []byte   { return []byte("mtrim") }   // the point trimmed up to
func indexMetaKey() []byte  { return []byte("mindex") }  // sequence, 8 bytes
func followMetaKey() []byte { return []byte("mfollow") } // of a follower: the mark of who feeds it
func hiddenMetaKey() []byte { return []byte("mhide") }   // of a follower: sequence, 8 bytes; see [Beginning]
func goneMetaKey() []byte   { return []byte("mgone") }   // uvarint: records removed for their type, after mtrim

// typeTrimKey is of the point up to which a type path was trimmed, if that is
// after mtrim.
func typeTrimKey(path string) []byte { return append([]byte(typeTrimPrefix), path...) }

const typeTrimPrefix = "mtype"

// readMeta returns the value of a key, or nil if there is none.
func (l *Log) readMeta(key []byte) ([]byte, error) { return readFrom(l.db, key) }

func readFrom(r pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

// loadIdentity reads the format and the log id, and gives a new store both. Used
// says that it is none.
func (l *Log) loadIdentity(used bool) error {
	version, err := l.readIdentity()
	switch {
	case err != nil:
		return err
	case version == 0:
		return l.create(used)
	case version < formatVersion:
		return l.upgrade()
	}
	return nil
}

// readIdentity reads the log id and returns the format, which is zero if the store
// is not a log.
func (l *Log) readIdentity() (version uint64, err error) {
	format, err := l.readMeta(formatMetaKey())
	if err != nil || format == nil {
		return 0, err
	}
	version, n := binary.Uvarint(format)
	if n <= 0 || version == 0 {
		return 0, errors.New("format version is unreadable")
	}
	if version > formatVersion {
		return 0, fmt.Errorf("store has format %d and this program reads formats up to %d: use a newer release",
			version, formatVersion)
	}
	id, err := l.readMeta(logMetaKey())
	if err != nil {
		return 0, err
	}
	if copy(l.id[:], id) != len(l.id) {
		return 0, errors.New("log id is missing")
	}
	return version, nil
}

// upgrade says that the store may have what an older program does not know. That
// is durable before anything of it is written.
func (l *Log) upgrade() error {
	batch := l.db.NewBatch()
	defer batch.Close()
	if err := batch.Set(formatMetaKey(), binary.AppendUvarint(nil, formatVersion), nil); err != nil {
		return err
	}
	return l.apply(batch, pebble.Sync)
}

// create makes a store a log. What a crash leaves of it is an empty store, which
// becomes a log at the next start.
func (l *Log) create(used bool) error {
	iter, err := l.db.NewIter(nil)
	if err != nil {
		return err
	}
	other := iter.First()
	if err := iter.Close(); err != nil {
		return err
	}
	switch {
	case other:
		return errors.New("folder holds a store that is not an event log")
	case used:
		return errManifest
	}
	_, _ = rand.Read(l.id[:]) // never fails
	batch := l.db.NewBatch()
	defer batch.Close()
	if l.follows != nil {
		l.id = *l.follows
		if err := batch.Set(followMetaKey(), nil, nil); err != nil {
			return err
		}
	}
	if err := errors.Join(
		batch.Set(formatMetaKey(), binary.AppendUvarint(nil, formatVersion), nil),
		batch.Set(logMetaKey(), l.id[:], nil),
	); err != nil {
		return err
	}
	return l.apply(batch, pebble.Sync)
}

// A trim point is kept whole, so that positions at it can be checked and stamps
// go on from it when every record is gone.
func encodePoint(p point) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.seq))
	b = binary.BigEndian.AppendUint32(b, p.fingerprint)
	return binary.BigEndian.AppendUint64(b, uint64(p.stamp))
}

func decodePoint(b []byte) (point, error) {
	if len(b) != 20 {
		return point{}, errMalformed
	}
	return point{
		seq:         eventlog.Sequence(binary.BigEndian.Uint64(b)),
		fingerprint: binary.BigEndian.Uint32(b[8:]),
		stamp:       int64(binary.BigEndian.Uint64(b[12:])),
	}, nil
}

func (l *Log) readTrim() (point, error) { return trimOf(l.db) }

func trimOf(r pebble.Reader) (point, error) {
	value, err := readFrom(r, trimMetaKey())
	if err != nil || value == nil {
		return point{}, err
	}
	return decodePoint(value)
}

// readTypeTrims reads how far each type path was trimmed.
func (l *Log) readTypeTrims() (map[string]point, error) {
	end := []byte(typeTrimPrefix)
	end[len(end)-1]++
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte(typeTrimPrefix), UpperBound: end})
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	all := make(map[string]point)
	for ok := iter.First(); ok; ok = iter.Next() {
		p, err := decodePoint(iter.Value())
		if err != nil {
			return nil, err
		}
		all[string(iter.Key()[len(typeTrimPrefix):])] = p
	}
	return all, iter.Error()
}

func (l *Log) readGone() (uint64, error) {
	value, err := l.readMeta(goneMetaKey())
	if err != nil || value == nil {
		return 0, err
	}
	n, read := binary.Uvarint(value)
	if read <= 0 {
		return 0, errMalformed
	}
	return n, nil
}

func (l *Log) readIndexMark() (eventlog.Sequence, error) {
	value, err := l.readMeta(indexMetaKey())
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != sequenceBytes {
		return 0, errMalformed
	}
	return sequenceOf(value), nil
}

// storedID looks an id up in the store.
func (l *Log) storedID(id eventlog.ID) (idEntry, bool, error) {
	value, err := l.readMeta(idKey(id))
	if err != nil || value == nil {
		return idEntry{}, false, err
	}
	e, err := decodeID(value)
	return e, err == nil, err
}
