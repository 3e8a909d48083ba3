package guard

import (
	"context"
	"crypto/x509"
	"net/http"
	"strings"

	"github.com/wabastream/wabastream/server/internal/access"
)

// HTTP lets a request through, or says why not. What it returns is to be served in
// place of the request, and carries the caller's session ([access.FromContext]), but
// not its token; done is to be called once that was answered.
func (g *Guard) HTTP(r *http.Request, rule Rule) (_ *http.Request, done func(), err error) {
	if g.ownMachineOnly {
		if err := OwnMachine(r.Host, r.Header, openHint); err != nil {
			return nil, nil, err
		}
	}
	session, err := g.admit(r.Context(), rule, access.Credentials{
		Bearer:      bearer(r.Header["Authorization"]),
		Certificate: certificateOf(r),
	})
	if err != nil {
		return nil, nil, err
	}
	handle := g.relayed.add(relay{session, remoteAddr(r.RemoteAddr)})
	r = r.WithContext(context.WithValue(access.NewContext(r.Context(), session), handleKey{}, handle))
	r.Header = r.Header.Clone()
	r.Header.Del("Authorization")
	return r, func() { g.relayed.remove(handle) }, nil
}

// openHint is what to do about a server that is open to its own machine only.
const openHint = "have callers authenticate, with access_file or tls_client_ca_file, or accept the risk with insecure_listen"

// bearer returns the token of a call; empty if there is none. What is no token, such
// as another scheme, is returned as it is, and is no token of anybody's.
func bearer(values []string) string {
	if len(values) != 1 {
		return strings.Join(values, ",")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return values[0]
	}
	return strings.TrimLeft(token, " ")
}

// certificateOf returns the client's certificate if it was verified, else nil.
func certificateOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}
