package access

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// credentialKind is the kind of credential that a call carries.
type credentialKind string

const (
	kindNone        credentialKind = "none"
	kindToken       credentialKind = "token"
	kindJWT         credentialKind = "jwt"
	kindCertificate credentialKind = "certificate"
)

// credential is one that verified. What is left of it is enough to judge it again
// when the rules change, and cannot be used to get in.
type credential interface {
	// find returns whose it is by the rules, and when it ends; zero is never. Its
	// error matches [ErrInvalid].
	find(r *rules) (*consumer, time.Time, error)
}

// judge returns whose a credential is, if that is known, and when it ends. Its
// error matches [ErrInvalid] or [ErrExpired].
func (r *rules) judge(c credential, now time.Time) (*consumer, time.Time, error) {
	owner, expireTime, err := c.find(r)
	if err != nil {
		return nil, time.Time{}, err
	}
	if expired(expireTime, now) {
		return owner, expireTime, fmt.Errorf("%w: since %s", ErrExpired, expireTime.UTC().Format(time.RFC3339))
	}
	return owner, expireTime, nil
}

// tokenCredential is the hash of a token.
type tokenCredential [sha256.Size]byte

// tokenCredentialOf takes only tokens of [NewToken]'s form: their 256 random bits
// are what makes a plain hash safe, and guessing hopeless.
func tokenCredentialOf(token string) (tokenCredential, error) {
	if !isToken(token) {
		return tokenCredential{}, fmt.Errorf("%w: not a token of this server", ErrInvalid)
	}
	return tokenCredential(sha256.Sum256([]byte(token))), nil
}

// find compares hashes, not tokens. How long it takes may tell something of the
// hash of what a caller sent; nobody can find a token whose hash is like another's.
func (t tokenCredential) find(r *rules) (*consumer, time.Time, error) {
	rule, ok := r.tokens[t]
	if !ok {
		return nil, time.Time{}, fmt.Errorf("%w: the token is not known", ErrInvalid)
	}
	return rule.consumer, rule.expireTime, nil
}

// certificateName is a name of a certificate, and which of its kinds of names: a
// name of one kind never passes for one of another, as an authority may check some
// of them and let clients choose the others.
type certificateName struct {
	kind nameKind
	name string
}

type nameKind int

const (
	nameURI nameKind = iota
	nameDNS
	nameCommon
)

// commonNamePrefix marks common names in the file.
const commonNamePrefix = "CN="

// certificateNameOf is the name that a text of the file means.
func certificateNameOf(text string) certificateName {
	if name, ok := strings.CutPrefix(text, commonNamePrefix); ok {
		return certificateName{nameCommon, name}
	}
	if strings.Contains(text, ":") {
		return certificateName{nameURI, text}
	}
	return certificateName{nameDNS, strings.ToLower(text)}
}

type certificateCredential struct {
	names      []certificateName
	expireTime time.Time
}

// maxNamesLogged bounds what is logged of a certificate.
const maxNamesLogged = 200

// String returns the names as the file would have them, for the log.
func (c certificateCredential) String() string {
	texts := make([]string, len(c.names))
	for i, n := range c.names {
		texts[i] = n.name
		if n.kind == nameCommon {
			texts[i] = commonNamePrefix + n.name
		}
	}
	text := strings.Join(texts, ", ")
	return text[:min(len(text), maxNamesLogged)]
}

func certificateCredentialOf(c *x509.Certificate) certificateCredential {
	names := make([]certificateName, 0, len(c.URIs)+len(c.DNSNames)+1)
	for _, uri := range c.URIs {
		names = append(names, certificateName{nameURI, uri.String()})
	}
	for _, name := range c.DNSNames {
		names = append(names, certificateName{nameDNS, strings.ToLower(name)})
	}
	if name := c.Subject.CommonName; name != "" {
		names = append(names, certificateName{nameCommon, name})
	}
	return certificateCredential{names, c.NotAfter}
}

// find refuses a certificate that names two consumers, as either could be meant.
func (c certificateCredential) find(r *rules) (*consumer, time.Time, error) {
	var owner *consumer
	for _, name := range c.names {
		found, ok := r.certificates[name]
		if ok && owner != nil && found != owner {
			return nil, time.Time{}, fmt.Errorf("%w: the certificate names more than one consumer", ErrInvalid)
		}
		if ok {
			owner = found
		}
	}
	if owner == nil {
		return nil, time.Time{}, fmt.Errorf("%w: the certificate names no consumer", ErrInvalid)
	}
	return owner, c.expireTime, nil
}
