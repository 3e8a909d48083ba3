package webhook

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRate(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.Rate, s.Burst = 2, 3
	f := newFixture(t, s)
	now := testTime()
	f.now = func() time.Time { return now }
	for range 3 {
		requireSuccess(t, f.do(newSignedPost(testBody)))
	}
	body := &countingReader{}
	r := newSignedPost(testBody)
	r.Body, r.ContentLength = io.NopCloser(body), -1
	w := f.do(r)
	requireRefused(t, w, http.StatusTooManyRequests, "RATE_LIMITED")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "2 callbacks a second")
	require.Contains(t, w.Body.String(), "source_rate")
	require.Zero(t, body.read)
	require.Equal(t, 1, f.callbacks(t, outcomeRateLimited))

	now = now.Add(500 * time.Millisecond)
	requireSuccess(t, f.do(newSignedPost(testBody)))
	requireRefused(t, f.do(newSignedPost(testBody)), http.StatusTooManyRequests, "RATE_LIMITED")
}

// Nobody but the source uses up what it may post.
func TestStrangersDoNotUseUpTheRate(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.Rate, s.Burst = 1, 2
	f := newFixture(t, s)
	unsigned, malformed, forged := newPost(testBody), newSignedPost(testBody), newSignedPost(testBody)
	malformed.Header.Set("ts", "x")
	forged.Header.Set("sign", "00")
	for range 10 {
		for _, r := range []*http.Request{unsigned, malformed, forged} {
			require.Equal(t, http.StatusUnauthorized, f.do(r).Code)
		}
	}
	for range 2 {
		requireSuccess(t, f.do(newSignedPost(testBody)))
	}
	requireRefused(t, f.do(newSignedPost(testBody)), http.StatusTooManyRequests, "RATE_LIMITED")
}

// Callbacks that arrive together are counted when they have been read, not only
// before.
func TestRateCountsWhatCameTogether(t *testing.T) {
	t.Parallel()
	a := newAllowance(1, 1)
	require.Nil(t, a.check(testTime()))
	require.Nil(t, a.check(testTime()))
	require.Nil(t, a.spend(testTime()))
	require.Equal(t, outcomeRateLimited, a.spend(testTime()).outcome)
}

func TestRateDefaults(t *testing.T) {
	t.Parallel()
	require.Nil(t, newAllowance(0, 0).limiter)
	require.Equal(t, 50, newAllowance(5, 0).limiter.Burst())
	for _, s := range []Source{{Rate: -1}, {Rate: 1, Burst: -1}, {Burst: 1}} {
		require.NotEmpty(t, s.boundProblems())
	}
	require.Empty(t, Source{Rate: 1, Burst: 1}.boundProblems())
}
