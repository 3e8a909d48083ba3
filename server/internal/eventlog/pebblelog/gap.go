package pebblelog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Records that were removed for their type leave a gap, which says that their
// sequences are not missing. Neighbouring gaps are one, so that a flood of removed
// records leaves next to nothing.
//
// A gap stands right behind the place of its last record. It does not take that
// place, because Pebble compacts towards deletions, whose size it is told, and not
// towards values that are replaced by smaller ones: those would keep their space.
//
// A gap is stored as
//
//	version 1 byte | checksum 4 | stamp 8 | fingerprint 4 | first sequence 8
//
// Stamp and fingerprint are those of its last record, and the checksum is made as
// that of a record is. The layout is part of the stored format.
const (
	gapVersion = 2
	gapBytes   = bodyAt + 4 + sequenceBytes
)

// gapKey is the key of the gap whose last record had the sequence.
func gapKey(last eventlog.Sequence) []byte { return append(recordKey(last), 0) }

// isGap tells the key of a gap from that of a record.
func isGap(key []byte) bool { return len(key) == 1+sequenceBytes+1 && key[0] == recordKind }

// stretch is one record, or the removed records of a gap. Of the latter only the
// last is known.
type stretch struct {
	first   eventlog.Sequence
	last    point
	removed bool
}

// at is what is known of a place in the stretch. Its fingerprint is zero where it
// is not known, and its stamp may be that of a later place.
func (s stretch) at(seq eventlog.Sequence) point {
	if seq == s.last.seq {
		return s.last
	}
	return point{seq: seq, stamp: s.last.stamp}
}

// within is how many of the stretch's sequences lie after one and up to another.
func (s stretch) within(after, upTo eventlog.Sequence) uint64 {
	from, to := max(s.first, after+1), min(s.last.seq, upTo)
	if from > to {
		return 0
	}
	return uint64(to-from) + 1
}

func encodeGap(s stretch) []byte {
	value := make([]byte, bodyAt, gapBytes)
	value[0] = gapVersion
	binary.LittleEndian.PutUint64(value[stampAt:], uint64(s.last.stamp))
	value = binary.LittleEndian.AppendUint32(value, s.last.fingerprint)
	value = binary.LittleEndian.AppendUint64(value, uint64(s.first))
	sum := crc32.Checksum(value[bodyAt:], castagnoli())
	binary.LittleEndian.PutUint32(value[checksumAt:], checksum(sum, value, s.last.seq))
	return value
}

func decodeGap(last eventlog.Sequence, value []byte) (stretch, error) {
	if len(value) != gapBytes {
		return stretch{}, errMalformed
	}
	if value[0] != gapVersion {
		return stretch{}, fmt.Errorf("gap has version %d; this program reads version %d", value[0], gapVersion)
	}
	sum := crc32.Checksum(value[bodyAt:], castagnoli())
	if checksum(sum, value, last) != binary.LittleEndian.Uint32(value[checksumAt:]) {
		return stretch{}, errChecksum
	}
	g := stretch{
		first: eventlog.Sequence(binary.LittleEndian.Uint64(value[bodyAt+4:])),
		last: point{
			seq:         last,
			fingerprint: binary.LittleEndian.Uint32(value[bodyAt:]),
			stamp:       int64(binary.LittleEndian.Uint64(value[stampAt:])),
		},
		removed: true,
	}
	if g.first == 0 || g.first > last {
		return stretch{}, errMalformed
	}
	return g, nil
}

// stretchAt reads what an iterator over records stands on.
func stretchAt(iter *pebble.Iterator) (stretch, error) {
	seq := sequenceOf(iter.Key())
	if isGap(iter.Key()) {
		return decodeGap(seq, iter.Value())
	}
	s, err := decode(seq, iter.Value(), nil)
	return stretch{first: seq, last: s.point}, err
}

// gapOver finds the gap that a sequence lies in. A gap that cannot be read is none.
func (l *Log) gapOver(seq eventlog.Sequence) (stretch, bool, error) {
	iter, err := l.records(seq-1, math.MaxUint64)
	if err != nil {
		return stretch{}, false, err
	}
	defer iter.Close()
	if iter.First() && isGap(iter.Key()) {
		g, err := stretchAt(iter)
		return g, err == nil && g.first <= seq, nil
	}
	if err := iter.Error(); err != nil && !pebble.IsCorruptionError(err) {
		return stretch{}, false, err
	}
	return stretch{}, false, nil
}

// removedError is returned for a record that was removed for its type.
type removedError struct{ gap stretch }

func (e *removedError) Error() string {
	return fmt.Sprintf("records %d to %d were removed for their type", e.gap.first, e.gap.last.seq)
}

// gapWriter puts the gaps of removed records into a batch and merges them with
// those that the store has.
type gapWriter struct {
	log   *Log
	batch *pebble.Batch
	iter  *pebble.Iterator // over records and gaps
	open  stretch          // may still grow; first is zero when there is none
}

// add makes a run of removed records part of a gap. Runs come in log order and do
// not touch each other.
func (w *gapWriter) add(run stretch) error {
	before := w.open
	if before.first == 0 || before.last.seq+1 != run.first {
		if err := w.flush(); err != nil {
			return err
		}
		var err error
		if before, err = w.endingAt(run.first - 1); err != nil {
			return err
		}
	}
	if before.first != 0 {
		run.first = before.first
		if err := w.batch.DeleteSized(gapKey(before.last.seq), gapBytes, nil); err != nil {
			return err
		}
	}
	behind, err := w.beginningAt(run.last.seq + 1)
	if err != nil {
		return err
	}
	if behind.first != 0 {
		run.last = behind.last
	}
	w.open = run
	return nil
}

// flush writes the gap that is open.
func (w *gapWriter) flush() error {
	if w.open.first == 0 {
		return nil
	}
	err := w.batch.Set(gapKey(w.open.last.seq), encodeGap(w.open), nil)
	w.open = stretch{}
	return err
}

// endingAt is the stored gap whose last record had the sequence, if there is one.
func (w *gapWriter) endingAt(seq eventlog.Sequence) (stretch, error) {
	value, err := w.log.readMeta(gapKey(seq))
	if err != nil && !pebble.IsCorruptionError(err) {
		return stretch{}, err
	}
	if g, err := decodeGap(seq, value); err == nil {
		return g, nil
	}
	return stretch{}, nil
}

// beginningAt is the stored gap whose first record had the sequence.
func (w *gapWriter) beginningAt(seq eventlog.Sequence) (stretch, error) {
	if w.iter.SeekGE(recordKey(seq)) && isGap(w.iter.Key()) {
		if g, err := stretchAt(w.iter); err == nil && g.first == seq {
			return g, nil
		}
	}
	if err := w.iter.Error(); err != nil && !pebble.IsCorruptionError(err) {
		return stretch{}, err
	}
	return stretch{}, nil
}
