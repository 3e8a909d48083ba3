package pebblelog_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// churn appends, trims and trims types, all at once and without a pause, until it is
// stopped.
type churn struct {
	t    *testing.T
	log  *pebblelog.Log
	stop chan struct{}
	wait sync.WaitGroup
}

func startChurn(t *testing.T, log *pebblelog.Log) *churn {
	t.Helper()
	c := &churn{t: t, log: log, stop: make(chan struct{})}
	n := 0
	c.repeat(func(eventlog.Sequence) error {
		records := make([]eventlog.Record, 7)
		for i := range records {
			records[i] = testRecord(n)
			records[i].Type = fmt.Sprintf("t%d.x", n%3)
			n++
		}
		_, err := log.Append(t.Context(), records)
		return err
	})
	c.repeat(func(head eventlog.Sequence) error { return log.Trim(t.Context(), head-min(head, 400)) })
	c.repeat(func(head eventlog.Sequence) error { return log.TrimType(t.Context(), "t1", head-min(head, 100)) })
	c.repeat(func(head eventlog.Sequence) error { return log.TrimType(t.Context(), "t2", head-min(head, 200)) })
	return c
}

// repeat calls do with the head of the log.
func (c *churn) repeat(do func(head eventlog.Sequence) error) {
	c.wait.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			bounds, err := c.log.Bounds(c.t.Context())
			if !assert.NoError(c.t, err) || !assert.NoError(c.t, do(bounds.Head.Sequence)) {
				return
			}
		}
	})
}

func (c *churn) end() {
	close(c.stop)
	c.wait.Wait()
}

// inOrder sorts what comes in any order.
func inOrder(b eventlog.Bounds) eventlog.Bounds {
	b.TypeTrims = slices.SortedFunc(slices.Values(b.TypeTrims), func(a, b eventlog.TypeTrim) int { return strings.Compare(a.Path, b.Path) })
	return b
}

// TestBackupWhileTrimmingCampaign: what is copied while records are appended, indexed
// and removed has no fault, and is what the backup says.
func TestBackupWhileTrimmingCampaign(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	log, err := pebblelog.Open(t.Context(), "log", small(disk))
	require.NoError(t, err)
	c := startChurn(t, log)
	for n := range 5 * rounds() {
		dir := fmt.Sprintf("backups/%d", n)
		made, err := log.Backup(t.Context(), dir)
		require.NoError(t, err)
		r, err := pebblelog.OpenReader(t.Context(), dir, small(disk))
		require.NoError(t, err)
		bounds, err := r.Bounds(t.Context())
		require.NoError(t, err)
		require.Equal(t, inOrder(made.Bounds), inOrder(bounds))
		require.Equal(t, bounds.Head.Sequence, r.Indexed())
		held, err := r.Verify(t.Context(), func(p pebblelog.Problem) { t.Errorf("backup %d: %+v", n, p) }, func(uint64, uint64) {})
		require.NoError(t, err)
		require.Equal(t, made.Records, held)
		require.NoError(t, r.Close())
		require.NoError(t, disk.RemoveAll(dir))
	}
	c.end()
	require.NoError(t, log.Close())
	requireSound(t, disk)
}
