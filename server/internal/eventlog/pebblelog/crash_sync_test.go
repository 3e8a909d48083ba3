package pebblelog_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// powerCut is a disk as a power cut leaves it, and what was known by then.
type powerCut struct {
	disk  vfs.FS
	known map[eventlog.ID]eventlog.Position
}

// powerCuts takes an image of a disk before every sync, until it has enough.
type powerCuts struct {
	disk   *crashDisk
	tally  *tally
	images chan powerCut

	mu     sync.Mutex // guards fields below it
	random *rand.Rand
	left   int
}

func (*powerCuts) String() string { return "power cuts" }

func (c *powerCuts) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo {
		c.cut()
	}
	return nil
}

// cut takes an image. What was not synced yet is on the disk, or is not, or some of
// it is: with all of it this is also the moment behind the sync.
func (c *powerCuts) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return
	}
	known := c.tally.known() // before the image: it must hold all of that
	disk := c.disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: []int{0, 50, 100}[c.left%3],
		RNG:                 rand.New(rand.NewPCG(c.random.Uint64(), c.random.Uint64())),
	})
	c.images <- powerCut{disk, known}
	if c.left--; c.left == 0 {
		close(c.images)
	}
}

// TestCrashAtEverySync cuts the power at one sync after the other, of the
// write-ahead log, of tables, of the manifest and of the folder, while records are
// written and read: nothing acknowledged is lost, nothing that a reader saw is
// unsaid, no duplicate appears. A campaign has 1,500 cuts.
func TestCrashAtEverySync(t *testing.T) {
	t.Parallel()
	cuts := 40 // in each round
	if rounds() > 1 {
		cuts = 50
	}
	for round := range rounds() {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			t.Parallel()
			crashAtEverySync(t, uint64(round), cuts)
		})
	}
}

func crashAtEverySync(t *testing.T, round uint64, cuts int) {
	t.Helper()
	c := &powerCuts{
		disk: newCrashDisk(), tally: newTally(), images: make(chan powerCut),
		random: rand.New(rand.NewPCG(round, 7)),
	}
	log, err := pebblelog.Open(t.Context(), "log", small(faultFS{errorfs.Wrap(c.disk, c), c}))
	require.NoError(t, err)
	c.mu.Lock()
	c.left = cuts
	c.mu.Unlock()
	var writers, reader sync.WaitGroup
	for range 4 {
		writers.Go(func() { assert.NoError(t, c.tally.write(log)) })
	}
	reader.Go(func() { assert.ErrorIs(t, c.tally.follow(log), eventlog.ErrClosed) })
	const calls = 8 // are more than one group for four writers
	c.tally.allow(calls)
	for i := range c.images {
		checkAfterCrash(t, i.disk, i.known, int(c.tally.next.Load()))
		c.tally.allow(calls)
	}
	close(c.tally.budget)
	writers.Wait()
	require.NoError(t, log.Close())
	reader.Wait()
}
