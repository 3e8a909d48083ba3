// Package guard stands between the listeners and what they serve: it finds out who
// calls, and lets through what a rule allows.
//
// It guarantees that a call without a rule reaches nobody; that whoever is let
// through has a session, also where the call came over HTTP and was passed on
// through memory, and that no client can pass for such a call; that what a caller
// has under way ends soon after its credential does; and that a server which asks
// nobody who they are answers its own machine only, and no page in a browser there
// but its own.
//
// It knows neither credentials, which the policy judges, nor what an event is: what
// of the log a reader sees is decided by the stream, by its session.
package guard

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
)

// Policy says who a caller is. *access.Policy is one.
type Policy interface {
	Authenticate(ctx context.Context, credentials access.Credentials) (*access.Session, error)
}

// Config is what a Guard is made of.
type Config struct {
	// Policy judges credentials; required.
	Policy Policy
	// OwnMachineOnly refuses calls that name another host or came through a proxy:
	// for servers that ask nobody who they are.
	OwnMachineOnly bool
	// Draining ends when the server is about to stop: streams of services that know
	// of no end, such as reflection, end then. Required.
	Draining context.Context //nolint:containedctx // not a call's
	// Admitted is told of each call that a caller's credential lets in, by its
	// context: of gRPC with the peer, of HTTP with what the server's ConnContext
	// added. It must not block. Nil for nobody.
	Admitted func(ctx context.Context)
}

// Guard lets calls through. It is safe for concurrent use.
type Guard struct {
	policy         Policy
	ownMachineOnly bool
	draining       context.Context //nolint:containedctx // not a call's
	admitted       func(ctx context.Context)
	methods        map[string]Rule
	relayed        relayed
}

// New makes a guard.
func New(config Config) *Guard {
	if config.Admitted == nil {
		config.Admitted = func(context.Context) {}
	}
	return &Guard{
		policy: config.Policy, ownMachineOnly: config.OwnMachineOnly,
		draining: config.Draining, admitted: config.Admitted, methods: Methods(),
	}
}

// admit finds out who calls, and whether the rule lets it.
func (g *Guard) admit(ctx context.Context, rule Rule, credentials access.Credentials) (*access.Session, error) {
	if rule == Anybody {
		return access.NewSession(access.Caller{}), nil // who may see nothing
	}
	if rule == Nobody {
		return nil, noRule()
	}
	session, err := g.policy.Authenticate(ctx, credentials)
	if err != nil {
		return nil, unauthenticated(err)
	}
	if err := rule.allow(session); err != nil {
		return session, err
	}
	g.admitted(ctx)
	return session, nil
}

// endOf is why a call is over although its client has not left; nil if it is not.
func endOf(ctx context.Context) error {
	if end, ok := errors.AsType[ended](context.Cause(ctx)); ok {
		return end.status
	}
	return nil
}

// ended is the cause that a call's context ends with.
type ended struct {
	status error
}

// Error implements error.
func (e ended) Error() string { return e.status.Error() }

// while returns a context that ends with the session, or when the server drains.
// stop frees it.
func (g *Guard) while(ctx context.Context, session *access.Session) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	look := func() {
		if err := session.Err(); err != nil {
			cancel(ended{unauthenticated(err)})
		}
	}
	forget := session.OnChange(look)
	look() // what changed before is not told
	undrain := context.AfterFunc(g.draining, func() { cancel(ended{draining()}) })
	return ctx, func() {
		undrain()
		forget()
		cancel(nil)
	}
}

// unauthenticated answers whoever is not let in.
func unauthenticated(err error) error {
	switch {
	case errors.Is(err, access.ErrMissing):
		return apierror.New(codes.Unauthenticated, "CREDENTIALS_MISSING", err.Error())
	case errors.Is(err, access.ErrExpired):
		return apierror.New(codes.Unauthenticated, "CREDENTIALS_EXPIRED", err.Error())
	case errors.Is(err, access.ErrInvalid):
		return apierror.New(codes.Unauthenticated, "CREDENTIALS_INVALID", err.Error())
	case errors.Is(err, access.ErrUnavailable):
		return apierror.New(codes.Unavailable, "CREDENTIALS_NOT_VERIFIABLE", err.Error()+"; call again")
	default: // a mistake of the policy's, and no text for callers
		return apierror.New(codes.Unavailable, "CREDENTIALS_NOT_VERIFIABLE", "credentials cannot be verified now; call again")
	}
}
