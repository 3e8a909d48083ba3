package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// authority signs certificates for one test.
type authority struct {
	t           *testing.T
	dir         string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	der, key := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.key = key
	var err error
	a.certificate, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// sign makes a certificate; the first one signs itself.
func (a *authority) sign(template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(240*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(a.t, err)
	return der, key
}

// pair makes a certificate for localhost, for servers and clients, and its files.
func (a *authority) pair(name string) (certFile, keyFile string) {
	a.t.Helper()
	der, key := a.sign(&x509.Certificate{
		DNSNames:    []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return a.write(name+".crt", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", keyDER)
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// client trusts the authority, and has a certificate of it if it is to have one.
func (a *authority) client(certified bool) *tls.Config {
	a.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(a.certificate)
	if certified {
		pair, err := tls.LoadX509KeyPair(a.pair("client"))
		require.NoError(a.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// TestTLS: every listener speaks TLS; the provider needs no certificate, insiders do,
// and the gateway passes on what they ask for.
func TestTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	config := testConfig(t)
	config.HTTPTLSCertFile, config.HTTPTLSKeyFile = a.pair("provider")
	config.TLSCertFile, config.TLSKeyFile = a.pair("insiders")
	config.TLSClientCAFile = filepath.Join(a.dir, "ca.pem")
	r := startApp(t, config)

	for _, certified := range []bool{true, false} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: a.client(certified), DisableKeepAlives: true, ForceAttemptHTTP2: true}}
		resp, err := client.Post("https://"+r.Addrs().HTTP+"/webhooks/nxcloud", "application/json", strings.NewReader(`{"field":"x"}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.NoError(t, resp.Body.Close())

		conn, err := grpc.NewClient(r.Addrs().GRPC, grpc.WithTransportCredentials(credentials.NewTLS(a.client(certified))))
		require.NoError(t, err)
		_, grpcErr := wabastreamv1.NewEventServiceClient(conn).GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
		require.NoError(t, conn.Close())
		resp, httpErr := client.Get("https://" + r.Addrs().API + "/v1/log")
		if !certified {
			require.Equal(t, codes.Unavailable, status.Code(grpcErr))
			require.Error(t, httpErr)
			for _, addr := range []string{r.Addrs().GRPC, r.Addrs().API} {
				requireRefusal(t, addr, a.client(false))
			}
			continue
		}
		require.NoError(t, grpcErr)
		require.NoError(t, httpErr)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Contains(t, string(body), `"eventCount":"1"`)
	}
	resp, err := http.Get("http://" + r.Addrs().HTTP + "/healthz")
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, "plaintext is not for this port")
	require.NoError(t, resp.Body.Close())
}

// requireRefusal: a client without a certificate is told what it lacks. It only reads:
// one that writes may find the connection closed before it has read that.
func requireRefusal(t *testing.T, addr string, config *tls.Config) {
	t.Helper()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		require.NoError(t, conn.Close())
	}
	require.ErrorContains(t, err, "certificate required")
}

// TestTLSFailsClosed: what cannot be loaded ends the start; it never means plaintext.
func TestTLSFailsClosed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.pair("one")
	_, otherKey := a.pair("two")
	for name, edit := range map[string]func(*Config){
		"tls_cert_file":        func(c *Config) { c.TLSCertFile, c.TLSKeyFile = filepath.Join(a.dir, "none"), key },
		"does not":             func(c *Config) { c.HTTPTLSCertFile, c.HTTPTLSKeyFile = cert, otherKey },
		"tls_key_file: set":    func(c *Config) { c.TLSCertFile = cert },
		"tls_client_ca_file":   func(c *Config) { c.TLSClientCAFile = cert },
		"http_tls_cert_file, ": func(c *Config) { c.HTTPTLSKeyFile = key },
	} {
		config := testConfig(t)
		edit(&config)
		_, err := New(t.Context(), config, "test", logger(t))
		require.ErrorContains(t, err, name)
	}
}

// TestExposure: an address that others reach needs what keeps them out, or the word of
// the operator.
func TestExposure(t *testing.T) {
	t.Parallel()
	signed := []SourceConfig{{Name: "nxcloud", AccessKeys: []AccessKeyConfig{{Key: "k"}}}}
	for name, c := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"http plain":         {func(c *Config) { c.HTTPAddr, c.Sources = "0.0.0.0:0", signed }, "http_tls_cert_file"},
		"http TLS, unsigned": {func(c *Config) { c.HTTPAddr, c.HTTPTLSCertFile, c.HTTPTLSKeyFile = "0.0.0.0:0", "c", "k" }, "allow_unsigned"},
		"http TLS, signed": {func(c *Config) {
			c.HTTPAddr, c.HTTPTLSCertFile, c.HTTPTLSKeyFile, c.Sources = "0.0.0.0:0", "c", "k", signed
		}, ""},
		"grpc plain":            {func(c *Config) { c.GRPCAddr = "0.0.0.0:0" }, "access_file"},
		"grpc TLS only":         {func(c *Config) { c.GRPCAddr, c.TLSCertFile, c.TLSKeyFile = "0.0.0.0:0", "c", "k" }, "tls_client_ca_file"},
		"grpc tokens, no TLS":   {func(c *Config) { c.GRPCAddr, c.AccessFile = "0.0.0.0:0", "a" }, "tls_cert_file"},
		"grpc tokens, loopback": {func(c *Config) { c.AccessFile = "a" }, ""},
		"grpc tokens": {func(c *Config) {
			c.GRPCAddr, c.TLSCertFile, c.TLSKeyFile, c.AccessFile = "0.0.0.0:0", "c", "k", "a"
		}, ""},
		"api mutual TLS": {func(c *Config) {
			c.APIAddr, c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile = "0.0.0.0:0", "c", "k", "ca"
		}, ""},
		"all, at his own risk":  {func(c *Config) { c.HTTPAddr, c.APIAddr, c.GRPCAddr, c.InsecureListen = ":0", ":0", ":0", true }, ""},
		"loopback needs nobody": {func(*Config) {}, ""},
	} {
		config := testConfig(t)
		c.edit(&config)
		err := config.validate()
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, "insecure_listen", name)
	}
}
