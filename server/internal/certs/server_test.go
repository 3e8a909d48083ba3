package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wabastream/wabastream/server/internal/certs"
)

func versions() map[string]uint16 {
	return map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source, err := certs.New(s.config)
	require.NoError(t, err)
	c := s.client(serve(t, source, certs.NoClientCertificates))
	c.config.MinVersion = tls.VersionTLS10
	for _, version := range versions() {
		c.config.MaxVersion = version
		conn, err := c.open(t)
		require.NoError(t, err)
		require.Equal(t, version, conn.conn.ConnectionState().Version)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		c.config.MaxVersion = version
		_, err := c.open(t)
		require.ErrorContains(t, err, "protocol version not supported")
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source, err := certs.New(s.config)
	require.NoError(t, err)
	ours := s.clients.issue(t, "billing", nil).tls(t)
	public := s.server.issue(t, "billing", nil).tls(t) // of an authority, but not one of clients
	late := s.clients.issue(t, "billing", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }).tls(t)
	servers := s.clients.issue(t, "billing", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }).tls(t)
	forged := newAuthority(t, "authority of clients").issue(t, "billing", nil).tls(t)

	const in, anonymous, out = "billing", "", "refused"
	for name, test := range map[string]struct {
		given                    []tls.Certificate
		none, optional, required string
	}{
		"none given":       {nil, anonymous, anonymous, out},
		"ours":             {ours, anonymous, in, in},
		"other authority":  {public, anonymous, out, out},
		"expired":          {late, anonymous, out, out},
		"a server's":       {servers, anonymous, out, out},
		"namesake of ours": {forged, anonymous, out, out},
		"ours without key": {[]tls.Certificate{{Certificate: ours[0].Certificate, PrivateKey: forged[0].PrivateKey}}, anonymous, out, out},
	} {
		for auth, want := range map[certs.ClientAuth]string{
			certs.NoClientCertificates:       test.none,
			certs.OptionalClientCertificates: test.optional,
			certs.RequiredClientCertificates: test.required,
		} {
			listener := serve(t, source, auth)
			for versionName, version := range versions() {
				c := s.client(listener)
				c.config.MaxVersion = version
				if test.given != nil {
					c.insist(test.given)
				}
				conn, err := c.open(t)
				if want == out {
					require.Error(t, err, "%s, authentication %d, %s", name, auth, versionName)
					continue
				}
				require.NoError(t, err, "%s, authentication %d, %s", name, auth, versionName)
				require.Equal(t, want, conn.identity, "%s, authentication %d, %s", name, auth, versionName)
			}
		}
	}
}

func TestClientCertificatesNeedAuthorities(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.ClientCAFile = ""
	source, err := certs.New(s.config)
	require.NoError(t, err)
	for _, auth := range []certs.ClientAuth{certs.OptionalClientCertificates, certs.RequiredClientCertificates} {
		_, err := source.Server(auth)
		require.EqualError(t, err, "client certificates are asked for, but there is no file of client authorities; set one")
	}
	_, err = source.Server(certs.ClientAuth(9))
	require.EqualError(t, err, "client authentication 9 is not known")
}

// TestClock puts the server's clock ahead of the client's.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Now = func() time.Time { return time.Now().Add(30 * day) }
	source, err := certs.New(s.config)
	require.NoError(t, err)
	c := s.client(serve(t, source, certs.RequiredClientCertificates))
	c.insist(s.clients.issue(t, "billing", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(31 * day) }).tls(t))
	_, err = c.open(t)
	require.NoError(t, err)
	c.insist(s.clients.issue(t, "billing", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(29 * day) }).tls(t))
	_, err = c.open(t)
	require.ErrorContains(t, err, "expired certificate")

	s.config.Registerer = nil
	s.config.Now = func() time.Time { return time.Now().Add(lifetime) }
	_, err = certs.New(s.config)
	require.ErrorContains(t, err, "expired on ")
}

// TestRemovedAuthority takes an authority away under a client that keeps what it
// could resume.
func TestRemovedAuthority(t *testing.T) {
	t.Parallel()
	for versionName, version := range versions() {
		for authName, auth := range map[string]certs.ClientAuth{"optional": certs.OptionalClientCertificates, "required": certs.RequiredClientCertificates} {
			t.Run(versionName+" "+authName, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t)
					c := s.client(serve(t, s.follow(t), auth))
					c.config.MaxVersion = version
					c.config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
					c.insist(s.clients.issue(t, "billing", nil).tls(t))
					var open *connection
					for range 3 {
						var err error
						open, err = c.open(t)
						require.NoError(t, err)
						require.Equal(t, "billing", open.identity)
						require.False(t, open.resumed(), "each is verified anew")
					}

					next := newAuthority(t, "next authority of clients")
					s.write(t, s.config.ClientCAFile, next.pem())
					pass(settled)
					_, err := c.open(t)
					require.Error(t, err)
					require.NoError(t, open.ask(), "an open connection goes on")

					c.insist(next.issue(t, "invoices", nil).tls(t))
					conn, err := c.open(t)
					require.NoError(t, err)
					require.Equal(t, "invoices", conn.identity)
				})
			})
		}
	}
}

// TestResumption shows that the tests' client resumes where it may: without
// client certificates, and over a change of files.
func TestResumption(t *testing.T) {
	t.Parallel()
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c := s.client(serve(t, s.follow(t), certs.NoClientCertificates))
				c.config.MaxVersion = version
				c.config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
				conn, err := c.open(t)
				require.NoError(t, err)
				require.False(t, conn.resumed())
				s.writePair(t, s.server.issueServer(t, "two"))
				pass(settled)
				conn, err = c.open(t)
				require.NoError(t, err)
				require.True(t, conn.resumed())
			})
		})
	}
}

// TestHTTP serves HTTP/2 and HTTP/1.1 as package http does.
func TestHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source, err := certs.New(s.config)
	require.NoError(t, err)
	config, err := source.Server(certs.NoClientCertificates, "h2", "http/1.1")
	require.NoError(t, err)
	listener := bufconn.Listen(64 << 10)
	server := &http.Server{TLSConfig: config, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	for _, http2 := range []bool{true, false} {
		transport := &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
			TLSClientConfig:   &tls.Config{ServerName: "localhost", RootCAs: s.server.pool()},
			ForceAttemptHTTP2: http2,
		}
		t.Cleanup(transport.CloseIdleConnections)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://localhost/", http.NoBody)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http2, response.ProtoMajor == 2)
		require.Equal(t, "one", response.TLS.PeerCertificates[0].Subject.CommonName)
	}
}

// TestGRPC serves gRPC to a client with a certificate.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	source, err := certs.New(s.config)
	require.NoError(t, err)
	config, err := source.Server(certs.RequiredClientCertificates, "h2")
	require.NoError(t, err)
	identities := make(chan string, 1)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			caller, _ := peer.FromContext(ctx)
			if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok {
				identities <- certs.Identity(info.State)
			}
			return handler(ctx, request)
		}))
	healthv1.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(64 << 10)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	spiffe, err := url.Parse("spiffe://prod/billing")
	require.NoError(t, err)
	own := s.clients.issue(t, "billing", func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} })
	conn, err := grpc.NewClient("passthrough:localhost",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{ServerName: "localhost", RootCAs: s.server.pool(), Certificates: own.tls(t)})))
	require.NoError(t, err)
	defer conn.Close()
	_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, spiffe.String(), <-identities)
}
