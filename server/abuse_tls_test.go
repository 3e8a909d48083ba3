package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// withTLS are the arguments of a server whose listeners all speak TLS.
func withTLS(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	certFile, keyFile := write("server.crt", "CERTIFICATE", certificate), write("server.key", "PRIVATE KEY", keyDER)
	return []string{"--http-tls-cert-file=" + certFile, "--http-tls-key-file=" + keyFile, "--tls-cert-file=" + certFile, "--tls-key-file=" + keyFile}
}

// target is a listener that is attacked.
type target struct {
	name, addr string
	tls        bool
}

// targets are the listeners of a server, as grpc, rest and front.
func (b *besieged) targets(secure bool) []target {
	return []target{
		{"front", b.front, secure},
		{"rest", b.find(`REST +https?://([^/]+)`), secure},
		{"grpc", b.grpc, secure},
	}
}

// dial connects, in the protocol given where there is TLS.
func (target target) dial(t *testing.T, protocol string) net.Conn {
	t.Helper()
	conn, err := target.tryDial(protocol)
	require.NoError(t, err)
	return conn
}

func (target target) tryDial(protocol string) (net.Conn, error) {
	if !target.tls {
		return net.Dial("tcp", target.addr)
	}
	return tls.Dial("tcp", target.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
}
