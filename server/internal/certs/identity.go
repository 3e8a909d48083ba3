package certs

import (
	"crypto/tls"
	"strings"
)

// Identity is who the client of a connection is, by its certificate: the first
// URI among its alternative names (a SPIFFE ID is one), else the first DNS name
// there, else the common name of its subject. They are returned as they are
// written. It is empty if no certificate was verified, and if it names nobody.
//
// DNS and common names with a colon name nobody: such a name could pass for a URI,
// and authorities that check URIs may let clients choose the others.
func Identity(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	own := state.VerifiedChains[0][0]
	if len(own.URIs) > 0 {
		return own.URIs[0].String()
	}
	name := own.Subject.CommonName
	if len(own.DNSNames) > 0 {
		name = own.DNSNames[0]
	}
	if strings.Contains(name, ":") {
		return ""
	}
	return name
}
