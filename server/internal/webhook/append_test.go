package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestAppendErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err     error
		status  int
		outcome outcome
	}{
		"full":      {eventlog.ErrFull, http.StatusServiceUnavailable, outcomeUnavailable},
		"closed":    {eventlog.ErrClosed, http.StatusServiceUnavailable, outcomeUnavailable},
		"failed":    {eventlog.ErrFailed, http.StatusServiceUnavailable, outcomeUnavailable},
		"deadline":  {context.DeadlineExceeded, http.StatusServiceUnavailable, outcomeUnavailable},
		"cancelled": {context.Canceled, http.StatusServiceUnavailable, outcomeUnavailable},
		"too large": {eventlog.ErrTooLarge, http.StatusInternalServerError, outcomeError},
		"other":     {errors.New("disk on fire"), http.StatusInternalServerError, outcomeError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			f.log.before = func(context.Context) error { return fmt.Errorf("write: %w", tt.err) }
			w := f.post(testBody)
			if tt.status == http.StatusServiceUnavailable {
				requireRefused(t, w, tt.status, "LOG_UNAVAILABLE")
				require.Equal(t, "30", w.Header().Get("Retry-After"))
			} else {
				requireRefused(t, w, tt.status, "INTERNAL")
			}
			require.Equal(t, 1, f.callbacks(t, tt.outcome))
			require.Zero(t, f.Sources()[0].LastCallback)
			require.Contains(t, f.lines.String(), "append callback: write: "+tt.err.Error())
			require.NotContains(t, w.Body.String(), tt.err.Error())
		})
	}
}

type appenderFunc func(context.Context, []eventlog.Record) ([]eventlog.Appended, error)

func (f appenderFunc) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	return f(ctx, records)
}

// 200 means that the log answered for every record.
func TestMissingAnswersAreNoSuccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	f.Handler.log = appenderFunc(func(context.Context, []eventlog.Record) ([]eventlog.Appended, error) { return nil, nil })
	requireRefused(t, f.post(testBody), http.StatusInternalServerError, "INTERNAL")
}

// No event of an authentic callback would be a silent loss.
func TestNoEventsAreNoSuccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, unsignedSource())
	f.give()
	requireRefused(t, f.post(testBody), http.StatusInternalServerError, "INTERNAL")
}

func TestAppendTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, unsignedSource())
		f.log.before = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		start := time.Now()
		requireRefused(t, f.post(testBody), http.StatusServiceUnavailable, "LOG_UNAVAILABLE")
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestNoAnswerBeforeAppend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, unsignedSource())
		release := make(chan struct{})
		f.log.before = func(context.Context) error {
			<-release
			return nil
		}
		w := &watchedWriter{ResponseWriter: httptest.NewRecorder(), touched: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.ServeHTTP(w, newPost(testBody))
		}()
		synctest.Wait() // the handler waits for the log, or is done
		select {
		case <-w.touched:
			t.Error("the answer left before the log had the callback")
		case <-done:
			t.Error("the handler returned before the log had the callback")
		default:
		}
		close(release)
		<-done
		<-w.touched
		require.Len(t, f.log.stored(), 1)
	})
}

// watchedWriter tells when the first byte of an answer is written.
type watchedWriter struct {
	http.ResponseWriter
	once    sync.Once
	touched chan struct{}
}

func (w *watchedWriter) WriteHeader(status int) {
	w.once.Do(func() { close(w.touched) })
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.touched) })
	return w.ResponseWriter.Write(p)
}
