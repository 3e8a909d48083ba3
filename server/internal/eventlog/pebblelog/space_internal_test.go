package pebblelog

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// usageFS counts how often it is asked. Of the log only space is used on it.
type usageFS struct {
	vfs.FS
	usage vfs.DiskUsage
	err   error
	asked int
}

func (fs *usageFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	fs.asked++
	return fs.usage, fs.err
}

// TestSpaceLooksRarely: once a second, or after so many bytes, or when the clock
// has gone back.
func TestSpaceLooksRarely(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	fs := &usageFS{usage: vfs.DiskUsage{AvailBytes: 10, TotalBytes: 100}}
	s := newSpace("log", Options{FS: fs, Now: func() time.Time { return now }}.withDefaults())
	check := func(asked int) {
		t.Helper()
		require.NoError(t, s.check())
		require.Equal(t, asked, fs.asked)
	}
	check(1)
	now = now.Add(spaceInterval - 1)
	check(1)
	now = now.Add(1)
	check(2)
	s.spend(spaceBytes - 1)
	check(2)
	s.spend(1)
	check(3)
	check(3)
	now = now.Add(-1)
	check(4)
	check(4)
}

func TestMinFree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		minFree     int64
		total, free uint64
		full        bool
	}{
		"large disk, below 1 GiB":  {0, 1 << 40, 1<<30 - 1, true},
		"large disk, 1 GiB":        {0, 1 << 40, 1 << 30, false},
		"small disk, below 5 %":    {0, 1_000_000, 49_999, true},
		"small disk, 5 %":          {0, 1_000_000, 50_000, false},
		"set, below":               {7 << 30, 1 << 40, 7<<30 - 1, true},
		"set, enough":              {7 << 30, 1 << 40, 7 << 30, false},
		"more than the disk has":   {2_000_000, 1_000_000, 1_000_000, true},
		"off":                      {-1, 1 << 40, 0, false},
		"file system without size": {0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := &usageFS{usage: vfs.DiskUsage{AvailBytes: c.free, TotalBytes: c.total}}
			s := newSpace("log", Options{FS: fs, MinFreeBytes: c.minFree}.withDefaults())
			if c.full {
				require.ErrorIs(t, s.check(), eventlog.ErrFull)
			} else {
				require.NoError(t, s.check())
			}
		})
	}
}

// TestSpaceThatCannotBeTold: there is room until the file system has said
// otherwise, and only an error nobody expects is told, once.
func TestSpaceThatCannotBeTold(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	fs := &usageFS{err: vfs.ErrUnsupported, usage: vfs.DiskUsage{AvailBytes: 1, TotalBytes: 100}}
	s := newSpace("log", Options{FS: fs, Logger: slog.New(slog.NewTextHandler(&out, nil))}.withDefaults())
	look := func(err error) error {
		s.spend(spaceBytes)
		fs.err = err
		return s.check()
	}
	require.NoError(t, look(vfs.ErrUnsupported))
	require.Empty(t, out.String())
	require.ErrorIs(t, look(nil), eventlog.ErrFull)
	for range 3 {
		require.ErrorIs(t, look(errors.New("odd")), eventlog.ErrFull, "what was known stays")
	}
	require.Equal(t, 1, strings.Count(out.String(), "cannot tell how much room"))
	require.Contains(t, out.String(), "error=odd")
	fs.usage.AvailBytes = 5
	require.NoError(t, look(nil))
	require.NoError(t, look(errors.New("odd")))
	require.Equal(t, 2, strings.Count(out.String(), "cannot tell how much room"))
}

// TestFullGroup: requests that share a group with a refused one are answered as
// if they were alone.
func TestFullGroup(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	first, err := l.Append(t.Context(), numbered(0, 1))
	require.NoError(t, err)
	l.space.fs = &usageFS{}
	l.space.minFree = 1
	l.space.spend(spaceBytes)
	g := &group{done: make(chan struct{})}
	for _, records := range [][]eventlog.Record{numbered(1, 2), numbered(0, 1), numbered(0, 3), nil} {
		r := &request{answers: make([]eventlog.Appended, len(records))}
		for i := range records {
			r.records = append(r.records, stage(&records[i]))
		}
		g.requests = append(g.requests, r)
	}
	require.NoError(t, l.commit(g)) // the committer has nothing to do meanwhile
	require.ErrorIs(t, g.requests[0].refused, eventlog.ErrFull)
	require.NoError(t, g.requests[1].refused)
	require.Equal(t, []eventlog.Appended{{Position: first[0].Position, Duplicate: true}}, g.requests[1].answers)
	require.ErrorIs(t, g.requests[2].refused, eventlog.ErrFull)
	require.NoError(t, g.requests[3].refused)
	require.Equal(t, eventlog.Sequence(2), l.next)
}
