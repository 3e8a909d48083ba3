package access

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why callers are not let in, or not any more.
var (
	// ErrMissing says that the call carries no credential.
	ErrMissing = errors.New("no credentials")
	// ErrInvalid says that a credential is none that is known, or none any more.
	ErrInvalid = errors.New("invalid credentials")
	// ErrExpired says that a credential was valid once.
	ErrExpired = errors.New("expired credentials")
	// ErrUnavailable says that what a credential is verified with cannot be had now:
	// the same call may get in later. No session ends with it.
	ErrUnavailable = errors.New("credentials cannot be verified now")
)

// Session is a caller that was let in, as it stands now. It is safe for concurrent
// use, and needs no end.
type Session struct {
	policy     *Policy    // that tells it of changes; nil if none does
	credential credential // that it was let in with

	mu        sync.Mutex // guards the fields below
	caller    Caller
	judged    judgement
	err       error
	listeners map[*func()]struct{}
}

// judgement is what Caller follows from.
type judgement struct {
	generation uint64      // of the policy
	grant      fingerprint // of the consumer
}

// NewSession lets a caller in that no [Policy] knows: nobody but the holder of the
// session changes or ends it.
func NewSession(caller Caller) *Session { return &Session{caller: caller} }

// Caller returns who it is and what it may now. Its slices are not to be changed.
func (s *Session) Caller() Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caller
}

// Err is nil for as long as the caller is let in; then it matches [ErrInvalid] or
// [ErrExpired], for good.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// OnChange has f called, with nothing held, after Caller or Err has changed, until
// stop is called. f must not block; a call of it may still be under way when stop
// returns. Read Caller and Err after OnChange: what changed before is not told.
//
// A [Policy] knows only sessions that somebody listens to, so that one whose call
// has ended is forgotten. The others stay as they were when they were let in.
func (s *Session) OnChange(f func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = make(map[*func()]struct{})
	}
	s.listeners[&f] = struct{}{}
	if s.policy != nil && s.err == nil && len(s.listeners) == 1 {
		s.policy.track(s, s.caller.ExpireTime, s.judged.generation)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, &f)
		if s.policy != nil && len(s.listeners) == 0 {
			s.policy.tracker.remove(s)
		}
	}
}

// follow takes over whose the credential is by rules of a generation.
func (s *Session) follow(owner *consumer, expireTime time.Time, generation uint64) {
	s.mu.Lock()
	same := s.caller.Name == owner.name && s.caller.ExpireTime.Equal(expireTime) && s.judged.grant == owner.fingerprint
	s.judged = judgement{generation, owner.fingerprint}
	s.mu.Unlock()
	if !same {
		s.Update(owner.caller(expireTime))
	}
}

// Update changes what the caller may.
func (s *Session) Update(caller Caller) {
	s.change(func() { s.caller = caller })
}

// End says that the caller is not let in any more. The first end counts.
func (s *Session) End(err error) {
	s.change(func() {
		if s.err == nil {
			s.err = err
		}
	})
}

func (s *Session) change(apply func()) {
	s.mu.Lock()
	apply()
	listeners := make([]func(), 0, len(s.listeners))
	for f := range s.listeners {
		listeners = append(listeners, *f)
	}
	s.mu.Unlock()
	for _, f := range listeners {
		f()
	}
}

// sessionKey is the context key of a call's session.
type sessionKey struct{}

// NewContext returns a context that carries the session of a call.
func NewContext(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, sessionKey{}, s)
}

// FromContext returns the session of a call. A call without one has nobody's, which
// sees nothing: a listener that forgets to ask lets nobody in.
func FromContext(ctx context.Context) *Session {
	if s, ok := ctx.Value(sessionKey{}).(*Session); ok {
		return s
	}
	return &Session{err: ErrMissing}
}
