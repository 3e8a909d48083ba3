package stream

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

// errRegranted ends what is done under a session that has changed.
var errRegranted = errors.New("the session has changed")

// lease is a call's hold on the session of its caller.
type lease struct {
	session   *access.Session
	interrupt atomic.Pointer[context.CancelCauseFunc]
	release   func()
}

// newLease is told of the session's changes until it is released.
func newLease(ctx context.Context) *lease {
	l := &lease{session: access.FromContext(ctx)}
	l.release = l.session.OnChange(func() {
		if interrupt := l.interrupt.Load(); interrupt != nil {
			(*interrupt)(errRegranted)
		}
	})
	return l
}

// caller is who calls, as it stands now, or why it is let in no more.
func (l *lease) caller() (access.Caller, error) { return callerIn(l.session) }

// callerOf is who makes a call that takes no time.
func callerOf(ctx context.Context) (access.Caller, error) { return callerIn(access.FromContext(ctx)) }

func callerIn(session *access.Session) (access.Caller, error) {
	if err := session.Err(); err != nil {
		return access.Caller{}, unauthenticated(err)
	}
	return session.Caller(), nil
}

// while calls do again and again, until it ends for another reason than that the
// session has changed: the context that it is given ends then, and it must return an
// error of that. It asks for the caller anew each time; nothing that changes after
// that is missed.
func (l *lease) while(ctx context.Context, do func(context.Context) error) error {
	for {
		during, cancel := context.WithCancelCause(ctx)
		l.interrupt.Store(&cancel)
		err := do(during)
		regranted := errors.Is(context.Cause(during), errRegranted)
		cancel(nil)
		if !regranted || status.Code(err) != codes.Canceled {
			return err
		}
	}
}

// unauthenticated answers a caller that is not let in, or not any more.
func unauthenticated(err error) error {
	reason, message := reasonCredentialsInvalid, "the credentials are not known, or not any more"
	switch {
	case errors.Is(err, access.ErrMissing):
		reason, message = reasonCredentialsMissing, "the call carries no credentials"
	case errors.Is(err, access.ErrExpired):
		reason, message = reasonCredentialsExpired, "the credentials have expired; call again with new ones"
	}
	return apierror.WithMetadata(codes.Unauthenticated, reason, message, nil)
}
