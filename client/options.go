package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Option configures a [Client]. Of an option given twice, the last counts.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

type options struct {
	creds    credentials.TransportCredentials
	insecure bool
	token    TokenSource
	dial     []grpc.DialOption
	logger   *slog.Logger
	retry    backoffLimits
}

func defaultOptions() options {
	return options{
		logger: slog.New(slog.DiscardHandler),
		retry:  backoffLimits{min: 100 * time.Millisecond, max: 30 * time.Second},
	}
}

func (o *options) validate() error {
	if o.insecure && o.creds != nil {
		return errors.New("WithInsecure and WithTransportCredentials exclude each other")
	}
	if o.retry.min <= 0 || o.retry.max < o.retry.min {
		return fmt.Errorf("backoff from %v to %v: want a positive minimum and a maximum not below it", o.retry.min, o.retry.max)
	}
	return nil
}

// transportFor chooses the transport security, and tells whether it is none.
func (o *options) transportFor(target string) (creds credentials.TransportCredentials, plaintext bool) {
	switch {
	case o.creds != nil:
		return o.creds, false
	case o.insecure || isLocal(target):
		return insecure.NewCredentials(), true
	default:
		return credentials.NewTLS(nil), false
	}
}

// isLocal reports whether the target cannot leave this machine.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if scheme != "dns" && scheme != "passthrough" {
			return false
		}
		_, target, _ = strings.Cut(rest, "/") // what precedes the slash is a DNS server
	}
	host := target
	if h, _, err := net.SplitHostPort(target); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// WithTransportCredentials sets the transport security, also for a local target:
// credentials.NewTLS with a private certificate authority or with a client
// certificate, for instance.
func WithTransportCredentials(creds credentials.TransportCredentials) Option {
	return optionFunc(func(o *options) { o.creds = creds })
}

// WithInsecure speaks plaintext to a target that is not local. Events and the
// token can then be read and changed on the way: only for a network that
// protects them by other means, such as a service mesh.
func WithInsecure() Option {
	return optionFunc(func(o *options) { o.insecure = true })
}

// TokenSource returns the bearer token to send with a call. It is called for
// each, from several goroutines at once, so it should keep what it fetched.
//
// Its error ends a subscription as UNAUTHENTICATED, unless it is a gRPC status:
// return status.Error(codes.Unavailable, ...) where trying again may help.
type TokenSource func(ctx context.Context) (string, error)

// WithTokenSource sends a bearer token with every call, for servers that ask for
// one; it may change, such as one that expires. It is sent over TLS, to a local
// target, or under [WithInsecure], and never otherwise.
func WithTokenSource(source TokenSource) Option {
	return optionFunc(func(o *options) { o.token = source })
}

// WithToken sends one bearer token with every call, for servers that ask for one;
// see [WithTokenSource].
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithDialOptions adds options of grpc-go; they win over this package's own. For
// interceptors, telemetry, and dialers of tests.
func WithDialOptions(dial ...grpc.DialOption) Option {
	return optionFunc(func(o *options) { o.dial = append(o.dial, dial...) })
}

// WithLogger says where to log lost and planned ends of streams and the warnings
// of the server. Events, tokens and personal data are never logged. Without it
// nothing is; nil is nothing, too.
func WithLogger(logger *slog.Logger) Option {
	return optionFunc(func(o *options) {
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		o.logger = logger.With("component", "client")
	})
}

// WithBackoff bounds the wait before a subscription is opened anew: at random
// between zero and a limit that begins at minimum, doubles with each attempt in
// vain up to maximum, and begins again once a stream delivered anything after
// its first frame. The default is 100 ms to 30 s. What the server asks for, at
// most five minutes, comes on top.
func WithBackoff(minimum, maximum time.Duration) Option {
	return optionFunc(func(o *options) { o.retry = backoffLimits{min: minimum, max: maximum} })
}

// bearer puts a token on each call.
type bearer struct {
	source    TokenSource
	plaintext bool
}

var _ credentials.PerRPCCredentials = bearer{}

// GetRequestMetadata returns the authorization header.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	token = strings.TrimSpace(token) // files end in a newline
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("bearer token is empty or has characters that no token has")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity makes grpc-go refuse to send the token in plaintext,
// unless this package chose plaintext: it guards against dial options that
// replace the transport.
func (b bearer) RequireTransportSecurity() bool { return !b.plaintext }
