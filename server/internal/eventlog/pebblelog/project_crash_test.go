package pebblelog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// TestCrashWhileProjecting: wherever a crash cuts off an append, a trim, or the making
// of the state, the state becomes what folding every record that there ever was gives,
// and making it again from what is left gives the same bytes.
func TestCrashWhileProjecting(t *testing.T) {
	t.Parallel()
	for round := range rounds() {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			t.Parallel()
			crashWhileProjecting(t, uint64(round))
		})
	}
}

func crashWhileProjecting(t *testing.T, round uint64) {
	t.Helper()
	disk := newCrashDisk()
	random := rand.New(rand.NewPCG(round, 11))
	points := &syncPoints{disk: disk, unsynced: []int{0, 40, 100}, random: rand.New(rand.NewPCG(round, 3))}
	log, err := pebblelog.Open(t.Context(), "log", small(faultFS{errorfs.Wrap(disk, points), points}))
	require.NoError(t, err)
	s, err := log.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	c := &trimCrasher{T: t, log: log, points: points}
	c.grow(300)
	points.arm(true)
	for range 30 {
		head := c.grow(1 + random.IntN(40))
		upTo := eventlog.Sequence(random.Uint64N(uint64(head)))
		switch random.IntN(6) {
		case 0:
			require.NoError(t, log.Trim(t.Context(), upTo))
		case 1:
			require.NoError(t, log.TrimType(t.Context(), trimPaths()[random.IntN(2)], upTo))
		case 2:
			differences, err := s.Rebuild(t.Context(), func(uint64, uint64) {})
			require.NoError(t, err)
			require.Zero(t, differences)
		}
	}
	points.arm(false)
	require.NoError(t, log.Close())
	require.GreaterOrEqual(t, len(points.images), 40)
	for _, i := range points.images {
		checkProjected(t, i.disk)
	}
}

// checkProjected wants the state in an image to be that of all records up to the head:
// the nth is test record n, also if it was removed.
func checkProjected(t *testing.T, fs vfs.FS) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	s, err := log.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	values, notes := projected(t, bounds)
	check := func() {
		require.NoError(t, s.Wait(t.Context(), bounds.Head.Sequence-1))
		v, err := s.View()
		require.NoError(t, err)
		defer v.Close()
		require.Equal(t, bounds.Head, v.Position())
		found := make(map[string]string)
		require.NoError(t, v.Scan(nil, nil, false, func(key, value []byte) bool {
			found[string(key)] = string(value)
			return true
		}))
		require.Equal(t, values, found)
		var noted []string
		require.NoError(t, v.Notes(bounds.Start.Sequence, func(n eventlog.Note) bool {
			noted = append(noted, fmt.Sprintf("%d %x", n.At, n.Value))
			return true
		}))
		require.Equal(t, notes, noted)
	}
	check()
	differences, err := s.Rebuild(t.Context(), func(uint64, uint64) {})
	require.NoError(t, err)
	require.Zero(t, differences)
	check()
}

func projected(t *testing.T, bounds eventlog.Bounds) (values map[string]string, notes []string) {
	t.Helper()
	p := eventlogtest.Chain()
	values = make(map[string]string)
	for i := 1; i <= int(bounds.Head.Sequence); i++ {
		e := eventlog.Entry{Record: testRecord(i), Position: eventlog.Position{Sequence: eventlog.Sequence(i)}}
		changes, err := p.Fold(func(key []byte) ([]byte, error) { return []byte(values[string(key)]), nil }, []eventlog.Entry{e})
		require.NoError(t, err)
		for _, w := range changes.Writes {
			values[string(w.Key)] = string(w.Value)
		}
		for _, n := range changes.Notes {
			if n.At > bounds.Start.Sequence {
				notes = append(notes, fmt.Sprintf("%d %x", n.At, n.Value))
			}
		}
	}
	return values, notes
}
