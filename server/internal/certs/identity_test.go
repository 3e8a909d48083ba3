package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/certs"
)

// TestIdentity reads the names of certificates that were signed and verified.
func TestIdentity(t *testing.T) {
	t.Parallel()
	clients := newAuthority(t, "authority of clients")
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		require.NoError(t, err)
		return u
	}
	for name, test := range map[string]struct {
		common string
		edit   func(*x509.Certificate)
		want   string
	}{
		"SPIFFE": {"cn", func(c *x509.Certificate) {
			c.URIs = []*url.URL{uri("spiffe://prod/ns/a/sa/billing"), uri("spiffe://prod/other")}
			c.DNSNames = []string{"billing.example"}
		}, "spiffe://prod/ns/a/sa/billing"},
		"another URI":  {"cn", func(c *x509.Certificate) { c.URIs = []*url.URL{uri("urn:uuid:1")} }, "urn:uuid:1"},
		"DNS":          {"cn", func(c *x509.Certificate) { c.DNSNames = []string{"billing.example", "other.example"} }, "billing.example"},
		"common name":  {"billing", nil, "billing"},
		"with a space": {"Billing Team", nil, "Billing Team"},
		"none":         {"", nil, ""},
		"addresses": {"", func(c *x509.Certificate) {
			c.IPAddresses, c.EmailAddresses = []net.IP{net.IPv6loopback}, []string{"a@b.example"}
		}, ""},
		"CN like a URI":    {"spiffe://prod/ns/a/sa/billing", nil, ""},
		"CN like a URN":    {"urn:uuid:1", nil, ""},
		"DNS like a URI":   {"cn", func(c *x509.Certificate) { c.DNSNames = []string{"spiffe://prod/billing", "billing.example"} }, ""},
		"DNS name over CN": {"spiffe://prod/billing", func(c *x509.Certificate) { c.DNSNames = []string{"billing.example"} }, "billing.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, _ := clients.sign(t, test.common, test.edit)
			chains, err := own.Verify(x509.VerifyOptions{Roots: clients.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			require.NoError(t, err)
			given := []*x509.Certificate{own}
			require.Equal(t, test.want, certs.Identity(tls.ConnectionState{PeerCertificates: given, VerifiedChains: chains}))
			require.Empty(t, certs.Identity(tls.ConnectionState{PeerCertificates: given}), "given, but not verified")
			require.Empty(t, certs.Identity(tls.ConnectionState{PeerCertificates: given, VerifiedChains: [][]*x509.Certificate{{}}}))
		})
	}
}
