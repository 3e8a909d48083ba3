package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// importBytes and importRecords bound what is made durable together.
const (
	importBytes   = 4 << 20
	importRecords = 4096
)

// maxImportSequence leaves whoever appends later more sequences than there will be.
const maxImportSequence = 1 << 62

var errOtherImport = errors.New("import into an empty folder, or into what a cut-off import of the same records has left")

// Importer fills a store with records that another log has held, each with the
// sequence and the stamp that it had there. [OpenImporter] makes one. It is for one
// goroutine.
//
// The store is a log of its own, with an id of its own: positions of the other log
// are refused. Sequences that are left out are as if their records had been removed.
// An import that was cut off, at any moment, is continued by adding the same
// records again: what the store holds is compared and passed over.
type Importer struct {
	log  *Log
	last eventlog.Sequence // of the record added last, zero before the first
	held eventlog.Sequence // the last one that was there when the store was opened

	batch *pebble.Batch
	added []placed
	head  point  // of the records in the store and in the batch
	gone  uint64 // sequences left out, as the store says
}

// OpenImporter opens a folder for importing, and creates it if need be; see [Open].
func OpenImporter(ctx context.Context, dir string, opts Options) (*Importer, error) {
	log, err := Open(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	gone, err := log.readGone()
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, errors.Join(err, log.Close()))
	}
	i := &Importer{log: log, batch: log.db.NewBatch(), head: log.view.Load().head, gone: gone}
	if !log.view.Load().empty() {
		i.held = i.head.seq
	}
	return i, nil
}

// Held is the last sequence that the store held when the importer was opened; what
// is up to it is compared and passed over.
func (i *Importer) Held() eventlog.Sequence { return i.held }

// Add takes the next record, with a greater sequence than the one before and a
// stamp, of microseconds, that is not earlier. It may not be durable before
// [Importer.Flush].
//
// Errors: those of an entry that breaks these rules or the limits of a record, and
// of one that the store holds another record in place of; eventlog.ErrFull and
// ErrFailed.
func (i *Importer) Add(e *eventlog.Entry) error {
	if err := i.add(e); err != nil {
		return fmt.Errorf("import record %d: %w", e.Position.Sequence, err)
	}
	return nil
}

func (i *Importer) add(e *eventlog.Entry) error {
	seq, stamp := e.Position.Sequence, stampOf(e.AppendTime)
	switch {
	case seq == 0:
		return errors.New("it has no sequence")
	case seq > maxImportSequence:
		return fmt.Errorf("its sequence is greater than %d: no log has it", eventlog.Sequence(maxImportSequence))
	case seq <= i.last:
		return fmt.Errorf("it comes after record %d", i.last)
	case !timeOf(stamp).Equal(e.AppendTime):
		return errors.New("its stamp is finer than a microsecond")
	}
	if i.last == 0 {
		if err := i.begin(seq); err != nil {
			return err
		}
	}
	before := i.last
	i.last = seq
	if seq <= i.held {
		return i.compare(e)
	}
	if before < i.held {
		return fmt.Errorf("the folder holds record %d, which was left out: %w", i.held, errOtherImport)
	}
	if stamp < i.head.stamp {
		return fmt.Errorf("it is stamped before record %d", i.head.seq)
	}
	if err := eventlog.CheckRecord(&e.Record); err != nil {
		return err
	}
	if err := i.place(e, stamp); err != nil {
		return err
	}
	if i.batch.Len() < importBytes && len(i.added) < importRecords {
		return nil
	}
	return i.Flush()
}

// begin makes an empty store begin where the records do.
func (i *Importer) begin(first eventlog.Sequence) error {
	start := i.log.view.Load().start
	switch {
	case start.seq == first-1:
		return nil
	case start.seq != 0 || i.head.seq != 0:
		return fmt.Errorf("the folder holds a log that begins with record %d: %w", start.seq+1, errOtherImport)
	}
	batch := i.log.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(
		batch.Set(trimMetaKey(), encodePoint(point{seq: first - 1}), nil),
		i.moveStates(batch, first-1),
	); err != nil {
		return err
	}
	if err := i.log.apply(batch, pebble.Sync); err != nil {
		return err
	}
	v, err := i.log.loadEnds()
	if err != nil {
		return err
	}
	v.deleted = v.start.seq
	i.log.view.Store(v)
	i.head = v.head
	return nil
}

// compare wants the store to hold the entry already.
func (i *Importer) compare(e *eventlog.Entry) error {
	here, err := i.log.pointOf(i.log.view.Load(), e.Position.Sequence)
	if err != nil {
		return fmt.Errorf("compare with what the folder holds: %w", err)
	}
	if here.fingerprint != eventlog.FingerprintOf(e.ID, e.AppendTime) {
		return fmt.Errorf("the folder holds another record there: %w", errOtherImport)
	}
	return nil
}

// place puts a record into the batch, and before it a gap for what is left out.
func (i *Importer) place(e *eventlog.Entry, stamp int64) error {
	seq := e.Position.Sequence
	if left := uint64(seq - i.head.seq - 1); left > 0 {
		gap := stretch{first: i.head.seq + 1, last: point{seq: seq - 1, stamp: i.head.stamp}, removed: true}
		i.gone += left
		if err := errors.Join(
			i.batch.Set(gapKey(seq-1), encodeGap(gap), nil),
			i.batch.Set(goneMetaKey(), binary.AppendUvarint(nil, i.gone), nil),
		); err != nil {
			return err
		}
	}
	s := stage(&e.Record)
	s.seal(seq, stamp)
	if err := i.batch.Set(recordKey(seq), s.value, nil); err != nil {
		return err
	}
	i.head = point{seq: seq, fingerprint: eventlog.FingerprintOf(e.ID, e.AppendTime), stamp: stamp}
	i.added = append(i.added, s.placedAt(i.head))
	return nil
}

// End makes everything durable, and is called when the import is whole. A store that was
// given states and no record begins behind them.
func (i *Importer) End() error {
	if err := i.beginBehindStates(); err != nil {
		return err
	}
	return i.Flush()
}

// Flush makes every record added durable.
func (i *Importer) Flush() error {
	if len(i.added) == 0 {
		return nil
	}
	if err := i.log.space.check(); err != nil {
		return err
	}
	return i.commit()
}

// commit makes the batch durable and visible.
func (i *Importer) commit() error {
	i.log.space.spend(i.batch.Len())
	if err := i.log.apply(i.batch, pebble.Sync); err != nil {
		return err
	}
	for _, r := range i.added {
		i.log.ids.add(r.id, r.entry)
	}
	i.log.publish(i.head, i.added)
	i.added = nil
	err := i.batch.Close()
	i.batch = i.log.db.NewBatch()
	return err
}

// Close releases the store. Records that were added and not flushed are not stored.
func (i *Importer) Close() error { return errors.Join(i.batch.Close(), i.log.Close()) }

// LogID is the id of the log that is filled.
func (i *Importer) LogID() eventlog.LogID { return i.log.id }
