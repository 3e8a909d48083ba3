package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultInterval = time.Second
	// pseudonymPrefix tells people that what follows names nobody.
	pseudonymPrefix = "pseudonym_"
	// pseudonymBytes are enough that no two people share one: 128 bits.
	pseudonymBytes = 16
)

// Config is what a [Policy] is made of.
type Config struct {
	// File is the access file, YAML; required. It is a regular file or a link to
	// one, and at most 4 MiB.
	File string
	// Interval is the time between two looks at the file. New contents are taken up
	// at the second look that finds them, so that a file that is still being written
	// is not. Zero or less is 1 s: access ends within 5 s, whatever else that takes.
	Interval time.Duration
	// Logger receives what is loaded and what is refused; nil discards it.
	Logger *slog.Logger
	// Registerer receives the metrics of one Policy; nil for none.
	Registerer prometheus.Registerer
	// Now is the clock that credentials are judged by; nil is time.Now.
	Now func() time.Time
	// HTTPClient fetches the keys of JWTs if the file has a URL of them; nil is one as
	// the environment says (HTTPS_PROXY, SSL_CERT_FILE). Redirects are not followed.
	HTTPClient *http.Client
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Credentials are what a call carries. If both are set the bearer counts, and one
// that does not verify is not made up for by the certificate: whoever sends a token
// wants to be who it names.
type Credentials struct {
	// Bearer is what "Authorization: Bearer" is followed by; empty if there is none.
	Bearer string
	// Certificate is the client's, nil if it has none. It must have been verified in
	// the handshake of the call's connection.
	Certificate *x509.Certificate
}

// Policy knows the consumers of a server, and follows the file that names them
// while [Policy.Run] runs. Its methods are safe for concurrent use, but for Run.
type Policy struct {
	config       Config
	everyone     bool
	pseudonymKey []byte // nil if there is none
	keyPlace     keyPlace
	rules        atomic.Pointer[rules]
	// generation counts changes of what credentials are judged by. It is raised
	// after them, so that whoever reads it before them notices.
	generation atomic.Uint64
	tracker    *tracker
	client     *http.Client
	newRules   chan struct{} // holds one token when the file was taken up
	metrics    metrics
	refusals   refusals
	file       followed // belongs to Open, and to Run after it
}

// Everyone is the policy of a server that asks nobody who they are: every call may
// do everything, whatever it carries.
func Everyone() *Policy {
	return &Policy{config: Config{}.withDefaults(), everyone: true, tracker: newTracker()}
}

// Open loads the file. It errs if the file, or one that it names, is missing or
// cannot be used, with every problem and its place, and if the Registerer refuses
// the metrics. A URL of keys is not asked before [Policy.Run]: an issuer that is
// down keeps out its own JWTs and nobody else.
func Open(config Config) (*Policy, error) {
	p := &Policy{
		config:   config.withDefaults(),
		tracker:  newTracker(),
		client:   keysClient(config.HTTPClient),
		newRules: make(chan struct{}, 1),
	}
	if err := p.metrics.register(p.config.Registerer); err != nil {
		return nil, err
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	return p, nil
}

// Run follows the file, and tells sessions of what changes for them, until the
// context ends: within a second when a credential expires, and as soon as the file
// is taken up. Call it once, and wait for it. A file system that hangs holds up
// new contents only.
func (p *Policy) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { p.followSessions(ctx) })
	if !p.everyone {
		loops.Go(func() { p.followFile(ctx) })
		loops.Go(func() { p.followKeys(ctx) })
	}
}

// Authenticate lets a caller in, or returns an error that matches [ErrMissing],
// [ErrInvalid], [ErrExpired] or, while the keys of JWTs cannot be fetched,
// [ErrUnavailable], and whose text is fit for the caller. It waits for nothing but
// such a fetch, for 10 s at most. The session is
// told of what changes for as long as somebody listens to it ([Session.OnChange]);
// it need not be ended.
func (p *Policy) Authenticate(ctx context.Context, c Credentials) (*Session, error) {
	if p.everyone {
		return NewSession(Caller{Grant: Everything()}), nil
	}
	s := &Session{policy: p}
	s.judged.generation = p.generation.Load()
	a := p.admit(ctx, s, c)
	p.metrics.count(a)
	if a.err != nil {
		p.refusals.log(p.config.Logger, a)
		return nil, a.err
	}
	return s, nil
}

// attempt is what came of a call's credentials.
type attempt struct {
	kind credentialKind
	who  string // for the log: a consumer or the names of a certificate; empty if neither is known
	err  error
}

// admit finds out whose the credentials are, and fills in the session.
func (p *Policy) admit(ctx context.Context, s *Session, c Credentials) (a attempt) {
	rules := p.rules.Load()
	switch {
	case c.Bearer != "" && (rules.jwt == nil || isToken(c.Bearer)):
		a.kind = kindToken
		s.credential, a.err = tokenCredentialOf(c.Bearer)
	case c.Bearer != "":
		a.kind = kindJWT
		s.credential, a.err = rules.jwt.verify(ctx, c.Bearer, p.config.Now())
	case c.Certificate != nil:
		certificate := certificateCredentialOf(c.Certificate)
		a.kind, a.who = kindCertificate, certificate.String()
		s.credential = certificate
	default:
		a.kind = kindNone
		a.err = fmt.Errorf("%w: send a token in the header \"authorization: Bearer TOKEN\"", ErrMissing)
	}
	if a.err != nil {
		return a
	}
	owner, expireTime, err := rules.judge(s.credential, p.config.Now())
	if owner != nil {
		a.who = owner.name
	}
	if err != nil {
		a.err = err
		return a
	}
	s.caller = owner.caller(expireTime)
	s.judged.grant = owner.fingerprint
	return a
}

// Pseudonym returns what stands for a text that names a person: "pseudonym_" and 22
// characters that are safe in a URL, the same for the same text and key. It is
// empty if the file names no key: nobody may be granted pseudonyms then.
//
// It is a truncated HMAC-SHA-256, as phone numbers are few enough to be hashed all:
// without the key a pseudonym tells nothing.
func (p *Policy) Pseudonym(text string) string {
	if len(p.pseudonymKey) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, p.pseudonymKey)
	mac.Write([]byte(text))
	return pseudonymPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:pseudonymBytes])
}

// expired reports whether a credential has ended; one without an end has not.
func expired(expireTime, now time.Time) bool {
	return !expireTime.IsZero() && !now.Before(expireTime)
}
