package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPaceIsEvenAndCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPace(start, 20, 1, 2) // two connections: one of them posts every 100 ms, this one 50 ms later
		waited := func() (due, now time.Duration) {
			at, ok := p.wait(t.Context())
			require.True(t, ok)
			return at.Sub(start), time.Since(start)
		}
		for i := range 3 {
			due, now := waited()
			require.Equal(t, time.Duration(50+100*i)*time.Millisecond, due)
			require.Equal(t, due, now)
		}
		<-time.After(230 * time.Millisecond) // the server stalls
		for _, late := range []time.Duration{130 * time.Millisecond, 30 * time.Millisecond} {
			due, now := waited()
			require.Equal(t, late, now-due, "what is late goes at once, and counts from when it was due")
		}
		due, now := waited()
		require.Equal(t, 550*time.Millisecond, due)
		require.Equal(t, due, now)
	})
}

func TestPaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, rate := range []float64{0, 0.001} {
		p := newPace(time.Now(), rate, 1, 2)
		_, ok := p.wait(ctx)
		require.False(t, ok)
	}
}

// Answers other than 200 and connections that are cut are counted, and posting
// goes on.
func TestLoadCountsWhatIsNotAnswered200(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case n == 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n == 3:
			panic(http.ErrAbortHandler)
		case n >= 1000:
			stop()
			fallthrough
		default:
			readAndAnswer(w, r)
		}
	}))
	defer server.Close()
	a := &answers{}
	l := &callbackLoad{addr: server.Listener.Addr().String(), callbacks: &callbacks{}, answers: a}
	require.NoError(t, l.run(ctx))
	p := a.take()
	require.Equal(t, 1, p.refused)
	require.Equal(t, 1, p.lost)
	require.Len(t, p.millis, int(requests.Load())-2)
	require.Equal(t, uint64(len(p.millis)), a.total())
	require.Empty(t, a.take().millis, "taken once")
}

func TestLoadEndsWhenTheServerIsGone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	addr := server.Listener.Addr().String()
	server.Close()
	err := (&callbackLoad{addr: addr, callbacks: &callbacks{}, answers: &answers{}}).run(t.Context())
	require.ErrorContains(t, err, addr)
}

func TestPeriodWithoutAnswersIsSlow(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 5000, period{}.percentile(99, 5*time.Second), 1e-9)
	require.InDelta(t, 2, period{millis: []float64{1, 2}}.percentile(99, 5*time.Second), 1e-9)
}
