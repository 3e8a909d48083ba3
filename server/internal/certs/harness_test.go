package certs_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/test/bufconn"

	"github.com/wabastream/wabastream/server/internal/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	day = 24 * time.Hour
	// lifetime is that of certificates that a test does not edit, which were made
	// an hour ago.
	lifetime = 90 * day
	interval = 2 * time.Second // the default of certs.Config
)

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// pair is a certificate and its key, both PEM.
type pair struct{ cert, key []byte }

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = a.sign(t, name, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// sign makes a certificate, which is self-signed as long as the authority has
// none itself.
func (a *authority) sign(t *testing.T, name string, edit func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	made := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    made,
		NotAfter:     made.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(template)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate, key
}

// issue makes a pair whose certificate has the common name.
func (a *authority) issue(t *testing.T, name string, edit func(*x509.Certificate)) pair {
	t.Helper()
	certificate, key := a.sign(t, name, edit)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pair{cert: pemOf("CERTIFICATE", certificate.Raw), key: pemOf("PRIVATE KEY", der)}
}

// issueServer makes a pair that clients of the tests accept.
func (a *authority) issueServer(t *testing.T, name string) pair {
	t.Helper()
	return a.issue(t, name, forServer)
}

func forServer(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }

func (a *authority) pem() []byte { return pemOf("CERTIFICATE", a.certificate.Raw) }

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (p pair) tls(t *testing.T) []tls.Certificate {
	t.Helper()
	certificate, err := tls.X509KeyPair(p.cert, p.key)
	require.NoError(t, err)
	return []tls.Certificate{certificate}
}

// site is a server's files. At first they are a pair named "one", and the
// authority of the clients.
type site struct {
	dir      string
	config   certs.Config
	server   *authority
	clients  *authority
	lines    *lines
	registry *prometheus.Registry
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{
		dir:      t.TempDir(),
		server:   newAuthority(t, "authority of servers"),
		clients:  newAuthority(t, "authority of clients"),
		lines:    &lines{},
		registry: prometheus.NewRegistry(),
	}
	s.config = certs.Config{
		CertFile:     filepath.Join(s.dir, "server.crt"),
		KeyFile:      filepath.Join(s.dir, "server.key"),
		ClientCAFile: filepath.Join(s.dir, "clients.pem"),
		Logger:       slog.New(slog.NewTextHandler(s.lines, nil)),
		Registerer:   s.registry,
	}
	s.writePair(t, s.server.issueServer(t, "one"))
	s.write(t, s.config.ClientCAFile, s.clients.pem())
	return s
}

func (s *site) writePair(t *testing.T, p pair) {
	t.Helper()
	s.write(t, s.config.CertFile, p.cert)
	s.write(t, s.config.KeyFile, p.key)
}

func (s *site) write(t *testing.T, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// follow loads the files and follows them until the test ends; inside a synctest
// bubble.
func (s *site) follow(t *testing.T) *certs.Source {
	t.Helper()
	source, err := certs.New(s.config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		source.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	synctest.Wait()
	return source
}

// pass lets time go by, and ends after the looks that fell into it.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// serve answers each byte with the identity of the client and a line break, until
// the test ends.
func serve(t *testing.T, source *certs.Source, auth certs.ClientAuth) *bufconn.Listener {
	t.Helper()
	config, err := source.Server(auth)
	require.NoError(t, err)
	listener := bufconn.Listen(64 << 10)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { answer(tls.Server(conn, config)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		conns.Wait()
	})
	return listener
}

// answer leaves errors to the client, who notices.
func answer(conn *tls.Conn) {
	defer conn.Close()
	question := make([]byte, 1)
	for {
		if _, err := conn.Read(question); err != nil {
			return
		}
		if _, err := conn.Write([]byte(certs.Identity(conn.ConnectionState()) + "\n")); err != nil {
			return
		}
	}
}

// client is what a test dials with.
type client struct {
	listener *bufconn.Listener
	config   *tls.Config
}

func (s *site) client(listener *bufconn.Listener) *client {
	return &client{listener: listener, config: &tls.Config{ServerName: "localhost", RootCAs: s.server.pool()}}
}

// insist makes the client present its certificate to whoever asks for one. A
// well-meaning client only does if the server names the authority it is from.
func (c *client) insist(own []tls.Certificate) {
	c.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
}

// open dials, and asks once: in TLS 1.3 the server judges the client after the
// client has finished its handshake.
func (c *client) open(t *testing.T) (*connection, error) {
	t.Helper()
	raw, err := c.listener.DialContext(t.Context())
	if err != nil {
		return nil, err
	}
	conn := &connection{conn: tls.Client(raw, c.config)}
	if err := conn.ask(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	t.Cleanup(func() { _ = raw.Close() })
	return conn, nil
}

// servedNow opens a connection and returns the name of the server's certificate.
func (c *client) servedNow(t *testing.T) string {
	t.Helper()
	conn, err := c.open(t)
	require.NoError(t, err)
	return conn.conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

type connection struct {
	conn     *tls.Conn
	identity string // as the server answered last
}

func (c *connection) ask() error {
	if _, err := c.conn.Write([]byte{'?'}); err != nil {
		return err
	}
	line, err := bufio.NewReader(c.conn).ReadString('\n')
	c.identity = strings.TrimSuffix(line, "\n")
	return err
}

func (c *connection) resumed() bool { return c.conn.ConnectionState().DidResume }

// lines is a log output.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with returns those that contain the text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
