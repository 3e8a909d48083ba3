package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// segmentLog is about as fast as an append can be that waits for the disk: one
// file that grows, records with a checksum, and one write and one sync for all
// who wait. It recognises no duplicates and finds nothing.
type segmentLog struct {
	file   *os.File
	buffer []byte
	groups *groups[[]byte]
}

func openSegment(dir string) (*segmentLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, "segment"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a folder made here
	if err != nil {
		return nil, err
	}
	s := &segmentLog{file: f}
	s.groups = newGroups(4096, s.commit)
	return s, nil
}

// Append encodes on the caller's time, so that the committer only copies.
func (s *segmentLog) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	return stored(records, s.groups.add(ctx, encodeAll(records)...))
}

func (s *segmentLog) commit(records [][]byte) error {
	s.buffer = s.buffer[:0]
	for _, r := range records {
		s.buffer = append(s.buffer, r...)
	}
	if _, err := s.file.Write(s.buffer); err != nil {
		return err
	}
	return syncData(s.file)
}

// Close implements engine.
func (s *segmentLog) Close() error {
	s.groups.close()
	return s.file.Close()
}
