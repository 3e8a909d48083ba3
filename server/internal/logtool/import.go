package logtool

import (
	"context"
	"errors"
	"fmt"
	"io"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// Imported is the outcome of an import.
type Imported struct {
	// Events were added, Held were there already.
	Events, Held uint64
	// LogID is the log's: another than that of the log that was exported.
	LogID string
}

// Import fills a folder with the events of an export, of either format, with their
// ids, order, sequences and times. The folder is empty, or missing, or holds what
// an import of the same events has left that was cut off. Size is the input's, zero
// if it is not known.
//
// An error says where it stopped. What came before is durable then, unless it is an
// error of the disk; importing the same input again goes on from there.
func Import(ctx context.Context, folder Folder, in io.Reader, size int64, progress Progress) (out Imported, err error) {
	store, err := pebblelog.OpenImporter(ctx, folder.Dir, folder.options())
	if err != nil {
		return Imported{}, folder.explain(err)
	}
	return ImportInto(ctx, store, in, size, progress)
}

// Target is a log that is filled with entries of another one, in order.
type Target interface {
	// Held is the last sequence that it held at first: up to there what is added is
	// compared and passed over.
	Held() eventlog.Sequence
	// ImportState begins to take the base of a state, before any entry.
	ImportState(s pebblelog.StoredState) (eventlog.StateImport, error)
	// Add takes the next entry, which may not be durable before Flush.
	Add(e *eventlog.Entry) error
	Flush() error
	// End is Flush when nothing follows.
	End() error
	// LogID is the id of the log.
	LogID() eventlog.LogID
	Close() error
}

// ImportInto is Import for another log than one in a folder. It closes the target.
func ImportInto(ctx context.Context, store Target, in io.Reader, size int64, progress Progress) (out Imported, err error) {
	defer func() { err = errors.Join(err, store.Close()) }()
	i := &importing{store: store, frames: newFrames(in, ""), held: uint64(store.Held())}
	err = i.run(ctx, func() { progress(uint64(i.frames.end), uint64(size)) })
	if err != nil {
		err = fmt.Errorf("import: %w", err)
	}
	i.out.LogID = store.LogID().String()
	return i.out, err
}

const isItAnExport = "is it what `log export` has written, not compressed?"

type importing struct {
	store  Target
	frames *frames
	held   uint64 // the last sequence that was there already
	last   uint64 // the sequence of the last event read
	state  *stateImport
	out    Imported
}

func (i *importing) run(ctx context.Context, progress func()) error {
	if err := i.frames.detect(); err != nil {
		return err
	}
	for n := uint64(1); ; n++ {
		err := i.one(n)
		if err == nil && n%1000 == 0 {
			progress()
		}
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return i.stop(err)
		}
	}
	if i.state != nil {
		return fmt.Errorf("the input ends before the last part of the state %q: it was cut off: continue with the whole input", i.state.name)
	}
	if i.last < i.held {
		return fmt.Errorf("the input ends with event %d, and the folder holds events up to %d: it is not an import of this input that was cut off", i.last, i.held)
	}
	progress()
	return i.store.End()
}

// stop makes durable what came before an error, unless the store is where it comes
// from.
func (i *importing) stop(err error) error {
	switch {
	case errors.Is(err, eventlog.ErrFull):
		return fmt.Errorf("%w: make room and import the same input again", err)
	case errors.Is(err, eventlog.ErrFailed):
		return err
	default:
		return errors.Join(err, i.store.Flush())
	}
}

// one imports the nth event of the input.
func (i *importing) one(n uint64) error {
	frame, err := i.frames.next()
	switch {
	case errors.Is(err, io.EOF):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF) && n == 1:
		return fmt.Errorf("the input ends within its first event; %s", isItAnExport)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the input ends within its event %d: it was cut off; what comes before is stored: continue with the whole input", n)
	case err != nil:
		return fmt.Errorf("event %d of the input: %w", n, err)
	}
	event, err := i.frames.format.decode(frame)
	if err != nil && n == 1 {
		return fmt.Errorf("event 1 of the input: %w; %s", err, isItAnExport)
	}
	if err != nil {
		return fmt.Errorf("event %d of the input: %w", n, err)
	}
	if err := i.add(event); err != nil {
		return fmt.Errorf("event %d of the input: %w", n, err)
	}
	return nil
}

// add stores an event, or a part of a state.
func (i *importing) add(event *wabastreamv1.ExportedEvent) error {
	if event.GetState() != nil {
		return i.importState(event.GetState())
	}
	if i.state != nil {
		return fmt.Errorf("it comes before the last part of the state %q", i.state.name)
	}
	e, err := entryOf(event)
	if err != nil {
		return err
	}
	if err := i.store.Add(e); err != nil {
		return err
	}
	i.last = uint64(e.Position.Sequence)
	if i.last <= i.held {
		i.out.Held++
	} else {
		i.out.Events++
	}
	return nil
}
