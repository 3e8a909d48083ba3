package logtool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// ExportOptions say what to export, and how.
type ExportOptions struct {
	Format Format
	// File is written to, and made durable at the end; empty writes to Out.
	File string
	Out  io.Writer
	// Resume continues a File that is there behind its last whole event. Without
	// it a File that is there is an error. One that is not an export of this log, in
	// this Format, is refused and left as it is.
	Resume bool
	// After leaves out the events up to a sequence.
	After uint64
	// SkipCorrupt passes over events that cannot be read and tells Skipped of them.
	SkipCorrupt bool
	Skipped     func(first, last uint64)
	Progress    Progress
}

// Exported is the outcome of an export.
type Exported struct {
	// Events were written, by this call.
	Events uint64
	// Last is the sequence of the newest one in the file; zero if it has none.
	Last uint64
}

// Export writes the events of a log in log order. When it is cut off, by its
// context, a full disk or a crash, whole events are in the file, and perhaps a
// piece of one: Resume removes that.
func Export(ctx context.Context, folder Folder, options ExportOptions) (out Exported, err error) {
	r, err := folder.open(ctx)
	if err != nil {
		return Exported{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	x := &export{options: options, reader: r, last: eventlog.Sequence(options.After)}
	if options.File == "" {
		return x.run(ctx, options.Out)
	}
	file, err := x.openFile(ctx)
	if err != nil {
		return Exported{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if out, err = x.run(ctx, file); err != nil {
		return out, err
	}
	return out, errors.Join(file.Sync(), syncFolder(filepath.Dir(options.File)))
}

// syncFolder makes the names in a folder durable, where the file system can.
func syncFolder(dir string) error {
	folder, err := os.Open(dir) //nolint:gosec // whoever runs the command names it
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}

type export struct {
	options ExportOptions
	reader  *pebblelog.Reader
	last    eventlog.Sequence // everything up to it is in the file, or left out
	begun   bool              // the file has events
	events  uint64
}

func (x *export) openFile(ctx context.Context) (*os.File, error) {
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	if x.options.Resume {
		flags = os.O_RDWR | os.O_CREATE
	}
	file, err := os.OpenFile(x.options.File, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: remove it, or continue it with --resume", err)
	}
	if err != nil {
		return nil, err
	}
	if err := x.resume(ctx, file); err != nil {
		return nil, fmt.Errorf("resume %s: %w", x.options.File, errors.Join(err, file.Close()))
	}
	return file, nil
}

// resume goes behind the last whole event in the file and cuts off what follows.
func (x *export) resume(ctx context.Context, file *os.File) error {
	all := newFrames(file, x.options.Format)
	if ours, err := all.begins(); err != nil {
		return err
	} else if !ours { // what follows would cut it off
		return fmt.Errorf("it does not begin like an export of --format %s: export to another file", x.options.Format)
	}
	var newest []byte
	for {
		frame, err := all.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
		newest = frame
	}
	end := all.end
	if newest != nil {
		if err := x.goOnAfter(ctx, newest); err != nil {
			return err
		}
		if !x.begun { // states only: they are written anew
			end = 0
		}
	}
	if err := file.Truncate(end); err != nil {
		return err
	}
	_, err := file.Seek(end, io.SeekStart)
	return err
}

// goOnAfter wants the log to hold the event, so that the file goes on with the very
// next one.
func (x *export) goOnAfter(ctx context.Context, frame []byte) error {
	event, err := x.options.Format.decode(frame)
	if err != nil {
		return fmt.Errorf("its last event is not one of --format %s: %w", x.options.Format, err)
	}
	if event.GetState() != nil {
		return nil
	}
	x.begun = true
	e, err := entryOf(event)
	if err != nil {
		return fmt.Errorf("its last event: %w", err)
	}
	bounds, err := x.reader.Bounds(ctx)
	if err != nil {
		return err
	}
	e.Position.Log = bounds.Head.Log
	e.Position.Fingerprint = eventlog.FingerprintOf(e.ID, e.AppendTime)
	if err := x.reader.Check(ctx, e.Position); err != nil {
		return fmt.Errorf("the log does not go on from its last event, %d: %w: export to another file", e.Position.Sequence, err)
	}
	x.last = max(x.last, e.Position.Sequence)
	return nil
}

func (x *export) run(ctx context.Context, w io.Writer) (Exported, error) {
	buffered := bufio.NewWriterSize(w, 1<<20)
	err := x.write(ctx, buffered)
	if flushed := buffered.Flush(); !errors.Is(err, flushed) { // it repeats the error of a write
		err = errors.Join(err, flushed)
	}
	if err != nil {
		err = fmt.Errorf("export: %w", err)
	}
	return Exported{Events: x.events, Last: uint64(x.last)}, err
}

func (x *export) write(ctx context.Context, w io.Writer) error {
	bounds, err := x.reader.Bounds(ctx)
	if err != nil {
		return err
	}
	x.last = max(x.last, bounds.Start.Sequence)
	begin, head := x.last, bounds.Head.Sequence
	if !x.begun && begin == bounds.Start.Sequence { // else something before it is left out
		if err := x.writeStates(w, head); err != nil {
			return err
		}
	}
	for at := begin; at < head; {
		page, err := x.reader.Read(ctx, at)
		if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
			if !x.options.SkipCorrupt {
				return leaveOut(corrupt)
			}
			x.options.Skipped(uint64(corrupt.First), uint64(corrupt.Last))
			at = corrupt.Last
			continue
		}
		if err != nil {
			return err
		}
		if err := x.writePage(w, page); err != nil {
			return err
		}
		at = page.Scanned.Sequence
		x.options.Progress(uint64(at-begin), uint64(head-begin))
	}
	return nil
}

// leaveOut says what to do about events that cannot be read. Of what the store says
// the first line is for operators.
func leaveOut(c *eventlog.CorruptError) error {
	cause, _, _ := strings.Cut(c.Cause.Error(), "\n")
	return fmt.Errorf("events %d to %d cannot be read: %s: leave them out with --skip-corrupt", c.First, c.Last, cause)
}

func (x *export) writePage(w io.Writer, page eventlog.Page) error {
	for i := range page.Entries {
		e := &page.Entries[i]
		event, err := exported(e)
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Position.Sequence, err)
		}
		frame, err := x.options.Format.encode(event)
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Position.Sequence, err)
		}
		if _, err := w.Write(frame); err != nil {
			return err
		}
		x.last = e.Position.Sequence
		x.events++
	}
	return nil
}
