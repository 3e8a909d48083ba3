package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// pouring posts callbacks, each for an account of its own, until it is stopped.
type pouring struct {
	mu       sync.Mutex
	more     *sync.Cond      // on mu: answered has grown
	answered map[string]bool // guarded by mu
	posters  sync.WaitGroup
	stop     context.CancelFunc
}

func startPouring(t *testing.T, p *process, name string) *pouring {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &pouring{answered: make(map[string]bool), stop: stop}
	l.more = sync.NewCond(&l.mu)
	for poster := range 8 {
		l.posters.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", name, poster, i)
				status, err := p.post(ctx, callbackOf(id))
				if ctx.Err() != nil {
					return
				}
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("post answered %d", status)
				}
				if err != nil {
					assert.Fail(t, "a callback was refused", err.Error())
					return
				}
				l.mu.Lock()
				l.answered[id] = true
				l.more.Broadcast()
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *pouring) end() {
	l.stop()
	l.posters.Wait()
}

// atLeast waits for so many answers and returns what was answered by then.
func (l *pouring) atLeast(n int) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.answered) < n {
		l.more.Wait()
	}
	return maps.Clone(l.answered)
}

// everything reads a server's log from a start to the head.
func everything(t *testing.T, p *process, request *wabastreamv1.SubscribeRequest) (events []*wabastreamv1.Event, err error) {
	t.Helper()
	c, err := client.New(p.grpc)
	require.NoError(t, err)
	defer c.Close()
	request.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	for event, err := range c.Subscribe(t.Context(), request) {
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

func fromEarliest() *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
	}
}

func afterCursor(cursor string) *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}}
}

// A backup made while callbacks pour in is the log up to its head: everything
// answered before it is there, nothing is missing, and a second server goes on
// from it. A cursor from beyond is refused, before and after the restored log has
// passed that place.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	original := startProcess(t, filepath.Join(t.TempDir(), "log"))
	load := startPouring(t, original, "original")
	before := load.atLeast(300)
	backup := createBackup(t, original, "nightly")
	load.atLeast(len(before) + 300)
	load.end()
	all, err := everything(t, original, fromEarliest())
	require.NoError(t, err)

	restored := startProcess(t, backup.GetPath())
	kept, err := everything(t, restored, fromEarliest())
	require.NoError(t, err)
	requireSamePrefix(t, all, kept)
	require.Equal(t, backup.GetHeadCursor(), kept[len(kept)-1].GetCursor())
	require.Equal(t, backup.GetEventCount(), uint64(len(kept)))
	for _, event := range kept {
		delete(before, event.GetWabaId())
	}
	require.Empty(t, before, "answered before the backup, and not in it")
	require.Less(t, len(kept), len(all))

	beyond := all[len(all)-1].GetCursor()
	_, err = everything(t, restored, afterCursor(beyond))
	require.ErrorIs(t, err, &client.Error{Reason: client.ReasonCursorAheadOfLog})
	more := startPouring(t, restored, "restored")
	more.atLeast(len(all) - len(kept) + 10)
	more.end()
	_, err = everything(t, restored, afterCursor(beyond))
	require.ErrorIs(t, err, &client.Error{Reason: client.ReasonCursorLogMismatch})

	resumed, err := everything(t, restored, afterCursor(backup.GetHeadCursor()))
	require.NoError(t, err)
	for _, event := range resumed {
		delete(more.answered, event.GetWabaId())
	}
	require.Empty(t, more.answered)
}

func createBackup(t *testing.T, p *process, id string) *wabastreamv1.Backup {
	t.Helper()
	c, err := client.New(p.grpc)
	require.NoError(t, err)
	defer c.Close()
	backup, err := c.CreateBackup(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, backup.GetBackupId())
	_, err = c.CreateBackup(t.Context(), id)
	require.ErrorIs(t, err, &client.Error{Reason: client.ReasonBackupExists})
	return backup
}

func requireSamePrefix(t *testing.T, all, prefix []*wabastreamv1.Event) {
	t.Helper()
	require.LessOrEqual(t, len(prefix), len(all))
	for i, event := range prefix {
		require.Equal(t, all[i].GetId(), event.GetId())
		require.Equal(t, all[i].GetCursor(), event.GetCursor())
	}
}
