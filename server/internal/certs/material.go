package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"strings"
	"time"
)

// material is what handshakes use, as one: pair and authorities that were loaded
// together. It is not changed once it is in use.
type material struct {
	pair       tls.Certificate
	clientCAs  *x509.CertPool // nil without a client CA file
	validities []validity     // of each file with certificates
	keyMode    fs.FileMode
}

// validity is when the certificate of a file that expires first is valid.
type validity struct {
	file      string
	subject   string
	notBefore time.Time
	notAfter  time.Time
}

func validityOf(f file, certificate *x509.Certificate) validity {
	return validity{
		file:      f.path,
		subject:   certificate.Subject.String(),
		notBefore: certificate.NotBefore,
		notAfter:  certificate.NotAfter,
	}
}

// parse errs if handshakes could not use the contents.
func (c contents) parse(now time.Time) (*material, error) {
	m := &material{keyMode: c.key.mode}
	if err := m.setPair(c.cert, c.key, now); err != nil {
		return nil, err
	}
	if c.clientCAs.path == "" {
		return m, nil
	}
	if err := m.setClientCAs(c.clientCAs); err != nil {
		return nil, err
	}
	return m, nil
}

// setPair judges the expiry of the server's own certificate only: what clients
// make of the others depends on which of them they need.
func (m *material) setPair(cert, key file, now time.Time) error {
	chain, err := cert.certificates()
	if err != nil {
		return err
	}
	own := chain[0]
	if now.After(own.NotAfter) {
		return cert.errorf("expired on %s; renew it", own.NotAfter.Format(time.RFC3339))
	}
	if err := key.checkKey(); err != nil {
		return err
	}
	m.pair, err = tls.X509KeyPair(cert.data, key.data)
	if err != nil {
		return key.errorf("used with certificate file %q, whose first certificate must be the one of this key: %w", cert.path, err)
	}
	m.validities = append(m.validities, validityOf(cert, own))
	return nil
}

func (m *material) setClientCAs(f file) error {
	authorities, err := f.certificates()
	if err != nil {
		return err
	}
	m.clientCAs = x509.NewCertPool()
	first := authorities[0]
	for _, a := range authorities {
		m.clientCAs.AddCert(a)
		if a.NotAfter.Before(first.NotAfter) {
			first = a
		}
	}
	m.validities = append(m.validities, validityOf(f, first))
	return nil
}

// certificates returns at least one.
func (f file) certificates() ([]*x509.Certificate, error) {
	blocks, err := f.blocks()
	if err != nil {
		return nil, err
	}
	var found []*x509.Certificate
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, f.errorf("certificate %d: %w", len(found)+1, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, f.errorf("holds no certificate, but %s", strings.ToLower(blocks[0].Type))
	}
	return found, nil
}

// checkKey finds what package tls would explain less well.
func (f file) checkKey() error {
	blocks, err := f.blocks()
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if !strings.HasSuffix(b.Type, "PRIVATE KEY") {
			continue
		}
		if strings.HasPrefix(b.Type, "ENCRYPTED") || b.Headers["DEK-Info"] != "" {
			return f.errorf("the key is encrypted; store it without a passphrase")
		}
		return nil
	}
	return f.errorf("holds no private key, but %s", strings.ToLower(blocks[0].Type))
}

// blocks returns at least one. [pem.Decode] passes over what it cannot read, so
// that a chain cut off in its second certificate would pass for a shorter one:
// beginnings are counted.
func (f file) blocks() ([]*pem.Block, error) {
	var found []*pem.Block
	for block, rest := pem.Decode(f.data); block != nil; block, rest = pem.Decode(rest) {
		found = append(found, block)
	}
	begun := bytes.Count(f.data, []byte("-----BEGIN "))
	switch {
	case begun == 0:
		return nil, f.errorf("not PEM")
	case begun != len(found):
		return nil, f.errorf("%d of %d PEM blocks can be read: the file is damaged, or was not written to its end", len(found), begun)
	default:
		return found, nil
	}
}
