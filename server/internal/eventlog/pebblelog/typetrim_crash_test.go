package pebblelog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// syncPoints takes an image of a disk, as a power cut would leave it, whenever a
// file is about to be synced.
type syncPoints struct {
	disk *crashDisk
	// unsynced are how much of what was not synced the images have, in turn, in
	// percent.
	unsynced []int

	mu     sync.Mutex // guards fields below it
	random *rand.Rand
	armed  bool
	done   progress
	images []image
}

// image is a disk and what was acknowledged when it was taken.
type image struct {
	disk *vfs.MemFS
	done progress
}

// progress is how many records were appended, and up to where each path was
// trimmed.
type progress struct {
	appended int
	trimmed  marks
}

// marks are the trim points of a.b0, a.b1 and a. testRecord makes a third type, a.b2.
type marks [3]eventlog.Sequence

func trimPaths() [3]string { return [3]string{"a.b0", "a.b1", "a"} }

func marksOf(t *testing.T, log eventlog.Log) marks {
	t.Helper()
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	var all marks
	for _, trim := range bounds.TypeTrims {
		for n, path := range trimPaths() {
			if trim.Path == path {
				all[n] = trim.UpTo.Sequence
			}
		}
	}
	return all
}

// holds tells whether test record i is to be there.
func (m marks) holds(i int) bool {
	seq := eventlog.Sequence(i)
	return seq > m[2] && (i%3 == 2 || seq > m[i%3])
}

func (*syncPoints) String() string { return "sync points" }

func (p *syncPoints) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed {
		percent := p.unsynced[len(p.images)%len(p.unsynced)]
		p.images = append(p.images, image{done: p.done, disk: p.disk.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: percent, RNG: p.random,
		})})
	}
	return nil
}

// acknowledge notes what a call has returned.
func (p *syncPoints) acknowledge(note func(*progress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note(&p.done)
}

func (p *syncPoints) arm(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = on
}

// TestCrashWhileTrimmingTypes: wherever a crash cuts a trim of a type off, what is
// gone is what its trim point says, and everything else is there.
func TestCrashWhileTrimmingTypes(t *testing.T) {
	t.Parallel()
	for round := range rounds() {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			t.Parallel()
			c := newTrimCrasher(t, uint64(round), 64<<10)
			c.grow(600)
			c.points.arm(true)
			for step := range 24 {
				head := c.grow(5)
				c.trimType(step%2, head*eventlog.Sequence(step+1)/24)
			}
			c.check(40)
		})
	}
}

// TestCrashWhileTrimmingManyOfAType has one trim make several batches.
func TestCrashWhileTrimmingManyOfAType(t *testing.T) {
	t.Parallel()
	// With room in memory there are hardly other syncs than those of the batches.
	// Pebble takes long over a half of a large one.
	c := newTrimCrasher(t, 1, 8<<20)
	c.points.unsynced = []int{0, 100}
	c.grow(2500)
	c.grow(2500)
	c.trimType(1, 500)
	c.points.arm(true)
	c.trimType(2, 4900) // three batches
	c.check(3)
}

// trimCrasher trims types of a log and keeps images of its disk.
type trimCrasher struct {
	*testing.T
	log    *pebblelog.Log
	points *syncPoints
	n      int // records appended
}

func newTrimCrasher(t *testing.T, round uint64, memTableBytes int) *trimCrasher {
	t.Helper()
	disk := newCrashDisk()
	points := &syncPoints{disk: disk, unsynced: []int{0, 40, 100}, random: rand.New(rand.NewPCG(round, 3))}
	opts := small(faultFS{errorfs.Wrap(disk, points), points})
	opts.MemTableBytes = memTableBytes
	log, err := pebblelog.Open(t.Context(), "log", opts)
	require.NoError(t, err)
	return &trimCrasher{T: t, log: log, points: points}
}

// grow appends the next test records and returns the new head.
func (c *trimCrasher) grow(by int) eventlog.Sequence {
	c.Helper()
	records := make([]eventlog.Record, by)
	for i := range records {
		records[i] = testRecord(c.n + i + 1)
	}
	answers, err := c.log.Append(c.Context(), records)
	require.NoError(c, err)
	c.n += by
	c.points.acknowledge(func(p *progress) { p.appended = c.n })
	return answers[by-1].Position.Sequence
}

func (c *trimCrasher) trimType(path int, upTo eventlog.Sequence) {
	c.Helper()
	require.NoError(c, c.log.TrimType(c.Context(), trimPaths()[path], upTo))
	trimmed := marksOf(c.T, c.log)
	c.points.acknowledge(func(p *progress) { p.trimmed = trimmed })
}

// check closes the log and looks at all images, of which there must be some.
func (c *trimCrasher) check(least int) {
	c.Helper()
	c.points.arm(false)
	require.NoError(c, c.log.Close())
	require.GreaterOrEqual(c, len(c.points.images), least)
	ahead := 0
	for _, i := range c.points.images {
		if checkThinnedImage(c.T, i) {
			ahead++
		}
	}
	require.Positive(c, ahead, "some images hold a part of a trim that was not acknowledged yet")
}

// checkThinnedImage reports whether the image is ahead of what was acknowledged.
func checkThinnedImage(t *testing.T, i image) (ahead bool) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", small(i.disk))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	trimmed := marksOf(t, log)
	for n := range trimmed {
		require.GreaterOrEqual(t, trimmed[n], i.done.trimmed[n])
	}
	checkThinned(t, log, i.done.appended, trimmed)
	require.NoError(t, log.TrimType(t.Context(), "a", 302))
	checkThinned(t, log, i.done.appended, marksOf(t, log))
	checkAllKnown(t, log, i.done.appended)
	return trimmed != i.done.trimmed
}

// checkThinned wants a log of n test records or more to lack those of each path up
// to its trim point, and nothing else, however it is asked.
func checkThinned(t *testing.T, log *pebblelog.Log, appended int, trimmed marks) {
	t.Helper()
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	n := int(bounds.Head.Sequence)
	require.GreaterOrEqual(t, n, appended)
	var held []eventlog.Sequence
	perAccount := make(map[string]int)
	for i := 1; i <= n; i++ {
		if trimmed.holds(i) {
			held = append(held, eventlog.Sequence(i))
			perAccount[testRecord(i).WABAID]++
		}
	}
	var found []eventlog.Sequence
	for _, e := range readAll(t, log, eventlog.Query{Held: true}) {
		found = append(found, e.Position.Sequence)
		if e.ID != testRecord(int(e.Position.Sequence)).ID {
			require.Fail(t, "another record", "at %d", e.Position.Sequence)
		}
	}
	require.True(t, slices.Equal(held, found), "held %v, found %v", held, found)
	require.Len(t, readAll(t, log, eventlog.Query{Reverse: true}), len(held))
	for account := range 7 {
		one := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{strconv.Itoa(account)}}})
		require.Len(t, readAll(t, log, eventlog.Query{Filter: one, Held: true}), perAccount[strconv.Itoa(account)])
	}
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(len(held)), stats.Records)
	sum, err := log.MeasureType(t.Context(), "a", 0, 0)
	require.NoError(t, err)
	require.Equal(t, uint64(len(held)), sum.Records)
}

// checkAllKnown appends test records 1 to n again: those that were removed are
// duplicates as well.
func checkAllKnown(t *testing.T, log *pebblelog.Log, n int) {
	t.Helper()
	const call = 500
	for i := 1; i <= n; i += call {
		again := make([]eventlog.Record, 0, call)
		for k := i; k < i+call && k <= n; k++ {
			again = append(again, testRecord(k))
		}
		answers, err := log.Append(t.Context(), again)
		require.NoError(t, err)
		require.False(t, slices.ContainsFunc(answers, func(a eventlog.Appended) bool { return !a.Duplicate }))
	}
}
