package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// maxCursorBytes bounds what is taken for a cursor. They have 32 bytes.
const maxCursorBytes = 1024

// FileCheckpoint is a [Checkpoint] in a file: one line with the cursor. A save
// replaces the file as a whole and makes that durable, so that after a crash or power
// cut there is the cursor of the last save or of the one that was under way, never
// anything else. It is safe for concurrent use.
//
// The file is for one subscription of one process. If another changes it meanwhile,
// the next save notices in most cases and returns an error. It is no lock: two that
// save in the same instant may both succeed.
//
// Besides [WithCheckpoint] it serves loops over [Client.Subscribe], which call Load
// for the request's after_cursor and Save with the cursor of what they have dealt
// with. A save waits for the disk, so it need not follow every event.
type FileCheckpoint struct {
	path string

	mu     sync.Mutex // guards what follows
	loaded bool       // the file's content is known, as the last of these two:
	saved  string
	trying string // by a save that failed halfway; else the same
}

var _ Checkpoint = (*FileCheckpoint)(nil)

// NewFileCheckpoint returns the checkpoint at the path, which need not exist; its
// folder must. Nothing is read or written yet. The path with ".tmp" behind it is used
// as well.
func NewFileCheckpoint(path string) *FileCheckpoint {
	return &FileCheckpoint{path: path}
}

// Load returns the cursor in the file, or "" if there is no file. A file that holds
// anything but a cursor is an error: then either restore it or remove it, and the
// request decides where to start.
func (f *FileCheckpoint) Load(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cursor, err := readCursor(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(f.path)) // to tell now rather than at the first save
	}
	if err != nil {
		return "", err
	}
	f.loaded, f.saved, f.trying = true, cursor, cursor
	return cursor, nil
}

// Save replaces the file's cursor.
func (f *FileCheckpoint) Save(_ context.Context, cursor string) error {
	if err := checkCursor(cursor); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.checkUnchanged(); err != nil {
		return err
	}
	f.trying = cursor
	if err := replaceFile(f.path, cursor+"\n"); err != nil {
		return err
	}
	f.loaded, f.saved = true, cursor
	return nil
}

// checkUnchanged returns an error if somebody else wrote the file since we did. That
// it was removed is none: it is made again.
func (f *FileCheckpoint) checkUnchanged() error {
	if !f.loaded {
		return nil
	}
	current, err := readCursor(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case current != f.saved && current != f.trying:
		return fmt.Errorf("%s was changed by another process: each needs a file of its own", f.path)
	}
	f.saved = current
	return nil
}

// readCursor reads a checkpoint file.
func readCursor(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the caller's own path
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxCursorBytes+3))
	if err != nil {
		return "", err
	}
	cursor, err := parseCursor(content)
	if err != nil {
		return "", fmt.Errorf("%s is no checkpoint or damaged: %w; restore it, or remove it to start as the request says", path, err)
	}
	return cursor, nil
}

// parseCursor takes the content of a checkpoint file apart. That the cursor itself is
// whole is for the server to find: there is a checksum in it.
func parseCursor(content []byte) (string, error) {
	line, ok := bytes.CutSuffix(content, []byte("\n"))
	if !ok {
		return "", errors.New("it does not end in a newline")
	}
	line = bytes.TrimSuffix(line, []byte("\r")) // of an editor on Windows
	return string(line), checkCursor(string(line))
}

// checkCursor returns an error for what is no cursor and would not survive a file.
func checkCursor(cursor string) error {
	if cursor == "" {
		return errors.New("the cursor is empty")
	}
	if len(cursor) > maxCursorBytes {
		return fmt.Errorf("the cursor is longer than %d bytes", maxCursorBytes)
	}
	for _, c := range []byte(cursor) {
		if c <= ' ' || c > '~' {
			return errors.New("the cursor has characters that no cursor has")
		}
	}
	return nil
}

// replaceFile gives the file at path the content, or leaves it as it was, also if
// the machine stops in the middle. An error leaves open which of the two.
func replaceFile(path, content string) error {
	temporary := path + ".tmp"
	if err := writeDurably(temporary, content); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeDurably(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the caller's own path
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncFolder makes a rename in the folder durable. Windows has no such call.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path) //nolint:gosec // the caller's own path
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
