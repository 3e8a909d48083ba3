package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// failingSyncs fails one sync of the write-ahead log, and works again afterwards:
// what a disk does that has lost what it was given.
type failingSyncs struct {
	pass int64
	met  atomic.Int64
}

func (*failingSyncs) String() string { return "failing syncs" }

func (f *failingSyncs) MaybeError(op errorfs.Op) error {
	sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
	if sync && strings.HasSuffix(op.Path, ".log") && f.met.Add(1) == f.pass+1 {
		return errorfs.ErrInjected
	}
	return nil
}

// TestFailingSyncNeverEndsIn200: whichever sync of the log fails, a callback that
// was waiting for it gets 503, and so does every later one; what got 200 is there
// when the log is opened on what the disk has.
func TestFailingSyncNeverEndsIn200(t *testing.T) {
	t.Parallel()
	for pass := range int64(12) {
		t.Run(fmt.Sprintf("sync %d", 5+pass), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			faults := &failingSyncs{pass: 5 + pass}
			log, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: errorfs.Wrap(disk, faults), LockWait: -1})
			require.NoError(t, err)
			h, err := New(Config{Sources: []Source{{Name: "nxcloud", AllowUnsigned: true}}, Log: log})
			require.NoError(t, err)
			answered := postUntilRefused(t, h)
			require.NotEmpty(t, answered)
			require.Greater(t, faults.met.Load(), faults.pass, "the fault was met")
			<-log.Failed()
			require.Equal(t, http.StatusServiceUnavailable, post(h, "after the failure"))
			require.NoError(t, log.Close())
			requireStored(t, disk.CrashClone(vfs.CrashCloneCfg{}), answered)
		})
	}
}

// postUntilRefused has several senders post, each until it gets another answer than
// 200, and returns what got 200.
func postUntilRefused(t *testing.T, h http.Handler) map[string]bool {
	t.Helper()
	var (
		mu       sync.Mutex
		answered = make(map[string]bool)
		refusals = make(chan int, 8)
	)
	for sender := range cap(refusals) {
		go func() {
			for i := 0; ; i++ {
				waba := fmt.Sprintf("%d-%d", sender, i)
				if status := post(h, waba); status != http.StatusOK {
					refusals <- status
					return
				}
				mu.Lock()
				answered[waba] = true
				mu.Unlock()
			}
		}()
	}
	for range cap(refusals) {
		require.Equal(t, http.StatusServiceUnavailable, <-refusals)
	}
	return answered
}

func post(h http.Handler, waba string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, newPost(fmt.Sprintf(`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","wabaId":%q}}`, waba)))
	return w.Code
}

func requireStored(t *testing.T, disk vfs.FS, wabas map[string]bool) {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: disk, LockWait: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	for query := (eventlog.Query{}); ; {
		page, err := log.Read(t.Context(), query)
		require.NoError(t, err)
		for i := range page.Entries {
			delete(wabas, page.Entries[i].WABAID)
		}
		if query.After = page.Scanned.Sequence; !page.More {
			break
		}
	}
	require.Empty(t, wabas, "answered 200 and lost")
}
