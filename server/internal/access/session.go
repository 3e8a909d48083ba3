package access

import (
	"context"
	"errors"
	"sync"
)

// Why callers are not let in, or not any more.
var (
	// ErrMissing says that the call carries no credential.
	ErrMissing = errors.New("no credentials")
	// ErrInvalid says that a credential is none that is known, or none any more.
	ErrInvalid = errors.New("invalid credentials")
	// ErrExpired says that a credential was valid once.
	ErrExpired = errors.New("expired credentials")
)

// Session is a caller that was let in, as it stands now. It is safe for concurrent
// use, and needs no end.
type Session struct {
	mu        sync.Mutex // guards the fields below
	caller    Caller
	err       error
	listeners map[*func()]struct{}
}

// NewSession lets a caller in.
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
// returns.
func (s *Session) OnChange(f func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = make(map[*func()]struct{})
	}
	s.listeners[&f] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, &f)
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

// FromContext returns the session of a call. A call without one has nobody's: it sees
// nothing, so that a caller that was not asked who it is is no one's mistake to pay.
func FromContext(ctx context.Context) *Session {
	if s, ok := ctx.Value(sessionKey{}).(*Session); ok {
		return s
	}
	return &Session{err: ErrMissing}
}
