package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys bounds what a JWT without a key id is tried with. Issuers have two or
	// three keys.
	maxKeys = 32
	// minRSABits and maxRSABits are what a signature is worth, and may cost.
	minRSABits = 2048
	maxRSABits = 8192
)

// keySource has the keys that JWTs may be signed with.
type keySource interface {
	// find returns the keys with an id, or all if it is empty. It errs with
	// [ErrUnavailable] if that cannot be said now.
	find(ctx context.Context, id string) ([]jwtKey, error)
	// has reports whether a key is one of them, as far as they are known.
	has(thumbprint string) bool
}

// jwtKey is a public key of an issuer.
type jwtKey struct {
	id         string
	algorithm  string // the only one that it is for; empty if it does not say
	thumbprint string // of the key alone
	key        any    // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// fits reports whether the key is of the algorithm: who verifies does not leave it
// to a stranger's header what a key is used for.
func (k jwtKey) fits(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curve, ok := curveOf(algorithm)
		return ok && key.Curve == curve
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	default:
		return false
	}
}

func curveOf(algorithm string) (elliptic.Curve, bool) {
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.ES256:
		return elliptic.P256(), true
	case jose.ES384:
		return elliptic.P384(), true
	case jose.ES512:
		return elliptic.P521(), true
	default:
		return nil, false
	}
}

// keySet is keys that were published together. It is a keySource that knows all.
type keySet []jwtKey

func (s keySet) find(_ context.Context, id string) ([]jwtKey, error) { return s.withID(id), nil }

func (s keySet) withID(id string) []jwtKey {
	if id == "" {
		return s
	}
	var found []jwtKey
	for _, k := range s {
		if k.id == id {
			found = append(found, k)
		}
	}
	return found
}

func (s keySet) has(thumbprint string) bool {
	return slices.ContainsFunc(s, func(k jwtKey) bool { return k.thumbprint == thumbprint })
}

func (s keySet) equal(other keySet) bool {
	return slices.EqualFunc(s, other, func(a, b jwtKey) bool {
		return a.id == b.id && a.algorithm == b.algorithm && a.thumbprint == b.thumbprint
	})
}

// parseKeys reads a JSON Web Key Set. Keys for other purposes and of unknown kinds
// are passed over, as issuers add such; secret ones are refused, as whoever reads
// them could sign. It errs if none is left. Its errors repeat nothing of the keys.
func parseKeys(data []byte) (keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, errors.New("not a JSON Web Key Set, which is a JSON object with a list \"keys\"")
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys; at most %d are allowed", len(document.Keys), maxKeys)
	}
	var set keySet
	for i, text := range document.Keys {
		var published jose.JSONWebKey
		if err := published.UnmarshalJSON(text); err != nil || published.Use == "enc" {
			continue
		}
		if !published.IsPublic() {
			return nil, fmt.Errorf("keys[%d] is a secret key; publish the public one, and replace this one, as others may have read it", i)
		}
		key, ok := jwtKeyOf(published)
		if ok {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("no key that signs: want RSA keys of at least 2048 bits, or keys of P-256, P-384, P-521 or Ed25519")
	}
	return set, nil
}

func jwtKeyOf(published jose.JSONWebKey) (jwtKey, bool) {
	switch key := published.Key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return jwtKey{}, false
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return jwtKey{}, false
	}
	sum, err := published.Thumbprint(crypto.SHA256)
	if err != nil {
		return jwtKey{}, false
	}
	return jwtKey{id: published.KeyID, algorithm: published.Algorithm, thumbprint: string(sum), key: published.Key}, true
}
