package client

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

// maxServerDelay bounds how long a server can keep a client away.
const maxServerDelay = 5 * time.Minute

type backoffLimits struct{ min, max time.Duration }

// backoff is exponential with full jitter: clients that lost the same server do
// not come back together.
type backoff struct {
	limits  backoffLimits
	ceiling time.Duration
}

func newBackoff(limits backoffLimits) backoff {
	return backoff{limits: limits, ceiling: limits.min}
}

func (b *backoff) reset() { b.ceiling = b.limits.min }

func (b *backoff) next() time.Duration {
	wait := rand.N(b.ceiling) //nolint:gosec // spreads load; nothing to guess
	if b.ceiling > b.limits.max/2 {
		b.ceiling = b.limits.max
	} else {
		b.ceiling *= 2
	}
	return wait
}

// sleep waits, and returns the error of ctx if it ends before.
func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryable reports whether opening the subscription anew may help. Until a
// first frame arrived, nothing says that address, credentials and request are
// right, so that what is not plainly a lost connection is given to the caller.
func (s *subscription) retryable(e *Error) bool {
	unexplained := e.Reason == "" // no server of ours said it: a proxy or the transport did
	switch e.Code {
	case codes.Unavailable:
		return s.established || e.Reason != ReasonNoTLS
	case codes.DeadlineExceeded:
		return unexplained
	case codes.Internal, codes.Unknown, codes.Canceled, codes.Aborted:
		return s.established && unexplained
	case codes.ResourceExhausted:
		// The server may not have noticed yet that the stream before is lost.
		return s.established && e.Reason == ReasonStreamLimit
	case codes.Unauthenticated:
		// The stream was accepted and outlived its token: a fresh one may do.
		return s.accepted && e.Reason == ReasonCredentialsExpired
	default:
		return false
	}
}

// delayAfter returns how long to wait after a stream that ended with e.
func (s *subscription) delayAfter(e *Error) time.Duration {
	asked := max(e.retryDelay, s.announced, 0)
	return min(asked, maxServerDelay) + s.backoff.next()
}

// pause waits, and returns the reason for not going on, if there is one.
func (c *Client) pause(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return ErrClosed
	}
}
