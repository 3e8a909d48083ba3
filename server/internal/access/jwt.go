package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// maxJWTBytes has room for tokens with long lists of groups.
	maxJWTBytes = 16 << 10
	// leeway is for the issuer's clock being ahead. An end has none: nobody is let in
	// for longer than the issuer said.
	leeway = 30 * time.Second
	// defaultClaim is the claim that names the consumer.
	defaultClaim = "sub"
)

// jwtAlgorithms are those that can be allowed. Each has a key to verify with that
// cannot sign: with a shared secret, everything that verifies could.
func jwtAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// jwtRules say which JWTs are let in.
type jwtRules struct {
	issuer, audience, claim string
	algorithms              []jose.SignatureAlgorithm
	keysFile, keysURL       string // one is set
	keys                    keySource
}

// jwtCredential is what a JWT said that verified.
type jwtCredential struct {
	issuer, audience, claim string // as the rules were
	algorithm               string
	thumbprint              string // of the key that signed it
	subject                 string
	expireTime              time.Time
}

// find takes nothing for granted that the rules may have changed since.
func (c jwtCredential) find(r *rules) (*consumer, time.Time, error) {
	j := r.jwt
	if j == nil || c.issuer != j.issuer || c.audience != j.audience || c.claim != j.claim ||
		!slices.Contains(j.algorithms, jose.SignatureAlgorithm(c.algorithm)) {
		return nil, time.Time{}, fmt.Errorf("%w: JWTs like this one are not accepted any more", ErrInvalid)
	}
	if !j.keys.has(c.thumbprint) {
		return nil, time.Time{}, fmt.Errorf("%w: the issuer has withdrawn the key of the JWT", ErrInvalid)
	}
	owner, ok := r.subjects[c.subject]
	if !ok {
		return nil, time.Time{}, fmt.Errorf("%w: the JWT's %q names no consumer", ErrInvalid, c.claim)
	}
	return owner, c.expireTime, nil
}

// verify returns what a JWT says, once its signature and its claims are right. Its
// error matches [ErrInvalid], [ErrExpired] or [ErrUnavailable], and repeats nothing
// of the JWT.
func (j *jwtRules) verify(ctx context.Context, text string, now time.Time) (jwtCredential, error) {
	if len(text) > maxJWTBytes {
		return jwtCredential{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxJWTBytes)
	}
	token, err := jwt.ParseSigned(text, j.algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return jwtCredential{}, fmt.Errorf("%w: the JWT is signed with an algorithm that is not accepted", ErrInvalid)
	}
	if err != nil {
		return jwtCredential{}, fmt.Errorf("%w: neither a token of this server nor a JWT", ErrInvalid)
	}
	said, err := j.claimsOf(ctx, token)
	if err != nil {
		return jwtCredential{}, err
	}
	return said.check(j, now)
}

// claims are those of a JWT whose signature is right.
type claims struct {
	jwt.Claims

	others    map[string]any
	algorithm string
	key       jwtKey
}

// claimsOf verifies the signature, and reads the claims after that.
func (j *jwtRules) claimsOf(ctx context.Context, token *jwt.JSONWebToken) (claims, error) {
	header := token.Headers[0] // there is one in what was parsed
	keys, err := j.keys.find(ctx, header.KeyID)
	if err != nil {
		return claims{}, err
	}
	for _, key := range keys {
		if !key.fits(header.Algorithm) {
			continue
		}
		said := claims{algorithm: header.Algorithm, key: key}
		err := token.Claims(key.key, &said.Claims, &said.others)
		switch {
		case err == nil:
			return said, nil
		case !errors.Is(err, jose.ErrCryptoFailure):
			return claims{}, fmt.Errorf("%w: the claims or the header of the JWT cannot be read", ErrInvalid)
		}
	}
	return claims{}, fmt.Errorf("%w: the JWT is signed with none of the issuer's keys", ErrInvalid)
}

func (c claims) check(j *jwtRules, now time.Time) (jwtCredential, error) {
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: j.issuer, AnyAudience: jwt.Audience{j.audience}, Time: now}, leeway)
	subject, isText := c.others[j.claim].(string)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return jwtCredential{}, fmt.Errorf("%w: the JWT is from another issuer", ErrInvalid)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return jwtCredential{}, fmt.Errorf("%w: the JWT is for another audience", ErrInvalid)
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return jwtCredential{}, fmt.Errorf("%w: the JWT is not valid yet", ErrInvalid)
	case err != nil && !errors.Is(err, jwt.ErrExpired):
		return jwtCredential{}, fmt.Errorf("%w: the claims of the JWT are not right", ErrInvalid)
	case c.Expiry == nil:
		return jwtCredential{}, fmt.Errorf("%w: the JWT has no end (\"exp\")", ErrInvalid)
	case !isText || subject == "":
		return jwtCredential{}, fmt.Errorf("%w: the JWT has no text in %q", ErrInvalid, j.claim)
	}
	return jwtCredential{ // whoever judges it looks at its end
		issuer: j.issuer, audience: j.audience, claim: j.claim,
		algorithm: c.algorithm, thumbprint: c.key.thumbprint, subject: subject, expireTime: c.Expiry.Time(),
	}, nil
}
