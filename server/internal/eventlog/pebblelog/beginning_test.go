package pebblelog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// original is a log that a copy begins in the middle of: 400 records, all up to 100
// trimmed, those of some types up to 180, of which its base therefore is.
type original struct {
	log     *pebblelog.Log
	state   eventlog.State
	entries []eventlog.Entry // all that there ever were
	bases   *pebblelog.Bases
	stored  pebblelog.StoredState
}

const (
	copyBehind  = 60
	copyTrimmed = 100
	copyBase    = 180
)

func newOriginal(t *testing.T) *original {
	t.Helper()
	// The copy has the id of the log, and one can be made only of a follower's.
	f := newFollower(t)
	o := &original{log: f.Log()}
	for i := 1; i <= 400; i++ {
		e := eventlog.Entry{Record: testRecord(i), AppendTime: time.UnixMicro(int64(1_700_000_000_000_000 + i)).UTC()}
		e.Position = eventlog.Position{Log: copied(), Sequence: eventlog.Sequence(i), Fingerprint: eventlog.FingerprintOf(e.ID, e.AppendTime)}
		o.entries = append(o.entries, e)
	}
	require.NoError(t, f.Store(o.entries, []byte("all")))
	var err error
	o.state, err = o.log.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	require.NoError(t, o.log.Trim(t.Context(), copyTrimmed))
	removed := o.entries[copyBase-1].Type
	require.NoError(t, o.log.TrimType(t.Context(), removed, copyBase))
	o.bases, err = f.Bases()
	require.NoError(t, err)
	t.Cleanup(o.bases.Close)
	all, err := o.bases.States()
	require.NoError(t, err)
	require.Len(t, all, 1)
	o.stored = all[0]
	require.Equal(t, eventlog.Sequence(copyBase), o.stored.Base.Sequence)
	trimmed, err := o.bases.Trimmed()
	require.NoError(t, err)
	require.Equal(t, eventlog.Sequence(copyTrimmed), trimmed)
	return o
}

func copied() eventlog.LogID { return eventlog.LogID{1, 2, 3} }

// openFollower opens a copy, which the test closes.
func openFollower(t *testing.T, fs vfs.FS) *pebblelog.Follower {
	t.Helper()
	f, err := pebblelog.OpenFollower(t.Context(), "log", copied(), small(fs))
	require.NoError(t, err)
	return f
}

// newFollower makes an empty copy, which is closed with the test.
func newFollower(t *testing.T) *pebblelog.Follower {
	t.Helper()
	f := openFollower(t, vfs.NewMem())
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func (o *original) beginning() pebblelog.Beginning {
	behind := o.entries[copyBehind-1]
	return pebblelog.Beginning{
		Behind: behind.Position, Stamp: behind.AppendTime, Hidden: copyTrimmed, Mark: []byte{copyBehind},
		States: func(begin func(pebblelog.StoredState) (eventlog.StateImport, error)) error {
			into, err := begin(o.stored)
			if err != nil {
				return err
			}
			if err := o.bases.Read(o.stored.Name, into.Value, into.Note); err != nil {
				return err
			}
			return into.End()
		},
	}
}

// goOn stores what the copy lacks up to a record. The mark is the record that it is of.
func (o *original) goOn(t *testing.T, f *pebblelog.Follower, upTo int) {
	t.Helper()
	mark, err := f.Mark()
	require.NoError(t, err)
	if len(mark) == 0 {
		require.NoError(t, f.Begin(o.beginning()))
		mark = []byte{copyBehind}
	}
	bounds, err := f.Log().Bounds(t.Context())
	require.NoError(t, err)
	if head := int(bounds.Head.Sequence); head < upTo {
		require.NoError(t, f.Store(o.entries[head:upTo], mark))
	}
}

// finish brings the copy up to date, and wants its state to be the original's.
func (o *original) finish(t *testing.T, fs vfs.FS) {
	t.Helper()
	f := openFollower(t, fs)
	o.goOn(t, f, len(o.entries))
	hidden, err := f.Hidden()
	require.NoError(t, err)
	require.NoError(t, f.Log().Trim(t.Context(), hidden), "before the projection is named")
	require.ErrorIs(t, f.Log().Trim(t.Context(), copyBase+1), eventlog.ErrUnprojected)
	s, err := f.Log().Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	check := func() {
		require.NoError(t, s.Wait(t.Context(), eventlog.Sequence(len(o.entries)-1)))
		require.Equal(t, dump(t, o.state), dump(t, s))
	}
	check()
	differences, err := s.Rebuild(t.Context(), func(uint64, uint64) {})
	require.NoError(t, err)
	require.Zero(t, differences)
	require.NoError(t, f.Log().TrimType(t.Context(), o.entries[copyBase-1].Type, copyBase))
	check()
	require.NoError(t, f.Close())
	requireSound(t, fs)
}

func dump(t *testing.T, s eventlog.State) string {
	t.Helper()
	v, err := s.View()
	require.NoError(t, err)
	defer v.Close()
	out := fmt.Sprintln(v.Position())
	require.NoError(t, v.Scan(nil, nil, false, func(key, value []byte) bool {
		out += fmt.Sprintf("%q %x\n", key, value)
		return true
	}))
	require.NoError(t, v.Notes(0, func(n eventlog.Note) bool {
		out += fmt.Sprintf("%d %x\n", n.At, n.Value)
		return true
	}))
	return out
}

// A copy begins with a state that is ahead of it, and is stopped wherever it is on its
// way there: the state is as it was until then, and follows behind.
func TestCopyBeginsWithAStateAheadOfIt(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	fs := vfs.NewMem()
	for _, upTo := range []int{copyBehind, 61, 99, 100, 101, 179, 180, 181, 300} {
		f := openFollower(t, fs)
		o.goOn(t, f, upTo)
		require.NoError(t, f.Close())
		requireSound(t, fs)
	}
	o.finish(t, fs)
}

// So is one whose state is named while it is ahead.
func TestStateAheadOfACopyWaits(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	f := newFollower(t)
	o.goOn(t, f, 70)
	s, err := f.Log().Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	before := dump(t, s)
	require.NoError(t, f.Log().Trim(t.Context(), 65))
	o.goOn(t, f, copyBase)
	differences, err := s.Rebuild(t.Context(), func(uint64, uint64) {})
	require.NoError(t, err)
	require.Zero(t, differences)
	require.Equal(t, before, dump(t, s))
	o.goOn(t, f, len(o.entries))
	require.NoError(t, f.Log().Trim(t.Context(), copyTrimmed))
	require.NoError(t, s.Wait(t.Context(), eventlog.Sequence(len(o.entries)-1)))
	require.Equal(t, dump(t, o.state), dump(t, s))
}

// Wherever a crash cuts a beginning off, it is all there or can be done again.
func TestCrashWhileBeginning(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	disk := newCrashDisk()
	points := &syncPoints{disk: disk, unsynced: []int{0, 40, 100}, random: rand.New(rand.NewPCG(1, 3))}
	f := openFollower(t, faultFS{errorfs.Wrap(disk, points), points})
	points.arm(true)
	for upTo := copyBehind; upTo <= 200; upTo += 7 {
		o.goOn(t, f, upTo)
	}
	points.arm(false)
	require.NoError(t, f.Close())
	require.NotEmpty(t, points.images)
	for _, image := range points.images {
		o.finish(t, image.disk)
	}
}

func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	o := newOriginal(t)
	early := o.beginning()
	early.Hidden = copyBase + 1
	f := newFollower(t)
	require.ErrorContains(t, f.Begin(early), "the state of projection chain is of 180, and what follows begins behind 181")
	require.NoError(t, f.Begin(o.beginning()), "after an error it can be done again")
	require.NoError(t, f.Store(o.entries[copyBehind:copyBehind+1], nil))
	require.ErrorContains(t, f.Begin(o.beginning()), "not empty")

	used := newFollower(t)
	_, err := used.Log().Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	require.ErrorContains(t, used.Begin(o.beginning()), "in use")
}
