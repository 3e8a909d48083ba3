package access_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

const (
	issuerName = "https://login.example.com"
	audience   = "wabastream"
)

// signer is a key of an issuer.
type signer struct {
	id        string
	algorithm jose.SignatureAlgorithm
	key       crypto.Signer
}

// rsaKey makes a key that tests share: making one takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { //nolint:gochecknoglobals // constant once made
	return rsa.GenerateKey(rand.Reader, 2048)
})

func newSigner(tb testing.TB, id string, algorithm jose.SignatureAlgorithm) signer {
	tb.Helper()
	s := signer{id: id, algorithm: algorithm}
	var err error
	switch algorithm {
	case jose.ES256:
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		s.key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	default:
		s.key, err = rsaKey()
	}
	require.NoError(tb, err)
	return s
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Use: "sig"}
}

// sign signs what a payload says, with members of the header beside the usual ones.
func (s signer) sign(tb testing.TB, payload []byte, header map[jose.HeaderKey]any) string {
	tb.Helper()
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"typ": "JWT"}}
	if s.id != "" {
		options.ExtraHeaders["kid"] = s.id
	}
	maps.Copy(options.ExtraHeaders, header)
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, options)
	require.NoError(tb, err)
	signed, err := by.Sign(payload)
	require.NoError(tb, err)
	text, err := signed.CompactSerialize()
	require.NoError(tb, err)
	return text
}

// token signs the usual claims, with some of them changed; nil is left out.
func (s signer) token(tb testing.TB, change map[string]any) string {
	tb.Helper()
	return s.sign(tb, payload(tb, change), nil)
}

func payload(tb testing.TB, change map[string]any) []byte {
	tb.Helper()
	claims := map[string]any{
		"iss": issuerName, "aud": audience, "sub": "billing@example.com",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	for name, value := range change {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	text, err := json.Marshal(claims)
	require.NoError(tb, err)
	return text
}

// publish returns the key set of signers.
func publish(tb testing.TB, signers ...signer) string {
	tb.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, s.public())
	}
	text, err := json.Marshal(set)
	require.NoError(tb, err)
	return string(text)
}

// jwtFile is an access file that takes JWTs with keys from somewhere.
func jwtFile(keys, more string) string {
	return fmt.Sprintf(`jwt:
  issuer: %s
  audience: %s
  algorithms: [RS256, ES256, EdDSA]
  %s
consumers:
  - {name: billing, jwt_subjects: [billing@example.com], types: ["*"]}
%s`, issuerName, audience, keys, more)
}

// withKeys is a site whose keys are in a file.
func withKeys(t *testing.T, keys string) *site {
	t.Helper()
	s := newSite(t, "")
	writeFile(t, s.keysFile(), keys)
	s.write(t, jwtFile("jwks_file: "+s.keysFile(), ""))
	return s
}

func (s *site) keysFile() string { return s.config.File + ".jwks" }

func bearer(token string) access.Credentials { return access.Credentials{Bearer: token} }

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
