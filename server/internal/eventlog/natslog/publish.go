package natslog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Errors of the servers that the client has no name for.
const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeStoreFailed           = 10077
)

const (
	// minRetry and maxRetry are between how long an append waits before it sends its
	// message again.
	minRetry = 20 * time.Millisecond
	maxRetry = time.Second
	// sendWait, and a second for each sendBytes, is how long a message is waited for: one
	// that a leader had which lost its place is never answered, and holds up its append
	// until it is sent again. Few are under way, so that sending them again costs little,
	// also where the servers are slow: they know it by its id.
	sendWait  = time.Second
	sendBytes = 4 << 20
)

// errOvertaken says that another replica has sent the message that one was to be.
var errOvertaken = errors.New("another replica was first")

// submit sends a message until the stream has acknowledged it and this replica has
// taken it in, and returns what became of it. When it ends early the message may be
// taken in or not.
func (l *Log) submit(ctx context.Context, subject string, e *entry) (verdict, error) {
	return l.submitMessage(ctx, e.message(l.subject(subject)))
}

func (l *Log) submitMessage(ctx context.Context, msg *nats.Msg) (verdict, error) {
	if len(msg.Data) > int(l.conn.MaxPayload()) && l.conn.MaxPayload() > 0 {
		return verdict{}, fmt.Errorf("%w: %d bytes in one message, and the NATS servers take %d", eventlog.ErrTooLarge, len(msg.Data), l.conn.MaxPayload())
	}
	// The id is the append's, not its content's: it makes sending again safe.
	id := nuid.Next()
	msg.Header.Set(nats.MsgIdHdr, id)
	became := make(chan verdict, 1)
	l.mu.Lock()
	l.waiting[id] = became
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiting, id)
	}()
	if _, err := l.send(ctx, l.opts.Stream, msg); err != nil {
		return verdict{}, err
	}
	select {
	case v := <-became:
		return v, nil
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
}

// send sends a message to a stream until it is acknowledged, and returns its number. The
// servers recognise it by its id, also while they are still busy with it, which they say.
func (l *Log) send(ctx context.Context, stream string, msg *nats.Msg) (uint64, error) {
	patience := sendWait + time.Duration(len(msg.Data))*time.Second/sendBytes
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		number, err := l.sendOnce(ctx, stream, msg, patience)
		if ctx.Err() == nil && stream == l.opts.Stream {
			l.hearSaid(err)
		}
		if err == nil {
			return number, nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("append to the stream, which said: %w: %w", err, ctx.Err())
		}
		if final := finalError(err); final != nil {
			return 0, final
		}
		if !pause(ctx, wait) {
			return 0, fmt.Errorf("append to the stream, which said: %w: %w", err, ctx.Err())
		}
	}
}

func (l *Log) sendOnce(ctx context.Context, stream string, msg *nats.Msg, patience time.Duration) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0), jetstream.WithExpectStream(stream))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// hearSaid notes what the stream last said to a message; nil when it took it.
func (l *Log) hearSaid(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = err
}

// finalError is what an append returns for an error that sending again does not mend;
// nil for others.
func finalError(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return nil
	}
	switch {
	case api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err)
	case api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence, api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return fmt.Errorf("%w: %w", errOvertaken, err)
	case api.ErrorCode == codeInsufficientResources, api.ErrorCode == codeStorageExceeded,
		api.ErrorCode == codeStoreFailed && (strings.Contains(api.Description, "maximum") || strings.Contains(api.Description, "space")):
		return fmt.Errorf("%w: the stream takes no more: %w", eventlog.ErrFull, err)
	}
	return nil
}

// stamp is the clock's.
func (l *Log) stamp() int64 { return l.opts.Now().UnixMicro() }
