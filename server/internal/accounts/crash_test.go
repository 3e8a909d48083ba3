package accounts

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// crashDisk is a crashable disk. Its file system locks and links without the mutex that
// taking an image needs.
type crashDisk struct {
	*vfs.MemFS
	linking sync.Mutex
}

func (d *crashDisk) Link(oldname, newname string) error {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Link(oldname, newname)
}

func (d *crashDisk) Lock(name string) (io.Closer, error) {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Lock(name)
}

func (d *crashDisk) image(random *rand.Rand, unsynced int) *vfs.MemFS {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: random})
}

// crashRounds is how many random histories are cut off, each at many moments.
func crashRounds() int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return 50
	}
	return 2
}

// TestCrash: wherever a crash cuts off a log while callbacks come, old ones are trimmed
// and the state is made again, the state that the next server finds is a fresh fold of
// all events up to the head, and so is what is learned of numbers.
func TestCrash(t *testing.T) {
	t.Parallel()
	for round := range crashRounds() {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			t.Parallel()
			crash(t, uint64(round))
		})
	}
}

func crash(t *testing.T, round uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(round, 7))
	disk := &crashDisk{MemFS: vfs.NewCrashableMem()}
	s := newSiteOn(t, disk)
	all := &history{site: s}
	var images []*vfs.MemFS
	for range 20 {
		for range 1 + random.IntN(15) {
			s.postTo([]string{"a", "b"}[random.IntN(2)], randomCallback(random))
		}
		images = append(images, disk.image(random, random.IntN(101)))
		all.read()
		switch head := uint64(s.settle().Sequence); random.IntN(4) {
		case 0:
			require.NoError(t, s.log.Trim(t.Context(), eventlog.Sequence(random.Uint64N(head))))
		case 1:
			require.NoError(t, s.log.TrimType(t.Context(), "messages", eventlog.Sequence(random.Uint64N(head))))
		case 2:
			s.rebuild()
		}
		images = append(images, disk.image(random, random.IntN(101)))
	}
	for _, image := range images {
		checkImage(t, image, all.entries)
	}
}

// history is every event that there ever was.
type history struct {
	*site
	entries []eventlog.Entry
}

// read takes what was appended since.
func (h *history) read() {
	h.Helper()
	last := eventlog.Sequence(0)
	if n := len(h.entries); n > 0 {
		last = h.entries[n-1].Position.Sequence
	}
	page, err := h.log.Read(h.Context(), eventlog.Query{After: last, Held: true})
	require.NoError(h, err)
	require.False(h, page.More)
	h.entries = append(h.entries, page.Entries...)
}

// checkImage opens the log as a crash has left it.
func checkImage(t *testing.T, image *vfs.MemFS, entries []eventlog.Entry) {
	t.Helper()
	s := newSiteOn(t, image)
	head := s.settle()
	bounds, err := s.log.Bounds(t.Context())
	require.NoError(t, err)
	fresh := newMemory(t)
	for _, e := range entries {
		if e.Position.Sequence <= head.Sequence {
			fresh.fold(e)
		}
	}
	fresh.forget(bounds.Start.Sequence)
	require.Equal(t, fresh.dump(), s.dump())
	s.rebuild()
	require.Equal(t, fresh.dump(), s.dump())
	require.NoError(t, s.log.Close())
}

// forget drops the notes of what is trimmed.
func (m *memory) forget(upTo eventlog.Sequence) {
	for len(m.notes) > 0 && m.notes[0].At <= upTo {
		m.notes = m.notes[1:]
	}
}
