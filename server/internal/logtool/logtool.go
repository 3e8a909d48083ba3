// Package logtool is what an operator does with the log of a stopped server, or
// with a backup: look at it, verify it, export it and import it.
//
// It guarantees that only Import and RebuildAccounts change a folder, that an export which was cut off
// is continued behind its last whole event, that an import which was cut off at any
// moment is continued by importing the same input again, and that what was exported
// and imported exports the same, byte for byte.
//
// It works on one folder that no server has open, and does not parse flags or draw:
// that is left to the command.
package logtool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// Folder says where the log is and how to open it.
type Folder struct {
	// Dir is the folder: a server's data_dir, or a backup.
	Dir string
	// LockWait is how long to wait for another process to let go of it; zero does
	// not wait.
	LockWait time.Duration
	// Logger receives what the store reports; nil discards it.
	Logger *slog.Logger
}

// Progress is told, now and then, how much is done of how much; a total of zero is
// not known.
type Progress func(done, total uint64)

func (f Folder) options() pebblelog.Options {
	options := pebblelog.Options{LockWait: f.LockWait, Logger: f.Logger}
	if f.LockWait == 0 {
		options.LockWait = -1
	}
	return options
}

func (f Folder) open(ctx context.Context) (*pebblelog.Reader, error) {
	r, err := pebblelog.OpenReader(ctx, f.Dir, f.options())
	if err != nil {
		return nil, f.explain(err)
	}
	return r, nil
}

// explain says what to do about a folder that a server runs on, or that cannot be
// written.
func (f Folder) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the folder must be writable, if only to lock it: copy it to where it is, or run this as the server's user", err)
	case errors.Is(err, pebblelog.ErrInUse):
		return fmt.Errorf("open log %s: %w: stop the server first, and wait for it with --lock-wait 1m; of a running one `wabastream backup` makes a copy", f.Dir, pebblelog.ErrInUse)
	}
	return err
}
