package pebblelog_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// small makes memory tables so small that files are rotated and flushed all the
// time.
func small(fs vfs.FS) pebblelog.Options {
	return pebblelog.Options{FS: fs, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, LockWait: -1, RecentIDs: 1000, IndexBatch: 100}
}

// crashDisk is a disk of which images can be taken at any time: vfs.MemFS by itself
// locks up when that meets the making of a link or of a lock, which take its read lock
// twice.
type crashDisk struct {
	*vfs.MemFS
	linking sync.Mutex
}

func newCrashDisk() *crashDisk { return &crashDisk{MemFS: vfs.NewCrashableMem()} }

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

func (d *crashDisk) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.CrashClone(cfg)
}

// testRecord makes a record that n alone tells from others.
func testRecord(n int) eventlog.Record {
	r := eventlog.Record{
		Header: eventlog.Header{
			Source: "nxcloud", WABAID: strconv.Itoa(n % 7), Type: fmt.Sprintf("a.b%d", n%3),
			BusinessPhone: strconv.Itoa(n % 5), Severity: eventlog.SeverityInfo,
		},
		Payload: make([]byte, 300),
		Horizon: 24 * time.Hour,
	}
	copy(r.ID[:], fmt.Sprintf("%020d", n))
	copy(r.Payload, fmt.Sprint("payload ", n))
	return r
}

// tally is what is known of a log from outside: what was acknowledged, and what
// a reader has seen.
type tally struct {
	mu           sync.Mutex
	acknowledged map[eventlog.ID]eventlog.Position // guarded by mu
	seen         map[eventlog.ID]eventlog.Position // guarded by mu
	next         atomic.Int64
	// budget holds a token for each call that may still be made.
	budget chan struct{}
}

func newTally() *tally {
	return &tally{
		budget:       make(chan struct{}, 20_000),
		acknowledged: make(map[eventlog.ID]eventlog.Position),
		seen:         make(map[eventlog.ID]eventlog.Position),
	}
}

// allow lets writers make some more calls.
func (y *tally) allow(calls int) {
	for range calls {
		y.budget <- struct{}{}
	}
}

// write appends calls of a few records until it gets an error or the budget is
// closed.
func (y *tally) write(log eventlog.Log) error {
	for range y.budget {
		records := make([]eventlog.Record, 1+int(y.next.Load())%3)
		for i := range records {
			records[i] = testRecord(int(y.next.Add(1)))
		}
		answers, err := log.Append(context.Background(), records)
		if err != nil {
			return err
		}
		y.mu.Lock()
		for i, a := range answers {
			y.acknowledged[records[i].ID] = a.Position
		}
		y.mu.Unlock()
	}
	return nil
}

// follow reads along until it gets an error.
func (y *tally) follow(log eventlog.Log) error {
	for after := eventlog.Sequence(0); ; {
		if err := log.Wait(context.Background(), after); err != nil {
			return err
		}
		page, err := log.Read(context.Background(), eventlog.Query{After: after})
		if err != nil {
			return err
		}
		y.mu.Lock()
		for _, e := range page.Entries {
			y.seen[e.ID] = e.Position
		}
		y.mu.Unlock()
		after = page.Scanned.Sequence
	}
}

// known is a copy of everything that must not be lost.
func (y *tally) known() map[eventlog.ID]eventlog.Position {
	y.mu.Lock()
	defer y.mu.Unlock()
	all := make(map[eventlog.ID]eventlog.Position, len(y.acknowledged))
	maps.Copy(all, y.acknowledged)
	maps.Copy(all, y.seen)
	return all
}

// rounds is how often a test of chance is repeated: once, or many times in a
// campaign.
func rounds() int {
	if os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" {
		return 30
	}
	return 1
}

// TestCrash takes images of the disk, as a power cut would leave it, while
// records are written and read, and opens a log on each.
func TestCrash(t *testing.T) {
	t.Parallel()
	for round := range rounds() {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			t.Parallel()
			crashOften(t, uint64(round))
		})
	}
}

func crashOften(t *testing.T, round uint64) {
	t.Helper()
	fs := newCrashDisk()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	y := newTally()
	var writers, reader sync.WaitGroup
	for range 4 {
		writers.Go(func() { assert.NoError(t, y.write(log)) })
	}
	reader.Go(func() { assert.ErrorIs(t, y.follow(log), eventlog.ErrClosed) })
	for image := range 20 {
		y.allow(60) // about 120 records, of which some are on their way
		require.NoError(t, log.Wait(t.Context(), eventlog.Sequence(image*90)))
		known := y.known()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 30, 100}[image%3],
			RNG:                 rand.New(rand.NewPCG(uint64(image), round)),
		})
		checkAfterCrash(t, crashed, known, int(y.next.Load()))
	}
	close(y.budget)
	writers.Wait()
	require.NoError(t, log.Close())
	reader.Wait()
}

// checkAfterCrash wants everything known to be there exactly once, the index to
// agree with the records, and nothing to be stored twice when all is sent again.
func checkAfterCrash(t *testing.T, fs vfs.FS, known map[eventlog.ID]eventlog.Position, sent int) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	stored := make(map[eventlog.ID]eventlog.Position)
	perAccount := make(map[string]int)
	for _, e := range readAll(t, log, eventlog.Query{}) {
		_, twice := stored[e.ID]
		require.False(t, twice, "stored twice")
		stored[e.ID] = e.Position
		perAccount[e.WABAID]++
	}
	for id, p := range known {
		require.Equal(t, p, stored[id])
		found, err := log.Lookup(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, p, found.Position)
	}
	for account, n := range perAccount {
		one := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{account}}})
		require.Len(t, readAll(t, log, eventlog.Query{Filter: one}), n)
	}
	for n := 1; n <= sent; n += 100 {
		again := make([]eventlog.Record, 0, 100)
		for i := n; i < n+100 && i <= sent; i++ {
			again = append(again, testRecord(i))
		}
		_, err := log.Append(t.Context(), again)
		require.NoError(t, err)
	}
	require.Len(t, readAll(t, log, eventlog.Query{}), sent)
}

func readAll(t *testing.T, log eventlog.Log, q eventlog.Query) []eventlog.Entry {
	t.Helper()
	var all []eventlog.Entry
	for {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		all = append(all, page.Entries...)
		if !page.More {
			return all
		}
		q.After = page.Scanned.Sequence
	}
}

// TestCrashWhileTrimming: wherever a crash cuts a trim off, the log begins
// somewhere, holds everything from there on, and the index agrees.
func TestCrashWhileTrimming(t *testing.T) {
	t.Parallel()
	fs := newCrashDisk()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	const n = 12_000
	for from := 0; from < n; from += 4000 {
		records := make([]eventlog.Record, 4000)
		for i := range records {
			records[i] = testRecord(from + i)
		}
		_, err := log.Append(t.Context(), records)
		require.NoError(t, err)
	}
	trimmed := make(chan error, 1)
	go func() { trimmed <- log.Trim(context.Background(), n-100) }()
	for image, done := 0, false; !done; image++ {
		select {
		case err := <-trimmed:
			require.NoError(t, err)
			done = true
		default:
		}
		checkTrimmedImage(t, fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(image), 5)),
		}), n, done)
	}
	require.NoError(t, log.Close())
}

func checkTrimmedImage(t *testing.T, fs vfs.FS, head eventlog.Sequence, done bool) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, bounds.Head.Sequence)
	if done {
		require.Equal(t, head-100, bounds.Start.Sequence)
	}
	after := bounds.Start.Sequence
	require.Len(t, readAll(t, log, eventlog.Query{After: after}), int(head-after))
	found := 0
	for account := range 7 {
		one := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{strconv.Itoa(account)}}})
		found += len(readAll(t, log, eventlog.Query{After: after, Filter: one}))
	}
	require.Equal(t, int(head-after), found)
}
