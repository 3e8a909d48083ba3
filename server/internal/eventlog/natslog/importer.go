package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// importBytes and importRecords bound one message of an import.
const (
	importBytes   = 1 << 20
	importRecords = 1024
)

var errOtherImport = errors.New("import into a new stream, or into what a cut-off import of the same records has left, while no server uses it")

// Importer fills a stream with records that another log has held, each with the
// sequence and the stamp that it had there. [OpenImporter] makes one. It is for one
// goroutine.
//
// The stream is a log of its own, with an id of its own. An import that was cut off is
// continued by adding the same records again: what the stream has is compared and
// passed over.
type Importer struct {
	log   *Log
	held  eventlog.Sequence // the last one that was there when the stream was opened
	first eventlog.Sequence // of the records added
	last  eventlog.Sequence

	entries []eventlog.Entry
	bytes   int

	objects []string          // states that were stored, and of which the stream does not know yet
	newest  eventlog.Sequence // of their places
}

// OpenImporter opens a stream for importing, and makes it if need be; see [Open].
func OpenImporter(ctx context.Context, opts Options) (*Importer, error) {
	log, err := Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	bounds, err := log.local.Bounds(ctx)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	i := &Importer{log: log}
	if bounds.Head.Sequence > bounds.Start.Sequence {
		i.held = bounds.Head.Sequence
	}
	return i, nil
}

// Held is the last sequence that the stream held when the importer was opened.
func (i *Importer) Held() eventlog.Sequence { return i.held }

// LogID is the id of the log that is filled.
func (i *Importer) LogID() eventlog.LogID { return i.log.id }

// Add takes the next record, with a greater sequence than the one before and a stamp,
// of microseconds, that is not earlier. It keeps what the entry points at. The record
// may not be durable before [Importer.Flush].
func (i *Importer) Add(e *eventlog.Entry) error {
	if err := i.add(e); err != nil {
		return fmt.Errorf("import record %d: %w", e.Position.Sequence, err)
	}
	return nil
}

func (i *Importer) add(e *eventlog.Entry) error {
	seq := e.Position.Sequence
	switch {
	case seq == 0 || seq > maxImportSequence:
		return fmt.Errorf("its sequence is not one of 1 to %d", eventlog.Sequence(maxImportSequence))
	case seq <= i.last:
		return fmt.Errorf("it comes after record %d", i.last)
	case !timeOf(e.AppendTime.UnixMicro()).Equal(e.AppendTime):
		return errors.New("its stamp is finer than a microsecond")
	}
	if err := eventlog.CheckRecord(&e.Record); err != nil {
		return err
	}
	before := i.last
	i.last = seq
	if i.first == 0 {
		i.first = seq
		if err := i.checkFirst(); err != nil {
			return err
		}
	}
	if seq <= i.held {
		return i.compare(e)
	}
	if before < i.held {
		return fmt.Errorf("the stream holds record %d, which was left out: %w", i.held, errOtherImport)
	}
	i.entries = append(i.entries, *e)
	if i.bytes += recordSize(&e.Record); i.bytes < importBytes && len(i.entries) < importRecords {
		return nil
	}
	return i.Flush()
}

// maxImportSequence leaves whoever appends later more sequences than there will be.
const maxImportSequence = 1 << 62

// compare wants the stream to hold the entry already.
func (i *Importer) compare(e *eventlog.Entry) error {
	at := eventlog.Position{Log: i.log.id, Sequence: e.Position.Sequence, Fingerprint: eventlog.FingerprintOf(e.ID, e.AppendTime)}
	page, err := i.log.local.Read(context.Background(), eventlog.Query{After: at.Sequence - 1, Until: at.Sequence, Limit: 1, Held: true})
	if err != nil {
		return fmt.Errorf("compare with what the stream holds: %w", err)
	}
	if len(page.Entries) != 1 || page.Entries[0].Position != at {
		return fmt.Errorf("the stream holds another record there: %w", errOtherImport)
	}
	return nil
}

// Flush makes every record added durable, as the stream is.
func (i *Importer) Flush() error {
	if len(i.entries) == 0 {
		return nil
	}
	if err := i.begin(i.first-1, i.entries[0].AppendTime.UnixMicro()); err != nil {
		return err
	}
	ctx := i.log.running
	seen, _ := i.log.place()
	v, err := i.log.submit(ctx, subjectLog, &entry{kind: imported, seen: seen, stamp: seen.stamp, entries: i.entries})
	if err != nil {
		return endOf(ctx, err)
	}
	if v.void {
		return fmt.Errorf("the stream did not take records %d to %d: they are stamped before what it holds, or something else was appended meanwhile: %w",
			i.entries[0].Position.Sequence, i.last, errOtherImport)
	}
	i.entries, i.bytes = nil, 0
	return nil
}

// End makes everything durable, and is called when the import is whole. A stream that was
// given states and no record begins behind them.
func (i *Importer) End() error {
	if i.first == 0 && len(i.objects) > 0 {
		return i.begin(i.newest, 0)
	}
	return i.Flush()
}

// Close releases the stream. Records that were added and not flushed are not stored.
func (i *Importer) Close() error { return i.log.Close() }
