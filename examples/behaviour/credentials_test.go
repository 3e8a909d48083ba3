//go:build examples

package behaviour_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/credentials"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// granted selects what the crew's tokens allow.
func granted() *wabastreamv1.EventFilter {
	return &wabastreamv1.EventFilter{WabaIds: []string{"waba1", "waba2"}}
}

// Over TLS, who has no token that is known is refused, and who has one receives what
// it allows and is refused what it does not.
func TestCredentials(t *testing.T) {
	t.Parallel()
	a := newAccess(t)
	s := newServer(t, a.serverArgs()...)
	s.dial = a.auditor()
	c := newCrew(t, s, "--ca-file", a.certFile)
	c.requireRefused(exitCredentials, "CREDENTIALS_MISSING")
	c = c.able()
	c.requireRefused(exitCredentials, "CREDENTIALS_INVALID", "--token-file", a.write("wrong", newToken(t).Token))

	known := newToken(t)
	a.grant(known.entry())
	a.awaitTakenUp(s, known)
	tokenFile := a.write("token", known.Token+"\n")
	c.requireRefused(exitCredentials, "WABA_NOT_ALLOWED", "--token-file", tokenFile, "--waba-id", "waba3")
	s.post(20)
	c.start("--token-file", tokenFile)
	s.post(20)
	events := s.held(granted())
	require.Len(t, events, 16)
	c.awaitLines(len(events))
	c.stop()
	c.check(events)
}

// A token that expires while its stream is open is replaced by the one that the file
// has by then; when it is revoked the consumer ends, and goes on where it was once it
// is let in again.
func TestCredentialsEnd(t *testing.T) {
	t.Parallel()
	a := newAccess(t)
	first, second, third := newToken(t), newToken(t), newToken(t)
	a.grant(first.entry())
	s := newServer(t, a.serverArgs()...)
	s.dial = a.auditor()
	c := newCrew(t, s, "--ca-file", a.certFile, "--token-file", a.write("token", first.Token)).able()
	c.start()
	s.post(20)
	c.awaitLines(8)

	a.write("token", second.Token) // who is connected keeps the first
	c.renew()
	a.grant(first.expired(), second.entry())
	c.awaitNote("CREDENTIALS_EXPIRED", 1)
	c.awaitNote("subscribed|resumed", 2)
	s.post(20)
	c.awaitLines(16)

	a.grant(third.entry())
	for _, each := range c {
		require.Equal(t, exitCredentials, each.end(), "%s said %s", each.name, each.said())
		require.Contains(t, each.said(), "CREDENTIALS_INVALID", each.name)
	}

	a.write("token", third.Token)
	s.post(20)
	c.start()
	c.awaitLines(8)
	c.stop()
	c.check(s.held(granted()))
}

// access is what a server needs to know its callers, in a folder of the test.
type access struct {
	t                 *testing.T
	folder            string
	certFile, keyFile string
	own               token // which may see everything
}

// token is what `wabastreamd token new --json` prints.
type token struct{ Token, Hash string }

// entry is how the token stands in the access file, expired how it does once it has.
func (t token) entry() string { return strconv.Quote(t.Hash) }

func (t token) expired() string {
	return fmt.Sprintf("{hash: %q, expire_time: %s}", t.Hash, time.Now().UTC().Format(time.RFC3339))
}

func newToken(t *testing.T) token {
	t.Helper()
	out, err := exec.Command(filepath.Join(programs, "wabastreamd"), "token", "new", "--json").Output()
	require.NoError(t, err)
	var made token
	require.NoError(t, json.Unmarshal(out, &made))
	return made
}

// newAccess makes a certificate for loopback and an access file in which no consumer
// has a token yet.
func newAccess(t *testing.T) *access {
	t.Helper()
	a := &access{t: t, folder: t.TempDir(), own: newToken(t)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "behaviour"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	a.certFile = a.write("server.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	a.keyFile = a.write("server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	a.grant()
	return a
}

func (a *access) serverArgs() []string {
	return []string{
		"--tls-cert-file=" + a.certFile, "--tls-key-file=" + a.keyFile,
		"--access-file=" + filepath.Join(a.folder, "access.yaml"),
	}
}

// auditor returns how to call the server as somebody who may see everything.
func (a *access) auditor() []client.Option { return a.caller(a.own) }

func (a *access) caller(as token) []client.Option {
	a.t.Helper()
	creds, err := credentials.NewClientTLSFromFile(a.certFile, "")
	require.NoError(a.t, err)
	return []client.Option{client.WithTransportCredentials(creds), client.WithToken(as.Token)}
}

// grant rewrites the access file so that consumers get in with these tokens, each as
// it stands in the file, and no other.
func (a *access) grant(tokens ...string) {
	a.write("access.yaml", fmt.Sprintf(`consumers:
  - {name: auditor, tokens: [%q], waba_ids: ["*"], types: ["*"], unattributed: true, personal_data: full}
  - {name: crew, tokens: [%s], waba_ids: [waba1, waba2], types: ["*"], personal_data: full}
`, a.own.Hash, strings.Join(tokens, ", ")))
}

// awaitTakenUp waits until the server knows the token.
func (a *access) awaitTakenUp(s *server, granted token) {
	a.t.Helper()
	c, err := client.New(s.grpc.end(), a.caller(granted)...)
	require.NoError(a.t, err)
	defer c.Close()
	require.Eventually(a.t, func() bool {
		_, err := c.API().ListEvents(a.t.Context(), &wabastreamv1.ListEventsRequest{PageSize: 1})
		return err == nil
	}, patience, 100*time.Millisecond, "the server does not take up the access file")
}

// write replaces a file of the folder as a whole, and returns its path.
func (a *access) write(name, content string) string {
	a.t.Helper()
	path := filepath.Join(a.folder, name)
	require.NoError(a.t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(a.t, os.Rename(path+".new", path))
	return path
}
