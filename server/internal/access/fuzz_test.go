package access_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// FuzzFile reads any text as an access file without a panic, and lets in nobody whom
// it does not name.
func FuzzFile(f *testing.F) {
	token, _ := access.NewToken()
	for _, seed := range []string{
		"consumers: [{name: a, tokens: [" + quoted(someHash) + "], waba_ids: [\"*\"]}]",
		"consumers:\n- name: a\n  tokens: [{hash: " + quoted(someHash) + ", expire_time: 2030-01-01T00:00:00Z}]\n  certificates: [CN=a, a.internal, \"spiffe://a/b\"]\n",
		"personal_data_key_env: " + keyEnv + "\nconsumers: [{name: a, personal_data: hashed, max_streams: 1}]",
		jwtFile("jwks_url: https://login.example.com/keys", ""), jwtFile("jwks_file: x", ""),
		"a: &a [*a]", "? {a: b}\n: c", "- - - -", "consumers: &a [*a, *a]", "--- !!map\n...\n---\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		err := access.Judge(file, token)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "%!")
	})
}

// FuzzKeys reads any text as a key set without a panic.
func FuzzKeys(f *testing.F) {
	f.Add(publish(f, newSigner(f, "es", jose.ES256), newSigner(f, "ed", jose.EdDSA)))
	f.Add(`{"keys":[{"kty":"RSA","n":"","e":""},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"oct","k":""}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := access.CountKeys(text)
		require.Equal(t, err == nil, n > 0)
	})
}

// FuzzBearer lets in the one token and the one JWT there are, and nothing else.
func FuzzBearer(f *testing.F) {
	// The same in every process that takes part.
	token := "wst_" + strings.Repeat("abcd", 13)
	hash := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token)))
	ed := signer{id: "ed", algorithm: jose.EdDSA, key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	signed := ed.token(f, map[string]any{"iat": 0, "exp": 1 << 40})
	for _, seed := range []string{token, signed, hash, "", "wst_", "e30.e30.", "..", ed.sign(f, []byte("{}"), nil), ed.sign(f, []byte(signed), nil)} {
		f.Add(seed)
	}
	dir := f.TempDir()
	keys, file := filepath.Join(dir, "keys"), filepath.Join(dir, "access")
	writeFile(f, keys, publish(f, ed))
	writeFile(f, file, jwtFile("jwks_file: "+keys, consumer("a", hash, "operate: true")))
	p, err := access.Open(access.Config{File: file})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		session, err := p.Authenticate(t.Context(), bearer(text))
		switch {
		case text == "":
			require.ErrorIs(t, err, access.ErrMissing)
		case text == token:
			require.Equal(t, "a", session.Caller().Name)
		case err == nil:
			// Base64 leaves bits of the signature unused, not of what is signed.
			require.Equal(t, signed[:strings.LastIndex(signed, ".")], text[:strings.LastIndex(text, ".")])
			require.Equal(t, "billing", session.Caller().Name)
		default:
			require.True(t, errorIsOneOf(err, access.ErrInvalid, access.ErrExpired), err)
			if len(text) > len("wst_") { // shorter ones may be words of the sentence
				require.NotContains(t, err.Error(), text)
			}
		}
	})
}
