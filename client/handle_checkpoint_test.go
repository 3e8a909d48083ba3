package client_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// memory is a checkpoint that outlives nothing.
type memory struct {
	loadErr error

	mu      sync.Mutex
	cursor  string
	saves   []string
	times   []time.Time // of all attempts
	saveErr error
}

func (m *memory) Load(context.Context) (string, error) { return m.cursor, m.loadErr }

func (m *memory) Save(ctx context.Context, cursor string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.times = append(m.times, time.Now())
	if m.saveErr != nil {
		return m.saveErr
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.cursor = cursor
	m.saves = append(m.saves, cursor)
	return nil
}

func (m *memory) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursor
}

func (m *memory) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saveErr = err
}

func textLogger() (*slog.Logger, *strings.Builder) {
	text := new(strings.Builder)
	return slog.New(slog.NewTextHandler(text, nil)), text
}

func fromEarliest() *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:  &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}
}

func TestCheckpointWaitsForTheOldestEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, live(ready("c0"), apart(1, 2, 3), progress("c5"), apart(6), progress("c9")))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		release := make(map[uint64]chan struct{})
		for _, sequence := range []uint64{1, 2, 3, 6} {
			release[sequence] = make(chan struct{})
		}
		store := &memory{}
		var handling sync.WaitGroup
		handling.Go(func() {
			err := c.Handle(ctx, nil, func(_ context.Context, event *wabastreamv1.Event) error {
				<-release[event.GetSequence()]
				return nil
			}, client.WithConcurrency(8), client.WithCheckpoint(store))
			assert.Equal(t, context.Canceled, err)
		})
		for _, step := range []struct {
			done uint64
			want string
		}{{3, "c0"}, {1, "c1"}, {2, "c5"}, {6, "c9"}} {
			close(release[step.done])
			<-time.After(1500 * time.Millisecond)
			require.Equal(t, step.want, store.last(), "after %d", step.done)
		}
		cancel()
		handling.Wait()
		require.Equal(t, []string{"c0", "c1", "c5", "c9"}, store.saves)
	})
}

// Who starts at the head and crashes at once must not start at the head of later.
func TestCheckpointKnowsTheBeginningBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	for name, saveErr := range map[string]error{"saved": nil, "not saved": errors.New("disk is gone")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := serve(t, live(ready("c0"), batch(1)))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				store := &memory{saveErr: saveErr}
				var before string
				err := c.Handle(ctx, nil, func(context.Context, *wabastreamv1.Event) error {
					before = store.last()
					store.failWith(nil)
					cancel()
					return nil
				}, client.WithCheckpoint(store))
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, map[bool]string{true: "c0", false: ""}[saveErr == nil], before)
				require.Equal(t, "c1", store.last())
			})
		})
	}
}

func TestCheckpointBeatsTheStartOfTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t, play(nil, ready("c0"), batch(1, 2)), play(nil, ready("c2"), batch(3)))
		store := &memory{}
		var book ledger
		for range 2 {
			require.NoError(t, c.Handle(t.Context(), fromEarliest(), book.around(takes(0)), client.WithCheckpoint(store)))
		}
		require.Equal(t, []uint64{1, 2, 3}, book.done)
		calls := f.seen()
		require.Equal(t, wabastreamv1.StartPosition_START_POSITION_EARLIEST, calls[0].request.GetPosition())
		require.Equal(t, "c2", calls[1].request.GetAfterCursor())
		require.True(t, calls[1].request.GetStopAtHead())
		require.Equal(t, "c3", store.cursor)
	})
}

func TestCheckpointIsSavedEveryIntervalIfItMoved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options  []client.HandleOption
		interval time.Duration
	}{
		"by default": {nil, time.Second},
		"as asked":   {[]client.HandleOption{client.WithSaveInterval(7 * time.Second)}, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, c := serve(t, live(ready("c0"), batch(1, 2, 3)))
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				store := &memory{}
				err := c.Handle(ctx, nil, func(_ context.Context, event *wabastreamv1.Event) error {
					if event.GetSequence() == 3 {
						<-time.After(20*tt.interval + tt.interval/2)
					}
					return nil
				}, append(tt.options, client.WithCheckpoint(store))...)
				require.Equal(t, context.DeadlineExceeded, err)
				require.Equal(t, []string{"c0", "c2", "c3"}, store.saves)
				require.Zero(t, store.times[0].Sub(began))
				require.Equal(t, tt.interval, store.times[1].Sub(began))
				require.Equal(t, 21*tt.interval, store.times[2].Sub(began))
			})
		})
	}
}

// deadlines records the contexts that Save gets.
type deadlines struct {
	memory

	left []time.Duration
}

func (d *deadlines) Save(ctx context.Context, cursor string) error {
	until, _ := ctx.Deadline()
	d.left = append(d.left, time.Until(until))
	return d.memory.Save(ctx, cursor)
}

func TestCheckpointIsSavedWhenTheContextHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, live(ready("c0"), batch(1)))
		ctx, cancel := context.WithCancel(t.Context())
		store := &deadlines{}
		err := c.Handle(ctx, nil, func(context.Context, *wabastreamv1.Event) error {
			cancel()
			return nil
		}, client.WithCheckpoint(store))
		require.Equal(t, context.Canceled, err)
		require.Equal(t, []string{"c0", "c1"}, store.saves)
		require.Equal(t, []time.Duration{10 * time.Second, 10 * time.Second}, store.left, "a save is bounded")
	})
}

func TestCheckpointThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := serve(t)
		lost := errors.New("database is down")
		err := c.Handle(t.Context(), nil, func(context.Context, *wabastreamv1.Event) error { return nil },
			client.WithCheckpoint(&memory{loadErr: lost}))
		require.ErrorIs(t, err, lost)
		require.ErrorContains(t, err, "load checkpoint: ")
		require.Empty(t, f.seen(), "to begin anyway would be to begin anywhere")
	})
}

func TestFailedSavesAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{scripts: []script{live(ready("c0"), batch(1))}}
		logger, text := textLogger()
		c := connect(t, f, client.WithLogger(logger))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		store := &memory{saveErr: errors.New("disk is full")}
		time.AfterFunc(30*time.Second, func() { store.failWith(nil) })
		err := c.Handle(ctx, nil, func(context.Context, *wabastreamv1.Event) error { return nil }, client.WithCheckpoint(store))
		require.Equal(t, context.DeadlineExceeded, err)
		require.Equal(t, []string{"c1"}, store.saves)
		require.Greater(t, len(store.times), 3)
		require.Less(t, len(store.times), 30, "it backs off")
		require.Equal(t, len(store.times)-1, strings.Count(text.String(), "checkpoint not saved; trying again"))
		require.Contains(t, text.String(), "disk is full")
	})
}

// Each time that saving works again, its patience begins anew.
func TestSavesThatFailNowAndThenDoNotEndHandle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, live(ready("c0"), apart(1), apart(2), apart(3), apart(4)))
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute+30*time.Second)
		defer cancel()
		store := &memory{}
		err := c.Handle(ctx, nil, func(_ context.Context, event *wabastreamv1.Event) error {
			store.failWith(errors.New("disk is full"))
			<-time.After(40 * time.Second)
			store.failWith(nil)
			<-time.After(20 * time.Second)
			return nil
		}, client.WithCheckpoint(store))
		require.Equal(t, context.DeadlineExceeded, err)
		require.Equal(t, []string{"c0", "c1", "c2", "c3", "c4"}, store.saves)
		require.Greater(t, len(store.times), 2*len(store.saves))
	})
}

func TestHandleGivesUpWhenSavesKeepFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := serve(t, live(ready("c0"), batch(1)))
		full := errors.New("disk is full")
		store := &memory{saveErr: full}
		began := time.Now()
		err := c.Handle(t.Context(), nil, func(context.Context, *wabastreamv1.Event) error { return nil }, client.WithCheckpoint(store))
		require.ErrorIs(t, err, full)
		require.ErrorContains(t, err, "gave up after 1m")
		require.ErrorContains(t, err, "save checkpoint: disk is full")
		require.GreaterOrEqual(t, time.Since(began), time.Minute)
		require.Less(t, time.Since(began), 75*time.Second)
	})
}

func TestLastSaveThatFailsIsReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk is full")
		for _, end := range []error{nil, refusal(codes.PermissionDenied, "WABA_NOT_ALLOWED")} {
			_, c := serve(t, play(end, ready("c0"), batch(1)))
			err := c.Handle(t.Context(), untilHead(), func(context.Context, *wabastreamv1.Event) error { return nil },
				client.WithCheckpoint(&memory{saveErr: full}))
			require.ErrorIs(t, err, full)
			if end != nil {
				require.ErrorIs(t, err, &client.Error{Reason: "WABA_NOT_ALLOWED"})
			}
		}
	})
}

func TestCheckpointThatTheServerRefuses(t *testing.T) {
	t.Parallel()
	for reason, advice := range map[string]string{
		client.ReasonCursorExpired:     "WithGapHandler",
		client.ReasonCursorLogMismatch: "remove the checkpoint",
		client.ReasonCursorAheadOfLog:  "remove the checkpoint",
		client.ReasonCursorMalformed:   "remove the checkpoint",
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				refused := play(refusal(codes.OutOfRange, reason))
				f, c := serve(t, refused, refused)
				store := &memory{cursor: "c3"}
				nothing := func(context.Context, *wabastreamv1.Event) error { return nil }
				err := c.Handle(t.Context(), nil, nothing, client.WithCheckpoint(store))
				require.ErrorIs(t, err, &client.Error{Reason: reason})
				require.ErrorContains(t, err, "resume after the checkpoint")
				require.ErrorContains(t, err, advice)
				require.Empty(t, store.saves)
				require.Len(t, f.seen(), 1, "it is not tried again")

				err = c.Handle(t.Context(), nil, nothing)
				require.ErrorIs(t, err, &client.Error{Reason: reason})
				require.NotContains(t, err.Error(), "checkpoint", "there is none")
			})
		})
	}
}
