package webhook

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger begins a callback that counts how often it is interrupted.
func stranger(t *testing.T, in *intake) (r *reception, interrupted *int) {
	t.Helper()
	interrupted = new(int)
	r, ok := in.begin(func() { *interrupted++ })
	require.True(t, ok)
	return r, interrupted
}

func TestStrangersMakeRoomOldestFirst(t *testing.T) {
	t.Parallel()
	in := newIntake(3 * receivingOverhead)
	first, firstCut := stranger(t, in)
	second, secondCut := stranger(t, in)
	third, thirdCut := stranger(t, in)
	require.Zero(t, *firstCut)
	_, fourthCut := stranger(t, in)
	require.Equal(t, 1, *firstCut)
	require.True(t, first.wasLost())
	require.False(t, first.grow(1), "what is lost gets no more")
	require.False(t, first.authentic(), "and comes too late")
	require.True(t, third.grow(1))
	require.Equal(t, []int{1, 1, 0, 0}, []int{*firstCut, *secondCut, *thirdCut, *fourthCut})
	first.end()
	second.end()
	require.Equal(t, int64(receivingOverhead-1), in.free)
}

func TestAuthenticCallbacksNeverMakeRoom(t *testing.T) {
	t.Parallel()
	in := newIntake(2 * receivingOverhead)
	first, firstCut := stranger(t, in)
	require.True(t, first.authentic())
	_, secondCut := stranger(t, in)
	third, thirdCut := stranger(t, in)
	require.Equal(t, []int{0, 1}, []int{*firstCut, *secondCut})
	require.True(t, third.authentic())
	_, ok := in.begin(func() {})
	require.False(t, ok, "nobody is left to make room")
	require.Zero(t, *thirdCut)
	first.end()
	first.end()
	fourth, _ := stranger(t, in)
	fourth.end()
	third.end()
	require.Equal(t, int64(2*receivingOverhead), in.free)
}

// Whoever needs the most room does not get it from those who came after.
func TestOldestStrangerGetsNoMore(t *testing.T) {
	t.Parallel()
	in := newIntake(2 * receivingOverhead)
	first, _ := stranger(t, in)
	_, secondCut := stranger(t, in)
	require.False(t, first.grow(1))
	require.Zero(t, *secondCut)
	first.end()
	require.Equal(t, int64(receivingOverhead), in.free)
}

func TestIntakeIsWholeAfterConcurrentUse(t *testing.T) {
	t.Parallel()
	in := newIntake(8 * receivingOverhead)
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for range 200 {
				r, ok := in.begin(func() {})
				if !ok {
					continue
				}
				if r.grow(receivingOverhead) && i%2 == 0 {
					r.authentic()
				}
				r.end()
			}
		})
	}
	group.Wait()
	require.Equal(t, int64(8*receivingOverhead), in.free)
	require.Zero(t, in.strangers.Len())
}

// A sender that stops half-way loses its place to one that does not, and is told.
func TestSlowBodyMakesRoomForAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	f.receiving = newIntake(2*receivingOverhead - 1) // one callback at a time
	conn := dial(t, f)
	signed := newSignedPost(testBody).Header
	var head strings.Builder
	require.NoError(t, signed.Write(&head))
	_, err := io.WriteString(conn, "POST /webhooks/nxcloud HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"+head.String()+"\r\n{")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		f.receiving.mu.Lock()
		defer f.receiving.mu.Unlock()
		return f.receiving.strangers.Len() == 1
	}, 10*time.Second, time.Millisecond)
	requireSuccess(t, f.do(newSignedPost(testBody)))
	answer := readAnswer(t, conn)
	requireRefused(t, answer, http.StatusServiceUnavailable, "OVERLOADED")
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	require.Equal(t, int64(2*receivingOverhead-1), f.receiving.free)
}

// A body without end takes no more than there is room for.
func TestLargeBodyIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	f.receiving = newIntake(receivingOverhead + 3*usualBodyBytes)
	body := &countingReader{}
	r := newPost("")
	r.Body, r.ContentLength = io.NopCloser(body), -1
	requireRefused(t, f.do(r), http.StatusServiceUnavailable, "OVERLOADED")
	require.LessOrEqual(t, body.read, 3*usualBodyBytes)
	require.Equal(t, 1, f.callbacks(t, outcomeUnavailable))
}

// countingReader never ends.
type countingReader struct{ read int }

func (r *countingReader) Read(p []byte) (int, error) {
	r.read += len(p)
	return len(p), nil
}

// Of a callback without a signature nothing is read.
func TestUnsignedBodyIsNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	body := &countingReader{}
	r := newPost("")
	r.Body, r.ContentLength = io.NopCloser(body), -1
	requireRefused(t, f.do(r), http.StatusUnauthorized, "SIGNATURE_MISSING")
	require.Zero(t, body.read)
}
