package main

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Who loses records must not win.
func TestContendersKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	const events = 2000
	counts := countByAccount(events, accounts)
	load := newWorkload(accounts)
	for _, c := range []contender{wabastream(), replica(), jetStreamServer(jetStreamLazy, lazySync), jetStreamServer(jetStreamAtomic, syncBatches)} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			e, err := c.open(t.Context(), dir)
			require.NoError(t, err)
			require.NoError(t, fillEngine(t.Context(), e, load, events))
			require.NoError(t, e.Close())
			e, err = c.open(t.Context(), dir)
			require.NoError(t, err)
			for n := range uint64(5) {
				found, err := asReplayer(e).replay(t.Context(), account(accountOf(n, accounts)))
				require.NoError(t, err)
				require.Equal(t, counts[accountOf(n, accounts)], found)
			}
			require.NoError(t, e.Close())
		})
	}
}

func TestStoresTakeConcurrentAppends(t *testing.T) {
	t.Parallel()
	load := newWorkload(accounts)
	for _, c := range []contender{segment(), bolt(boltBare, false), bolt(boltIndexed, true), jetStreamServer(jetStreamSync, syncEach)} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, err := c.open(t.Context(), t.TempDir())
			require.NoError(t, err)
			var all sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				all.Go(func() { _, errs[i] = e.Append(context.Background(), []eventlog.Record{load.next(), load.next()}) })
			}
			all.Wait()
			require.Equal(t, make([]error, len(errs)), errs)
			require.NoError(t, e.Close())
		})
	}
}

// The front takes the requests as signed, and none for a duplicate of another.
func TestCallbacksAreAcceptedAndDistinct(t *testing.T) {
	t.Parallel()
	ids := make(map[eventlog.ID]bool)
	log := appenderFunc(func(records []eventlog.Record) {
		for _, r := range records {
			ids[r.ID] = true
			require.True(t, strings.HasPrefix(r.Type, "account_update.disabled_update"), r.Type)
			require.NotEmpty(t, r.WABAID)
			require.NotEmpty(t, r.BusinessPhone)
		}
	})
	const n = 100
	require.NoError(t, serveFront(log, func(h http.Handler) error {
		for i := range uint64(n) {
			text := appendRequest(nil, appendBody(nil, i))
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
			require.NoError(t, err)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
		}
		return nil
	}))
	require.Len(t, ids, n)
}

type appenderFunc func([]eventlog.Record)

func (f appenderFunc) Append(_ context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	f(records)
	return stored(records, nil)
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	read := func(text string) (int, error) { return readAnswer(bufio.NewReader(strings.NewReader(text))) }
	for text, want := range map[string]int{
		"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok":                http.StatusOK,
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n": http.StatusServiceUnavailable,
	} {
		status, err := read(text)
		require.NoError(t, err)
		require.Equal(t, want, status)
	}
	for _, text := range []string{
		"HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"",
	} {
		_, err := read(text)
		require.Error(t, err, text)
	}
}

func TestRecordsDiffer(t *testing.T) {
	t.Parallel()
	load := newWorkload(accounts)
	ids := make(map[eventlog.ID]bool)
	for range 10_000 {
		ids[load.next().ID] = true
	}
	require.Len(t, ids, 10_000)
}
