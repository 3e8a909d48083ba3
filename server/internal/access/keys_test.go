package access_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// TestKeySets has what issuers publish, and what nobody should.
func TestKeySets(t *testing.T) {
	t.Parallel()
	es, rs := newSigner(t, "es", jose.ES256), newSigner(t, "rs", jose.RS256)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		keys []any
		want string // empty if the set will do
	}{
		"with others":     {[]any{map[string]string{"kty": "new"}, es.public(), map[string]any{}}, ""},
		"without a use":   {[]any{jose.JSONWebKey{Key: es.key.Public(), KeyID: "es"}}, ""},
		"of its own":      {[]any{jose.JSONWebKey{Key: es.key.Public(), KeyID: "es", Algorithm: "ES256"}}, ""},
		"two by one id":   {[]any{jose.JSONWebKey{Key: rs.key.Public(), KeyID: "es"}, es.public()}, ""},
		"for encryption":  {[]any{jose.JSONWebKey{Key: es.key.Public(), KeyID: "es", Use: "enc"}}, "no key that signs"},
		"short":           {[]any{jose.JSONWebKey{Key: small.Public(), KeyID: "es"}}, "no key that signs"},
		"private":         {[]any{es.public(), jose.JSONWebKey{Key: es.key, KeyID: "es"}}, "keys[1] is a secret key"},
		"shared":          {[]any{jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "es"}}, "keys[0] is a secret key"},
		"nothing":         {[]any{}, "no key that signs"},
		"null":            {nil, "no key that signs"},
		"many":            {make([]any, 33), "33 keys; at most 32"},
		"of another kind": {[]any{jose.JSONWebKey{Key: es.key.Public(), KeyID: "es", Algorithm: "ES384"}}, "none of the issuer's keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(map[string]any{"keys": test.keys})
			require.NoError(t, err)
			p, err := access.Open(withKeys(t, string(text)).config)
			if err == nil {
				_, err = p.Authenticate(t.Context(), bearer(es.token(t, nil)))
			}
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}
