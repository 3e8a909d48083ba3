package pebblelog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// spaceInterval is for how long one look at the disk is good: others may
	// fill it too.
	spaceInterval = time.Second
	// spaceBytes is how much may be appended on one look: at full speed a second
	// is long enough for several times as much.
	spaceBytes = 64 << 20
	// defaultMinFree and defaultMinFreePercent are of what MinFreeBytes stands
	// for if it is zero the lesser.
	//
	// What the store does behind the appends fails the log when it finds no room,
	// so it must have some left after the last append. With the default sizes
	// that is: 128 MiB for flushing four memory tables, whose write-ahead logs go
	// only afterwards; twice spaceBytes, once as a write-ahead log and once as a
	// table, for what came in since the last look; and the output of a
	// compaction, which is written before its input goes, and for which Pebble
	// adds files only up to half of what is free. Records hardly need that last
	// part: they arrive in the order of their keys, so most of their tables move
	// down without being written again.
	defaultMinFree        = 1 << 30
	defaultMinFreePercent = 5
)

// space knows whether the disk has room for more records. The committer alone
// uses it: it looks before the first append after a pause, so that what it says
// is never old, and needs no goroutine and no lock.
type space struct {
	fs      vfs.FS
	dir     string
	logger  *slog.Logger
	now     func() time.Time
	minFree int64 // Options.MinFreeBytes

	looked time.Time
	spent  int64 // bytes appended since looked
	full   error // matches ErrFull; nil while there is room
	blind  bool  // the last look failed
}

func newSpace(dir string, opts Options) *space {
	return &space{fs: opts.FS, dir: dir, logger: opts.Logger, now: opts.Now, minFree: opts.MinFreeBytes}
}

// spend takes note of bytes that are about to be appended.
func (s *space) spend(bytes int) { s.spent += int64(bytes) }

// check is nil, or an error that matches ErrFull.
func (s *space) check() error {
	if s.minFree < 0 {
		return nil
	}
	now := s.now()
	// A clock that went back says nothing about the age of the last look.
	age := now.Sub(s.looked)
	if age >= 0 && age < spaceInterval && s.spent < spaceBytes {
		return s.full
	}
	s.looked, s.spent = now, 0
	s.look()
	return s.full
}

// look asks the file system. If it does not answer, what was known stays: there
// is room until it has said otherwise.
func (s *space) look() {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		if !s.blind && !errors.Is(err, vfs.ErrUnsupported) {
			s.logger.Warn("cannot tell how much room the disk has", "dir", s.dir, "error", err)
		}
		s.blind = true
		return
	}
	s.blind = false
	s.judge(usage.AvailBytes, s.required(usage))
}

// required is how much must be free.
func (s *space) required(usage vfs.DiskUsage) uint64 {
	if s.minFree > 0 {
		return uint64(s.minFree)
	}
	return min(defaultMinFree, usage.TotalBytes/100*defaultMinFreePercent)
}

// judge tells the operator of a change only: the callers are told every time.
func (s *space) judge(free, required uint64) {
	was := s.full != nil
	s.full = nil
	if free < required {
		s.full = fmt.Errorf("%w: the disk has %d bytes free, and at least %d must stay free", eventlog.ErrFull, free, required)
	}
	switch is := s.full != nil; {
	case is && !was:
		s.logger.Warn("log is full: appends are refused until the disk has more room",
			"dir", s.dir, "free_bytes", free, "min_free_bytes", required)
	case was && !is:
		s.logger.Info("log has room again", "dir", s.dir, "free_bytes", free, "min_free_bytes", required)
	}
}
