package stream

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// faultyLog cannot be read as long as fault is set.
type faultyLog struct {
	countingLog
	fault error
}

func (l *faultyLog) Read(context.Context, eventlog.Query) (eventlog.Page, error) {
	if l.fault != nil {
		return eventlog.Page{}, l.fault
	}
	return eventlog.Page{Entries: []eventlog.Entry{{Position: at(l.head)}}, Scanned: at(l.head)}, nil
}

// TestFeedOutlivesAnError: whoever waits when the log cannot be read is told, and the
// feed is there again for those who come once it can.
func TestFeedOutlivesAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &faultyLog{countingLog: countingLog{head: 5}, fault: errors.New("too many open files")}
		f := newFeed(log, slog.New(slog.DiscardHandler), 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		go f.run(ctx)
		before := f.join(nil, false, at(2))
		synctest.Wait()
		<-before.outage.begun
		require.ErrorIs(t, before.outage.err, log.fault)
		require.Equal(t, codes.Unavailable, status.Code(new(Service).outageError(before.outage.err)), "clients come again")

		log.fault = nil
		after := f.join(nil, false, at(2))
		require.True(t, f.arm(after, 2))
		<-after.wake
		require.Equal(t, at(2), f.disarm(after))
		head, _ := f.follow()
		require.Equal(t, at(5), head)

		cancel()
		<-f.done
		require.ErrorIs(t, after.outage.err, context.Canceled)
		<-f.join(nil, false, at(5)).outage.begun // nobody waits for a feed that has ended
	})
}

// TestFeedEndsInAnOutage: a log that cannot be read does not keep the feed from ending.
func TestFeedEndsInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &faultyLog{countingLog: countingLog{head: 5}, fault: errors.New("too many open files")}
		f := newFeed(log, slog.New(slog.DiscardHandler), 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		go f.run(ctx)
		f.join(nil, false, at(2))
		synctest.Wait()
		cancel()
		<-f.done
		require.ErrorIs(t, f.join(nil, false, at(2)).outage.err, context.Canceled)
	})
}
