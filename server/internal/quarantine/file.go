package quarantine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const (
	fileFormat   = 1
	fileSuffix   = ".callback"
	unfinished   = ".unfinished"
	maxHeadBytes = 4 << 10
)

// head is the first line of a file; the body follows it as received.
type head struct {
	Format      int       `json:"format"`
	Source      string    `json:"source"`
	ReceiveTime time.Time `json:"receive_time"`
	Reason      string    `json:"reason"`
}

// folder is where the files are, one for each callback, named by its id.
type folder string

func (f folder) path(id string) string { return filepath.Join(string(f), id+fileSuffix) }

// write makes a callback's file, which is whole under its name or not there.
func (f folder) write(c Callback) error {
	text, err := json.Marshal(head{Format: fileFormat, Source: c.Source, ReceiveTime: c.ReceiveTime, Reason: c.Reason})
	if err != nil {
		return err
	}
	path := f.path(c.ID)
	if err := writeSynced(path+unfinished, append(text, '\n'), c.Body); err != nil {
		return errors.Join(err, os.Remove(path+unfinished))
	}
	if err := os.Rename(path+unfinished, path); err != nil {
		return errors.Join(err, os.Remove(path+unfinished))
	}
	return f.sync()
}

func writeSynced(path string, parts ...[]byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // an id in this package's folder
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := file.Write(part); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := file.Sync(); err != nil {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

// sync makes the names in the folder durable.
func (f folder) sync() error {
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// read returns a callback whose content is what its name says.
func (f folder) read(id string) (Callback, error) {
	all, err := os.ReadFile(f.path(id))
	if err != nil {
		return Callback{}, err
	}
	text, body, _ := bytes.Cut(all, []byte{'\n'})
	entry, err := parseHead(id, text)
	if err != nil {
		return Callback{}, err
	}
	if idOf(entry.Source, body) != id {
		return Callback{}, errors.New("the file is damaged: its content is not what its name says")
	}
	entry.Size = int64(len(body))
	return Callback{Entry: entry, Body: body}, nil
}

// readEntry reads no more of a callback than its first line.
func (f folder) readEntry(id string) (Entry, error) {
	file, err := os.Open(f.path(id))
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Entry{}, err
	}
	text, err := bufio.NewReader(io.LimitReader(file, maxHeadBytes)).ReadBytes('\n')
	if err != nil {
		return Entry{}, fmt.Errorf("read the first line: %w", err)
	}
	entry, err := parseHead(id, text)
	entry.Size = info.Size() - int64(len(text))
	return entry, err
}

func parseHead(id string, text []byte) (Entry, error) {
	var h head
	if err := json.Unmarshal(text, &h); err != nil {
		return Entry{}, fmt.Errorf("read the first line: %w", err)
	}
	if h.Format != fileFormat {
		return Entry{}, fmt.Errorf("format %d is not known to this version of the server, which writes %d", h.Format, fileFormat)
	}
	return Entry{ID: id, Source: h.Source, ReceiveTime: h.ReceiveTime, Reason: h.Reason}, nil
}

// ids lists the callbacks in the folder, and removes what a crash left half-way.
func (f folder) ids() ([]string, error) {
	files, err := os.ReadDir(string(f))
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(`^([0-9a-f]{32})\.callback(\.unfinished)?$`)
	var ids []string
	for _, file := range files {
		switch match := name.FindStringSubmatch(file.Name()); {
		case match == nil:
		case match[2] != "":
			if err := os.Remove(filepath.Join(string(f), file.Name())); err != nil {
				return nil, err
			}
		default:
			ids = append(ids, match[1])
		}
	}
	return ids, nil
}
