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

// notBearer is no token of anybody's.
const notBearer = "not a bearer token"

// bearer returns the token of a call; empty if there is none. Anything else, such as
// another scheme, two of them, or a token without one, is notBearer.
func bearer(values []string) string {
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return notBearer
	}
	return token
}

// certificateOf returns the client's certificate if it was verified, else nil.
func certificateOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}
