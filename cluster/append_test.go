package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
)

// appendAtOnce has many callers append two records each, and returns what they are
// answered.
func appendAtOnce(t *testing.T, callers int, log *natslog.Log) [][]eventlog.Appended {
	t.Helper()
	answers, errs := make([][]eventlog.Appended, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			answers[i], errs[i] = log.Append(t.Context(), []eventlog.Record{record(2 * i), record(2*i + 1)})
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return answers
}

// Appends that wait share a message, and each is answered for its own records, which
// stand side by side.
func TestAppendsThatWaitShareAMessage(t *testing.T) {
	t.Parallel()
	const callers = 500
	url := oneServer(t)
	log := openAll(t, on("S", 1, t.TempDir(), url))[0]
	answers := appendAtOnce(t, callers, log)
	info, err := streamOf(t, url, "S").Info(t.Context())
	require.NoError(t, err)
	require.Less(t, info.State.Msgs, uint64(callers/2))
	at := make(map[eventlog.Position]eventlog.ID)
	entries := entriesOf(t, log)
	require.Len(t, entries, 2*callers)
	for _, e := range entries {
		at[e.Position] = e.ID
	}
	for i, a := range answers {
		require.False(t, a[0].Duplicate || a[1].Duplicate)
		require.Equal(t, record(2*i).ID, at[a[0].Position])
		require.Equal(t, record(2*i+1).ID, at[a[1].Position])
		require.Equal(t, a[0].Position.Sequence+1, a[1].Position.Sequence)
	}
	require.Equal(t, entries, entriesOf(t, openAll(t, on("S", 1, t.TempDir(), url))[0]), "another replica makes the same of it")
	for i, a := range appendAtOnce(t, callers, log) {
		require.Equal(t, []eventlog.Appended{{Position: answers[i][0].Position, Duplicate: true}, {Position: answers[i][1].Position, Duplicate: true}}, a)
	}
}

// What the stream would take by itself is not refused because of what it shares a
// message with.
func TestAppendsAreNotRefusedForTheirCompany(t *testing.T) {
	t.Parallel()
	url := oneServer(t)
	log := openAll(t, on("S", 1, t.TempDir(), url))[0]
	js := jetStreamOf(t, url)
	config := streamOf(t, url, "S").CachedInfo().Config
	config.MaxMsgSize = 700
	_, err := js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	appendAtOnce(t, 100, log)
	require.Len(t, entriesOf(t, log), 200)
	large := record(1000)
	large.Payload = []byte(strings.Repeat("x", 1000))
	_, err = log.Append(t.Context(), []eventlog.Record{large})
	require.ErrorIs(t, err, eventlog.ErrTooLarge)
}

// A caller that leaves may use its bytes again, and others that share its message are
// answered.
func TestCallersThatLeave(t *testing.T) {
	t.Parallel()
	const callers = 300
	log := openAll(t, on("S", 1, t.TempDir(), oneServer(t)))[0]
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				go cancel()
			}
			r := record(i)
			_, errs[i] = log.Append(ctx, []eventlog.Record{r})
			clear(r.Payload)
		})
	}
	all.Wait()
	held := make(map[eventlog.ID]bool)
	for _, e := range entriesOf(t, log) {
		require.NotContains(t, string(e.Payload), "\x00")
		held[e.ID] = true
	}
	for i, err := range errs {
		if i%2 == 0 && err != nil {
			require.ErrorIs(t, err, context.Canceled)
			continue
		}
		require.NoError(t, err)
		require.True(t, held[record(i).ID])
	}
}

// Who asks where the log ends at the same time shares a message, and those who come behind
// it wait for each other: readers do not fill the stream.
func TestBarriersShareMessages(t *testing.T) {
	t.Parallel()
	const askers, times = 50, 10
	url := oneServer(t)
	log := openAll(t, on("S", 1, t.TempDir(), url))[0]
	before, err := streamOf(t, url, "S").Info(t.Context())
	require.NoError(t, err)
	var all sync.WaitGroup
	errs := make([]error, askers)
	for i := range askers {
		all.Go(func() {
			for range times {
				if _, err := log.Bounds(t.Context()); err != nil {
					errs[i] = err
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	after, err := streamOf(t, url, "S").Info(t.Context())
	require.NoError(t, err)
	require.Less(t, after.State.Msgs-before.State.Msgs, uint64(askers*times/5))
}
